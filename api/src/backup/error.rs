//! What can go wrong with a backup target and what is on it.

use std::fmt;

use thiserror::Error as ThisError;

/// What went wrong, for matching; [`Error`] adds the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An object that must be there is not.
    Missing,
    /// An object does not parse or fails its checksum.
    Corrupt,
    /// An object was written by a newer program.
    Unsupported,
    /// The target cannot be reached, or refuses.
    Target,
    /// The settings of the target make no sense.
    Settings,
    /// The pool refused a read or a write.
    Store,
    /// The daemon is stopping; the work is taken up again at its next start.
    Interrupted,
}

/// An error with what was being done. Objects are named, secrets never.
#[derive(Debug, ThisError)]
pub struct Error {
    kind: ErrorKind,
    context: String,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
        }
    }

    /// Damage to an object.
    pub(super) fn corrupt(object: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Corrupt, format!("{object} is damaged: {what}"))
    }

    /// What a [`super::Watch`] says to stop the work.
    pub fn interrupted() -> Self {
        Self::new(ErrorKind::Interrupted, "the daemon is stopping")
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::new(ErrorKind::Store, error.to_string())
    }
}

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;
