//! One volume: what it is, what it holds, who has it, its snapshots.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::parts::{bar, fraction, panel};
use crate::app::{App, Row};
use crate::theme::Theme;
use crate::units::{bytes, count, plain};

const GIB: u64 = 1 << 30;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let Some(row) = app.chosen() else {
        let inner = panel(frame, area, "Volume", theme);
        frame.render_widget(Line::styled("It is gone.", theme.dim()), inner);
        return;
    };
    let facts = facts(row, theme);
    let height = facts.len() as u16 + 3;
    let [top, bottom] =
        Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(area);
    let inner = panel(frame, top, &plain(row.name()), theme);
    let mut lines = facts;
    if let Some(stats) = &row.stats {
        let part = fraction(stats.referenced_bytes, row.volume.size * GIB);
        lines.insert(5, bar(part, inner.width, theme));
    }
    frame.render_widget(Paragraph::new(lines), inner);
    snapshots(frame, bottom, row, theme);
}

fn facts(row: &Row, theme: Theme) -> Vec<Line<'static>> {
    let volume = &row.volume;
    let fact = |name: &str, value: String| {
        Line::from(vec![
            Span::styled(format!("{name:<12}"), theme.dim()),
            Span::raw(plain(&value)),
        ])
    };
    let hosts = volume.attachments.iter().map(|attachment| {
        let host = attachment.host_name.as_deref();
        host.unwrap_or(&attachment.attachment_id).to_owned()
    });
    let hosts = hosts.collect::<Vec<_>>().join(", ");
    let stats = row.stats.clone().unwrap_or_default();
    let source = volume
        .snapshot_id
        .as_ref()
        .map(|id| format!("snapshot {id}"));
    let source = source.or(volume
        .source_volid
        .as_ref()
        .map(|id| format!("volume {id}")));
    let traffic =
        |total: u64, ops: u64| format!("{} in {} operations", bytes(total), count(ops as f64));
    let or_dash = |text: Option<String>| text.filter(|it| !it.is_empty()).unwrap_or("–".into());
    vec![
        fact("Id", volume.id.clone()),
        fact("Project", or_dash(volume.tenant_id.clone())),
        Line::from(vec![
            Span::styled(format!("{:<12}", "Status"), theme.dim()),
            Span::styled(plain(&volume.status), theme.status(&volume.status)),
        ]),
        fact("Size", format!("{} GiB", volume.size)),
        fact("Referenced", bytes(stats.referenced_bytes)),
        fact("Hosts", or_dash(Some(hosts))),
        fact("Written", traffic(stats.written_bytes, stats.write_ops)),
        fact("Read", traffic(stats.read_bytes, stats.read_ops)),
        fact("Created", created(&volume.created_at)),
        fact("From", or_dash(source)),
    ]
}

fn created(text: &str) -> String {
    text.split('.').next().unwrap_or_default().replace('T', " ")
}

fn snapshots(frame: &mut Frame<'_>, area: Rect, row: &Row, theme: Theme) {
    if area.height < 3 {
        return;
    }
    let title = format!("Snapshots {}", row.snapshots.len());
    let inner = panel(frame, area, &title, theme);
    if row.snapshots.is_empty() {
        frame.render_widget(Line::styled("None.", theme.dim()), inner);
        return;
    }
    let lines: Vec<Line<'_>> = row
        .snapshots
        .iter()
        .take(usize::from(inner.height))
        .map(|snapshot| {
            let name = snapshot.name.as_deref().filter(|name| !name.is_empty());
            Line::from(vec![
                Span::styled(
                    format!("{:<19}  ", created(&snapshot.created_at)),
                    theme.dim(),
                ),
                Span::styled(
                    format!("{:<10}  ", plain(&snapshot.status)),
                    theme.status(&snapshot.status),
                ),
                Span::raw(plain(name.unwrap_or(&snapshot.id))),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inner);
}
