//! The pool at a glance: space, traffic, what happened lately.

use api::types::native::{PoolSpace, Stats};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::parts::{bar, fraction, number, panel};
use super::volumes;
use crate::app::App;
use crate::theme::Theme;
use crate::units::{bytes, count, plain, rate, ratio, span};

/// From this width on, space and traffic stand side by side.
const WIDE_COLUMNS: u16 = 76;
/// Both panels with all their lines.
const PANEL_LINES: u16 = 12;
/// With this much room below the panels the volumes are shown as well, and so many lines of events.
const TALL_LINES: u16 = 24;
const EVENT_LINES: u16 = 12;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let Some(stats) = &app.stats else {
        return;
    };
    if area.width < WIDE_COLUMNS {
        let [top, bottom] =
            Layout::vertical([Constraint::Length(8), Constraint::Fill(1)]).areas(area);
        space(frame, top, &stats.pool, theme);
        traffic(frame, bottom, app, stats, theme);
        return;
    }
    let [top, bottom] =
        Layout::vertical([Constraint::Length(PANEL_LINES), Constraint::Fill(1)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(top);
    space(frame, left, &stats.pool, theme);
    traffic(frame, right, app, stats, theme);
    if bottom.height < TALL_LINES {
        events(frame, bottom, app, stats, theme);
        return;
    }
    let [middle, bottom] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(EVENT_LINES)]).areas(bottom);
    volumes::draw(frame, middle, app, theme);
    events(frame, bottom, app, stats, theme);
}

fn space(frame: &mut Frame<'_>, area: Rect, pool: &PoolSpace, theme: Theme) {
    let inner = panel(frame, area, "Space", theme);
    let used = pool.total_bytes.saturating_sub(pool.free_bytes);
    let whole = |name: &str, part: u64, of: u64| {
        number(name, &bytes(part), &format!("of {}", bytes(of)), theme)
    };
    let packed = pool.referenced_bytes.saturating_sub(pool.raw_tier_bytes);
    let on_disk = pool.stored_bytes + pool.raw_tier_bytes;
    let line = |name, value, remark: String| number(name, &bytes(value), &remark, theme);
    let saved = ratio(pool.referenced_bytes, on_disk);
    let lines = vec![
        whole("Disk used", used, pool.total_bytes),
        bar(fraction(used, pool.total_bytes), inner.width, theme),
        whole("Raw tier", pool.raw_tier_bytes, pool.raw_tier_quota_bytes),
        bar(
            fraction(pool.raw_tier_bytes, pool.raw_tier_quota_bytes),
            inner.width,
            theme,
        ),
        line(
            "Referenced",
            pool.referenced_bytes,
            format!("{saved} of disk"),
        ),
        line(
            "Unique",
            pool.unique_bytes,
            format!("{} dedup", ratio(packed, pool.unique_bytes)),
        ),
        line(
            "Stored",
            pool.stored_bytes,
            format!("{} compressed", ratio(pool.unique_bytes, pool.stored_bytes)),
        ),
        line("Logical", pool.logical_bytes, "volume sizes".to_owned()),
        line("Dead", pool.dead_bytes, "reclaimable".to_owned()),
        line("Metadata", pool.metadata_bytes, String::new()),
    ];
    frame.render_widget(Paragraph::new(lines), inner);
}

fn traffic(frame: &mut Frame<'_>, area: Rect, app: &App, stats: &Stats, theme: Theme) {
    let inner = panel(frame, area, "Hosts", theme);
    let now = app.history.now();
    let graph = if inner.height >= 9 { 3 } else { 0 };
    let [write, write_graph, read, read_graph, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(graph),
        Constraint::Length(1),
        Constraint::Length(graph),
        Constraint::Fill(1),
    ])
    .areas(inner);
    let line = |name, value: f64, ops: f64, style: Style| {
        Line::from(vec![
            Span::styled(format!("{name:<8}"), style),
            Span::styled(format!("{:>12}", rate(value)), theme.strong()),
            Span::styled(format!("  {:>6} op/s", count(ops)), theme.dim()),
        ])
    };
    frame.render_widget(
        line("Writes", now.written_bytes, now.write_ops, theme.write()),
        write,
    );
    frame.render_widget(
        line("Reads", now.read_bytes, now.read_ops, theme.read()),
        read,
    );
    let columns = usize::from(inner.width);
    let written = app.history.series(columns, |it| it.written_bytes);
    let was_read = app.history.series(columns, |it| it.read_bytes);
    graph_of(frame, write_graph, &written, theme.write());
    graph_of(frame, read_graph, &was_read, theme.read());
    let pair = |name: &'static str, value: String| {
        [
            Span::styled(name, theme.dim()),
            Span::styled(value, theme.strong()),
        ]
    };
    let flushes = format!("{}/s", count(now.flushes));
    let totals = [
        [
            pair("Flushes ", flushes),
            pair("  Connections ", stats.connections.to_string()),
        ],
        [
            pair("Volumes ", stats.volumes.to_string()),
            pair("  Snapshots ", stats.snapshots.to_string()),
        ],
    ];
    let totals: Vec<_> = totals
        .into_iter()
        .map(|pairs| Line::from_iter(pairs.into_iter().flatten()))
        .collect();
    frame.render_widget(Paragraph::new(totals), rest);
}

/// The newest value is at the right edge.
fn graph_of(frame: &mut Frame<'_>, area: Rect, series: &[u64], style: Style) {
    let empty = usize::from(area.width).saturating_sub(series.len());
    let mut values = vec![0; empty];
    values.extend(series);
    frame.render_widget(Sparkline::default().data(values).style(style), area);
}

fn events(frame: &mut Frame<'_>, area: Rect, app: &App, stats: &Stats, theme: Theme) {
    if area.height < 3 {
        return;
    }
    let inner = panel(frame, area, "Events", theme);
    let shown = app.happenings.iter().take(usize::from(inner.height));
    let lines: Vec<Line<'_>> = shown
        .map(|event| {
            let age = span(stats.at_us.saturating_sub(event.at_us) / 1_000_000);
            Line::from(vec![
                Span::styled(format!("{age:>7} ago  "), theme.dim()),
                Span::styled(format!("{:<20}  ", plain(&event.kind)), theme.accent()),
                Span::raw(plain(&event.message)),
            ])
        })
        .collect();
    if lines.is_empty() {
        let none = Line::styled("Nothing has happened yet.", theme.dim());
        frame.render_widget(none, inner);
        return;
    }
    frame.render_widget(Paragraph::new(lines), inner);
}
