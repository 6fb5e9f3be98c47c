//! One table of keys: it drives the console and is its help.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Down,
    Up,
    PageDown,
    PageUp,
    First,
    Last,
    Open,
    Back,
    Filter,
    Sort,
    NextScreen,
    Overview,
    Volumes,
    Refresh,
    Help,
    Quit,
}

/// Keys, what they are called, what they ask for and what that does.
pub(crate) struct Binding {
    pub(crate) keys: &'static [KeyCode],
    pub(crate) label: &'static str,
    pub(crate) action: Action,
    pub(crate) help: &'static str,
}

macro_rules! bindings {
    ($($label:literal, [$($key:expr),+], $action:ident, $help:literal;)+) => {
        &[$(Binding { keys: &[$($key),+], label: $label, action: Action::$action, help: $help }),+]
    };
}

/// All bindings, in the order of the help.
pub(crate) const BINDINGS: &[Binding] = bindings! {
    "Tab", [KeyCode::Tab, KeyCode::BackTab], NextScreen, "overview or volumes";
    "1", [KeyCode::Char('1')], Overview, "overview";
    "2", [KeyCode::Char('2')], Volumes, "volumes";
    "j ↓", [KeyCode::Char('j'), KeyCode::Down], Down, "down";
    "k ↑", [KeyCode::Char('k'), KeyCode::Up], Up, "up";
    "PgDn", [KeyCode::PageDown], PageDown, "ten down";
    "PgUp", [KeyCode::PageUp], PageUp, "ten up";
    "g Home", [KeyCode::Char('g'), KeyCode::Home], First, "first";
    "G End", [KeyCode::Char('G'), KeyCode::End], Last, "last";
    "Enter", [KeyCode::Enter], Open, "the volume's details";
    "/", [KeyCode::Char('/')], Filter, "filter the volumes";
    "s", [KeyCode::Char('s')], Sort, "next order";
    "r", [KeyCode::Char('r')], Refresh, "ask now";
    "Esc", [KeyCode::Esc], Back, "back, or no filter";
    "?", [KeyCode::Char('?')], Help, "this help";
    "q", [KeyCode::Char('q')], Quit, "leave";
};

/// What a key press asks for, outside of text input.
pub(crate) fn action(key: KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    let binding = BINDINGS.iter().find(|it| it.keys.contains(&key.code));
    binding.map(|binding| binding.action)
}

#[cfg(test)]
mod tests {
    use super::BINDINGS;

    #[test]
    fn no_key_means_two_things() {
        let keys: Vec<_> = BINDINGS.iter().flat_map(|it| it.keys).collect();
        for (number, key) in keys.iter().enumerate() {
            assert!(!keys[number + 1..].contains(key), "{key:?}");
        }
    }
}
