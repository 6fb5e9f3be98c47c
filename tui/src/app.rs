//! The console's state, and what events make of it. No terminal, no network, no clock.

use std::collections::HashMap;

use api::types::cinder::{Snapshot, Volume};
use api::types::native::{Event as Happening, Stats, VolumeStats};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::keymap::{Action, action};
use crate::rates::History;

/// Longest filter; more is a cat on the keyboard.
const FILTER_CHARS_MAX: usize = 64;
/// Events kept for the overview.
const HAPPENINGS_MAX: usize = 200;
/// Lines of a page key.
const PAGE: isize = 10;

/// What the console reacts to.
#[derive(Debug)]
pub(crate) enum Event {
    /// A key was pressed.
    Key(KeyEvent),
    /// The terminal changed its size; nothing but drawing follows.
    Resize,
    /// A look at the pool.
    Stats(Box<Stats>),
    /// A look at the volumes.
    Volumes {
        volumes: Vec<Volume>,
        stats: Vec<VolumeStats>,
        snapshots: Vec<Snapshot>,
    },
    /// New events, the oldest first.
    Happened(Vec<Happening>),
    /// The daemon did not answer, or refused.
    Offline(String),
}

/// What is to be done outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Leave.
    Quit,
    /// Ask the daemon at once.
    Refresh,
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Overview,
    Volumes,
    /// The chosen volume.
    Details,
}

/// By what volumes are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Size,
    Referenced,
    Snapshots,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Name => Self::Size,
            Self::Size => Self::Referenced,
            Self::Referenced => Self::Snapshots,
            Self::Snapshots => Self::Name,
        }
    }
}

/// A volume with what belongs to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) volume: Volume,
    pub(crate) stats: Option<VolumeStats>,
    /// The newest first.
    pub(crate) snapshots: Vec<Snapshot>,
}

impl Row {
    /// The name, or the id of a volume without one.
    pub(crate) fn name(&self) -> &str {
        let name = self.volume.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            &self.volume.id
        } else {
            name
        }
    }

    fn matches(&self, lower: &str) -> bool {
        [self.name(), &self.volume.id, &self.volume.status]
            .iter()
            .any(|text| text.to_lowercase().contains(lower))
    }
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct App {
    /// Where the daemon is.
    pub(crate) address: String,
    pub(crate) screen: Screen,
    pub(crate) help: bool,
    /// Whether keys go into the filter.
    pub(crate) typing: bool,
    pub(crate) filter: String,
    pub(crate) sort: Sort,
    /// The latest look; none before the first answer.
    pub(crate) stats: Option<Stats>,
    pub(crate) history: History,
    /// Why the daemon cannot be asked, while that is so.
    pub(crate) offline: Option<String>,
    /// The newest first.
    pub(crate) happenings: Vec<Happening>,
    rows: Vec<Row>,
    chosen: Option<String>,
}

impl App {
    pub(crate) fn new(address: String) -> Self {
        Self {
            address,
            screen: Screen::Overview,
            help: false,
            typing: false,
            filter: String::new(),
            sort: Sort::Name,
            stats: None,
            history: History::default(),
            offline: None,
            happenings: Vec::new(),
            rows: Vec::new(),
            chosen: None,
        }
    }

    /// Takes in an event and tells what to do about it.
    pub(crate) fn update(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Key(key) => return self.key(key),
            Event::Resize => {}
            Event::Stats(stats) => {
                self.history.push(&stats);
                self.stats = Some(*stats);
                self.offline = None;
            }
            Event::Volumes {
                volumes,
                stats,
                snapshots,
            } => self.rows = rows(volumes, stats, snapshots),
            Event::Happened(mut news) => {
                news.reverse();
                news.append(&mut self.happenings);
                news.truncate(HAPPENINGS_MAX);
                self.happenings = news;
            }
            Event::Offline(why) => self.offline = Some(why),
        }
        Vec::new()
    }

    /// The volumes that pass the filter, sorted.
    pub(crate) fn visible(&self) -> Vec<&Row> {
        let lower = self.filter.to_lowercase();
        let mut rows: Vec<_> = self.rows.iter().filter(|row| row.matches(&lower)).collect();
        let referenced = |row: &Row| row.stats.as_ref().map_or(0, |stats| stats.referenced_bytes);
        rows.sort_by(|a, b| {
            let by_number = match self.sort {
                Sort::Name => std::cmp::Ordering::Equal,
                Sort::Size => b.volume.size.cmp(&a.volume.size),
                Sort::Referenced => referenced(b).cmp(&referenced(a)),
                Sort::Snapshots => b.snapshots.len().cmp(&a.snapshots.len()),
            };
            by_number.then_with(|| (a.name(), &a.volume.id).cmp(&(b.name(), &b.volume.id)))
        });
        rows
    }

    /// How many volumes there are, filtered or not.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// Where the cursor is among the visible volumes.
    pub(crate) fn cursor(&self) -> Option<usize> {
        let rows = self.visible();
        let chosen = self.chosen.as_deref();
        let found = rows
            .iter()
            .position(|row| Some(row.volume.id.as_str()) == chosen);
        found.or((!rows.is_empty()).then_some(0))
    }

    /// The volume under the cursor.
    pub(crate) fn chosen(&self) -> Option<&Row> {
        self.visible().get(self.cursor()?).copied()
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        if self.typing && self.type_filter(key) {
            return Vec::new();
        }
        let Some(action) = action(key) else {
            return Vec::new();
        };
        if self.help && action != Action::Quit {
            // Any key closes the help.
            self.help = false;
            return Vec::new();
        }
        self.act(action)
    }

    /// Takes a key as text; false if it is none and means what it always means.
    fn type_filter(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return false;
        }
        match key.code {
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_CHARS_MAX => {
                self.filter.push(c);
            }
            KeyCode::Char(_) => {}
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            _ => return false,
        }
        true
    }

    fn act(&mut self, action: Action) -> Vec<Effect> {
        match action {
            Action::Quit => return vec![Effect::Quit],
            Action::Refresh => return vec![Effect::Refresh],
            Action::Help => self.help = true,
            Action::Overview => self.screen = Screen::Overview,
            Action::Volumes => self.screen = Screen::Volumes,
            Action::NextScreen => {
                self.screen = match self.screen {
                    Screen::Overview => Screen::Volumes,
                    Screen::Volumes | Screen::Details => Screen::Overview,
                };
            }
            Action::Filter => {
                self.screen = Screen::Volumes;
                self.typing = true;
            }
            Action::Sort => self.sort = self.sort.next(),
            Action::Back => self.back(),
            Action::Open => self.open(),
            Action::Down => self.step(1),
            Action::Up => self.step(-1),
            Action::PageDown => self.step(PAGE),
            Action::PageUp => self.step(-PAGE),
            Action::First => self.step(isize::MIN),
            Action::Last => self.step(isize::MAX),
        }
        Vec::new()
    }

    fn back(&mut self) {
        match self.screen {
            Screen::Details => self.screen = Screen::Volumes,
            Screen::Volumes if !self.filter.is_empty() => self.filter.clear(),
            Screen::Volumes | Screen::Overview => self.screen = Screen::Overview,
        }
    }

    fn open(&mut self) {
        match self.screen {
            Screen::Overview => self.screen = Screen::Volumes,
            Screen::Volumes => {
                if let Some(id) = self.chosen().map(|row| row.volume.id.clone()) {
                    self.chosen = Some(id);
                    self.screen = Screen::Details;
                }
            }
            Screen::Details => {}
        }
    }

    /// Moves the cursor; in the details, to the next volume's.
    fn step(&mut self, by: isize) {
        if self.screen == Screen::Overview {
            return;
        }
        let rows = self.visible();
        let (Some(cursor), Some(last)) = (self.cursor(), rows.len().checked_sub(1)) else {
            return;
        };
        let to = cursor.saturating_add_signed(by).min(last);
        self.chosen = rows.get(to).map(|row| row.volume.id.clone());
    }
}

fn rows(volumes: Vec<Volume>, stats: Vec<VolumeStats>, snapshots: Vec<Snapshot>) -> Vec<Row> {
    let mut stats: HashMap<String, VolumeStats> =
        stats.into_iter().map(|it| (it.id.clone(), it)).collect();
    let mut of_volume: HashMap<String, Vec<Snapshot>> = HashMap::new();
    for snapshot in snapshots {
        let entry = of_volume.entry(snapshot.volume_id.clone());
        entry.or_default().push(snapshot);
    }
    let row = |volume: Volume| Row {
        stats: stats.remove(&volume.id),
        snapshots: of_volume.remove(&volume.id).unwrap_or_default(),
        volume,
    };
    volumes.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use api::types::cinder::Volume;
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

    use super::{App, Effect, Event, Screen};

    fn press(app: &mut App, keys: &str) -> Vec<Effect> {
        let code = |c| match c {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\t' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        let press = |c| Event::Key(KeyEvent::new(code(c), KeyModifiers::NONE));
        keys.chars().flat_map(|c| app.update(press(c))).collect()
    }

    fn volumes(names: &[&str]) -> Event {
        let volume = |name: &&str| Volume {
            id: format!("id-{name}"),
            name: Some((*name).to_owned()),
            ..Volume::default()
        };
        Event::Volumes {
            volumes: names.iter().map(volume).collect(),
            stats: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    fn app() -> App {
        let mut app = App::new("here".into());
        app.update(volumes(&["c", "a", "b"]));
        press(&mut app, "2");
        app
    }

    fn name(app: &App) -> &str {
        app.chosen().unwrap().name()
    }

    #[test]
    fn the_cursor_stays_within_and_on_its_volume() {
        let mut app = app();
        assert_eq!(name(&app), "a");
        press(&mut app, "kj");
        assert_eq!(name(&app), "b");
        app.update(volumes(&["0", "a", "b", "c"]));
        assert_eq!((name(&app), app.cursor()), ("b", Some(2)));
        press(&mut app, "Gj");
        assert_eq!(name(&app), "c");
        press(&mut app, "g");
        assert_eq!(name(&app), "0");
        app.update(volumes(&[]));
        assert!(app.chosen().is_none());
        press(&mut app, "jkG\n");
        assert_eq!(app.screen, Screen::Volumes);
    }

    #[test]
    fn a_filter_takes_any_letter_until_enter_or_esc() {
        let mut app = app();
        assert!(press(&mut app, "/q").is_empty());
        assert!(app.visible().is_empty() && app.typing);
        press(&mut app, "\x1b/B\n");
        assert_eq!((app.visible().len(), name(&app)), (1, "b"));
        press(&mut app, "\n");
        assert_eq!(app.screen, Screen::Details);
        press(&mut app, "\x1b\x1b");
        assert_eq!((app.screen, app.visible().len()), (Screen::Volumes, 3));
    }

    #[test]
    fn help_closes_with_any_key_and_q_leaves() {
        let mut app = app();
        press(&mut app, "?");
        assert!(app.help);
        press(&mut app, "j");
        assert!(!app.help && name(&app) == "a");
        assert_eq!(press(&mut app, "r"), [Effect::Refresh]);
        assert_eq!(press(&mut app, "?q"), [Effect::Quit]);
    }

    #[test]
    fn an_answer_ends_being_offline() {
        let mut app = app();
        app.update(Event::Offline("no".into()));
        assert_eq!(app.offline.as_deref(), Some("no"));
        app.update(Event::Stats(Box::default()));
        assert!(app.offline.is_none());
    }
}
