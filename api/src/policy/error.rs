//! Why a policy file is refused.

use std::path::Path;

use thiserror::Error as ThisError;

/// What is wrong, for matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file cannot be read.
    Unreadable,
    /// The file, or an expression in it, is not in the language.
    Syntax,
    /// A rule is named that there is not.
    UnknownRule,
    /// A rule depends on itself.
    Cycle,
    /// There is more than a limit allows.
    TooLarge,
}

/// An error; the text names the file, the rule and, where it is known, the line.
#[derive(Debug, ThisError)]
#[error("{place}{message}")]
pub struct Error {
    kind: ErrorKind,
    /// The rule at fault.
    rule: Option<String>,
    /// File and line, as far as they are known.
    place: String,
    message: String,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            rule: None,
            place: String::new(),
            message: message.into(),
        }
    }

    /// An error about a rule.
    pub(super) fn of_rule(kind: ErrorKind, rule: &str, message: &str) -> Self {
        Self {
            rule: Some(rule.to_owned()),
            ..Self::new(kind, format!("{rule}: {message}"))
        }
    }

    /// Adds the line of a file's text that the rule begins on, if it is there.
    pub(super) fn in_text(self, text: &str) -> Self {
        let names = |line: &str| {
            let line = line.trim_start_matches([' ', '{', '\'', '"']);
            let rest = self
                .rule
                .as_deref()
                .and_then(|rule| line.strip_prefix(rule));
            rest.is_some_and(|rest| rest.trim_start_matches(['\'', '"', ' ']).starts_with(':'))
        };
        match text.lines().position(names) {
            Some(index) => Self {
                place: format!("line {}: {}", index + 1, self.place),
                ..self
            },
            None => self,
        }
    }

    pub(super) fn in_file(self, path: &Path) -> Self {
        Self {
            place: format!("{}: {}", path.display(), self.place),
            ..self
        }
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}
