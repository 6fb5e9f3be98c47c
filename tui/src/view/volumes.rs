//! The volumes as a table. Columns that matter less come with width.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Row as TableRow, Table, TableState};

use super::parts::panel;
use crate::app::{App, Row, Sort};
use crate::theme::Theme;
use crate::units::{bytes, plain};

/// A column: title, width, alignment, the width of the terminal from which on it is shown.
struct Column {
    title: &'static str,
    width: Constraint,
    align: Alignment,
    from: u16,
    sort: Option<Sort>,
    text: fn(&Row) -> String,
}

const COLUMNS: &[Column] = &[
    Column {
        title: "Name",
        width: Constraint::Fill(1),
        align: Alignment::Left,
        from: 0,
        sort: Some(Sort::Name),
        text: |row| row.name().to_owned(),
    },
    Column {
        title: "Status",
        width: Constraint::Length(10),
        align: Alignment::Left,
        from: 0,
        sort: None,
        text: |row| row.volume.status.clone(),
    },
    Column {
        title: "Size",
        width: Constraint::Length(9),
        align: Alignment::Right,
        from: 0,
        sort: Some(Sort::Size),
        text: |row| format!("{} GiB", row.volume.size),
    },
    Column {
        title: "Referenced",
        width: Constraint::Length(11),
        align: Alignment::Right,
        from: 0,
        sort: Some(Sort::Referenced),
        text: |row| {
            let stats = row.stats.as_ref();
            stats.map_or_else(String::new, |stats| bytes(stats.referenced_bytes))
        },
    },
    Column {
        title: "Snaps",
        width: Constraint::Length(6),
        align: Alignment::Right,
        from: 70,
        sort: Some(Sort::Snapshots),
        text: |row| row.snapshots.len().to_string(),
    },
    Column {
        title: "Hosts",
        width: Constraint::Length(6),
        align: Alignment::Right,
        from: 0,
        sort: None,
        text: |row| row.volume.attachments.len().to_string(),
    },
    Column {
        title: "Written",
        width: Constraint::Length(9),
        align: Alignment::Right,
        from: 100,
        sort: None,
        text: |row| {
            let stats = row.stats.as_ref();
            stats.map_or_else(String::new, |stats| bytes(stats.written_bytes))
        },
    },
    Column {
        title: "Read",
        width: Constraint::Length(9),
        align: Alignment::Right,
        from: 100,
        sort: None,
        text: |row| {
            let stats = row.stats.as_ref();
            stats.map_or_else(String::new, |stats| bytes(stats.read_bytes))
        },
    },
    Column {
        title: "Id",
        width: Constraint::Length(36),
        align: Alignment::Left,
        from: 130,
        sort: None,
        text: |row| row.volume.id.clone(),
    },
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let rows = app.visible();
    let title = if app.filter.is_empty() {
        format!("Volumes {}", app.count())
    } else {
        let filter = plain(&app.filter);
        format!(
            "Volumes {} of {}, filter \"{filter}\"",
            rows.len(),
            app.count()
        )
    };
    let inner = panel(frame, area, &title, theme);
    if rows.is_empty() {
        let text = if app.count() == 0 {
            "No volumes yet: cinderblock volume create NAME --size GIB"
        } else {
            "No volume passes the filter."
        };
        frame.render_widget(Line::styled(text, theme.dim()), inner);
        return;
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|it| it.from <= area.width).collect();
    let header = TableRow::new(columns.iter().map(|column| title_of(column, app, theme)));
    let lines = rows.iter().map(|row| line(row, &columns, theme));
    let table = Table::new(lines, columns.iter().map(|column| column.width))
        .header(header)
        .column_spacing(2)
        .row_highlight_style(theme.selected());
    let mut state = TableState::new()
        .with_offset(offset(app.cursor(), rows.len(), inner.height))
        .with_selected(app.cursor());
    frame.render_stateful_widget(table, inner, &mut state);
}

/// The first line shown: the cursor is kept in the middle where the list allows it.
fn offset(cursor: Option<usize>, rows: usize, height: u16) -> usize {
    let lines = usize::from(height.saturating_sub(1));
    let top = cursor.unwrap_or(0).saturating_sub(lines / 2);
    top.min(rows.saturating_sub(lines))
}

fn title_of(column: &Column, app: &App, theme: Theme) -> Cell<'static> {
    let sorted = column.sort == Some(app.sort);
    let mark = match (sorted, column.align) {
        (false, _) => column.title.to_owned(),
        (true, Alignment::Right) => format!("▾{}", column.title),
        (true, _) => format!("{} ▾", column.title),
    };
    let style = if sorted { theme.accent() } else { theme.dim() };
    Cell::from(Text::from(Span::styled(mark, style)).alignment(column.align))
}

fn line(row: &Row, columns: &[&Column], theme: Theme) -> TableRow<'static> {
    let cells = columns.iter().map(|column| {
        let text = plain(&(column.text)(row));
        let style = match column.title {
            "Status" => theme.status(&row.volume.status),
            "Name" => theme.strong(),
            _ => ratatui::style::Style::new(),
        };
        Cell::from(Text::from(Span::styled(text, style)).alignment(column.align))
    });
    TableRow::new(cells)
}

#[cfg(test)]
mod tests {
    use super::offset;

    #[test]
    fn the_cursor_is_always_on_screen() {
        for (rows, height) in [(0, 0), (1, 1), (5, 20), (100, 11)] {
            for cursor in 0..rows {
                let top = offset(Some(cursor), rows, height);
                let lines = usize::from(height.saturating_sub(1)).max(1);
                assert!(top <= cursor && cursor < top + lines, "{rows} {cursor}");
            }
        }
    }
}
