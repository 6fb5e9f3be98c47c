//! Log levels that can be changed while the program runs.
//!
//! The log itself is the daemon's; it hands the services a [`LogControl`].

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Errors alone.
    Error,
    /// Warnings too.
    Warning,
    /// What is worth a line in normal use.
    Info,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The level of this name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_lowercase().as_str() {
            "error" => Some(Self::Error),
            "warning" => Some(Self::Warning),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            _ => None,
        }
    }

    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// The log's levels.
pub trait LogControl: Send + Sync {
    /// The parts of the program whose names begin with `prefix`, each with its level.
    fn levels(&self, prefix: &str) -> Vec<(String, LogLevel)>;

    /// Gives the parts whose names begin with `prefix` another level, at once.
    fn set(&self, prefix: &str, level: LogLevel);
}
