//! Draws the state: a header, one screen, a footer. Functions of state and size alone.

mod details;
mod help;
mod overview;
mod parts;
#[cfg(test)]
mod tests;
mod volumes;

use api::types::native::HealthState;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use crate::app::{App, Screen};
use crate::theme::Theme;
use crate::units::{plain, span};

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, theme: Theme) {
    let [top, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    header(frame, top, app, theme);
    match app.screen {
        _ if app.stats.is_none() => waiting(frame, body, app, theme),
        Screen::Overview => overview::draw(frame, body, app, theme),
        Screen::Volumes => volumes::draw(frame, body, app, theme),
        Screen::Details => details::draw(frame, body, app, theme),
    }
    footer(frame, bottom, app, theme);
    if app.help {
        help::draw(frame, body, theme);
    }
}

fn header(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let tab = |title: &'static str, screens: &[Screen]| {
        let style = if screens.contains(&app.screen) {
            theme.selected()
        } else {
            theme.dim()
        };
        Span::styled(title, style)
    };
    let mut left = vec![
        Span::styled(" cinderblock ", theme.accent()),
        tab(" Overview ", &[Screen::Overview]),
        tab(" Volumes ", &[Screen::Volumes, Screen::Details]),
    ];
    left.push(Span::raw("  "));
    left.extend(health(app, theme));
    let left = Line::from(left);
    let room = usize::from(area.width).saturating_sub(left.width());
    frame.render_widget(left, area);
    let right = format!("{} ", plain(&app.address));
    if right.chars().count() + 2 <= room {
        let right = Paragraph::new(Span::styled(right, theme.dim()));
        frame.render_widget(right.alignment(Alignment::Right), area);
    }
}

fn health(app: &App, theme: Theme) -> Vec<Span<'static>> {
    let Some(stats) = &app.stats else {
        return Vec::new();
    };
    if app.offline.is_some() {
        return vec![Span::styled("○ not answering", theme.bad())];
    }
    let state = match stats.health.state {
        HealthState::Ok => "● ok",
        HealthState::Warning => "▲ warning",
        HealthState::Failed => "■ FAILED",
    };
    let up = span(stats.at_us.saturating_sub(stats.started_us) / 1_000_000);
    vec![
        Span::styled(state, theme.health(stats.health.state)),
        Span::styled(format!("  up {up}"), theme.dim()),
    ]
}

fn waiting(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let middle = Rect {
        y: area.y + area.height / 2,
        height: area.height.min(1),
        ..area
    };
    let text = if app.offline.is_some() {
        "The daemon does not answer; asking again …"
    } else {
        "Asking the daemon …"
    };
    let text = Paragraph::new(Span::styled(text, theme.dim()));
    frame.render_widget(text.alignment(Alignment::Center), middle);
}

fn footer(frame: &mut Frame<'_>, area: Rect, app: &App, theme: Theme) {
    let line = if app.typing {
        Line::from(vec![
            Span::styled(" / ", theme.accent()),
            Span::raw(plain(&app.filter)),
            Span::styled("▏", theme.accent()),
            Span::styled("  Enter keeps, Esc clears", theme.dim()),
        ])
    } else if let Some(why) = &app.offline {
        Line::styled(format!(" {}; asking again", plain(why)), theme.bad())
    } else if let Some(reason) = reason(app) {
        Line::styled(format!(" {}", plain(reason)), theme.bad())
    } else {
        hints(app, theme)
    };
    frame.render_widget(line, area);
}

fn reason(app: &App) -> Option<&str> {
    let reasons = &app.stats.as_ref()?.health.reasons;
    reasons.first().map(String::as_str)
}

fn hints(app: &App, theme: Theme) -> Line<'static> {
    let pairs: &[(&str, &str)] = match app.screen {
        Screen::Overview => &[
            ("Tab", "volumes"),
            ("r", "ask now"),
            ("?", "help"),
            ("q", "quit"),
        ],
        Screen::Volumes => &[
            ("j k", "move"),
            ("Enter", "details"),
            ("/", "filter"),
            ("s", "sort"),
            ("?", "help"),
            ("q", "quit"),
        ],
        Screen::Details => &[("Esc", "back"), ("j k", "next, previous"), ("?", "help")],
    };
    let spans = pairs.iter().flat_map(|(key, what)| {
        [
            Span::styled(format!(" {key}"), theme.accent()),
            Span::styled(format!(" {what} "), theme.dim()),
        ]
    });
    Line::from_iter(spans)
}
