//! The keys, over whatever is shown; in two columns where they do not fit into one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};

use super::parts::panel;
use crate::keymap::BINDINGS;
use crate::theme::Theme;

/// A column of keys and what they do.
const COLUMN: u16 = 38;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    let count = BINDINGS.len() as u16;
    let two = count + 2 > area.height;
    let lines = if two { count.div_ceil(2) } else { count };
    let columns = if two { 2 } else { 1 };
    let width = (COLUMN * columns - 8 * (columns - 1) + 2).min(area.width);
    let height = (lines + 2).min(area.height);
    let centred = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, centred);
    let inner = panel(frame, centred, "Keys", theme);
    let column = inner.width / columns;
    for (number, bindings) in BINDINGS.chunks(usize::from(lines)).enumerate() {
        let lines: Vec<Line<'_>> = bindings
            .iter()
            .map(|binding| {
                Line::from(vec![
                    Span::styled(format!("{:<8}", binding.label), theme.accent()),
                    Span::raw(binding.help),
                ])
            })
            .collect();
        let part = Rect {
            x: inner.x + column * number as u16,
            width: column,
            ..inner
        };
        frame.render_widget(Paragraph::new(lines), part);
    }
}
