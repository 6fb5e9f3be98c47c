//! Progress bars: on a terminal only, on standard error.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar, or nothing at all where nobody would see it.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar of `total` bytes.
    pub(super) fn of_bytes(label: &str, total: u64) -> Self {
        let bar = hidden_unless_terminal(ProgressBar::with_draw_target(
            Some(total),
            ProgressDrawTarget::hidden(),
        ));
        let style = "{msg:10} {wide_bar:.cyan/238} {binary_bytes:>10} of {binary_total_bytes:10} {binary_bytes_per_sec:>12} {eta:>4}";
        bar.set_style(style_of(style).progress_chars("━━─"));
        bar.set_message(label.to_owned());
        Self(bar)
    }

    /// A sign of life for work whose end is not known.
    pub(super) fn spinner(label: &str) -> Self {
        let bar = hidden_unless_terminal(ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::hidden(),
        ));
        bar.set_style(style_of("{spinner} {msg} {elapsed}"));
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        Self(bar)
    }

    /// So many bytes are done.
    pub(super) fn at(&self, bytes: u64) {
        self.0.set_position(bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn hidden_unless_terminal(bar: ProgressBar) -> ProgressBar {
    if io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    bar
}

fn style_of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[test]
    fn bars_are_drawn_nowhere_in_tests() {
        let bar = Progress::of_bytes("importing", 10);
        bar.at(5);
        drop(Progress::spinner("converting"));
        assert!(bar.0.is_hidden() || std::io::IsTerminal::is_terminal(&std::io::stderr()));
    }
}
