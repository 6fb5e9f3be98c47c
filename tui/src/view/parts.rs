//! What the screens share: panels, bars, aligned numbers.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType};

use crate::theme::Theme;

/// Draws a frame with a title and returns the room inside, one column of margin left out.
pub(super) fn panel(frame: &mut Frame<'_>, area: Rect, title: &str, theme: Theme) -> Rect {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.dim())
        .title(Span::styled(format!(" {title} "), theme.accent()));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    Rect {
        x: inner.x + inner.width.min(1),
        width: inner.width.saturating_sub(2),
        ..inner
    }
}

/// A bar of `width` columns with the percentage behind it.
pub(super) fn bar(part: f64, width: u16, theme: Theme) -> Line<'static> {
    let part = part.clamp(0.0, 1.0);
    let columns = usize::from(width.saturating_sub(5));
    let full = (part * columns as f64).round() as usize;
    Line::from(vec![
        Span::styled("━".repeat(full), theme.fill(part)),
        Span::styled("─".repeat(columns - full), theme.dim()),
        Span::styled(format!("{:>4.0}%", part * 100.0), theme.strong()),
    ])
}

/// How much of `whole` is `part`, from 0 to 1.
pub(super) fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// A name, a number aligned to the right, and a remark.
pub(super) fn number(name: &str, value: &str, remark: &str, theme: Theme) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("{name:<11}"), theme.dim()),
        Span::styled(format!("{value:>8}"), theme.strong()),
        Span::styled(format!("  {remark}"), theme.dim()),
    ])
}
