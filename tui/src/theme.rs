//! Colours by meaning. Meaning is never told by colour alone, so that `NO_COLOR` loses nothing.

use api::types::native::HealthState;
use ratatui::style::{Color, Modifier, Style};

/// The styles of the console.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    pub(crate) monochrome: bool,
}

impl Theme {
    fn coloured(self, color: Color) -> Style {
        if self.monochrome {
            Style::new()
        } else {
            Style::new().fg(color)
        }
    }

    /// Names, titles and what is chosen.
    pub(crate) fn accent(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Borders, units and explanations.
    pub(crate) fn dim(self) -> Style {
        if self.monochrome {
            Style::new().add_modifier(Modifier::DIM)
        } else {
            Style::new().fg(Color::DarkGray)
        }
    }

    /// Numbers.
    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Writes.
    pub(crate) fn write(self) -> Style {
        self.coloured(Color::Magenta)
    }

    /// Reads.
    pub(crate) fn read(self) -> Style {
        self.coloured(Color::Blue)
    }

    /// The line the cursor is on.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Something is wrong.
    pub(crate) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    fn warning(self) -> Style {
        self.coloured(Color::Yellow)
    }

    /// The pool's health.
    pub(crate) fn health(self, state: HealthState) -> Style {
        match state {
            HealthState::Ok => self.good(),
            HealthState::Warning => self.warning(),
            HealthState::Failed => self.bad(),
        }
    }

    /// A volume's status.
    pub(crate) fn status(self, status: &str) -> Style {
        match status {
            "available" => self.good(),
            "in-use" => self.accent(),
            error if error.starts_with("error") => self.bad(),
            _ => self.warning(),
        }
    }

    /// How full something is, from 0 to 1.
    pub(crate) fn fill(self, part: f64) -> Style {
        match part {
            part if part >= 0.95 => self.bad(),
            part if part >= 0.80 => self.warning(),
            _ => self.coloured(Color::Cyan),
        }
    }
}
