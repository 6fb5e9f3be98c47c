//! The crate's one error type.

use std::fmt;
use std::io;

use thiserror::Error as ThisError;

/// What went wrong, for matching; [`Error`] adds the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such volume or snapshot.
    NotFound,
    /// The id is taken by an object of other shape.
    AlreadyExists,
    /// The request makes no sense for this object (bounds, sizes, read-only).
    InvalidInput,
    /// The object is used in a way that forbids the operation.
    Busy,
    /// No space for new data; nothing acknowledged is affected.
    NoSpace,
    /// Stored bytes failed their checksum or do not parse.
    Corrupt,
    /// The pool was written by a newer or foreign program.
    UnsupportedFormat,
    /// An earlier write or sync failed: nothing more is acknowledged until the pool is reopened.
    Failed,
    /// The volume is encrypted, and its key or the master key is missing or another.
    KeyUnavailable,
    /// The operating system refused an operation.
    Io,
}

/// An error with what was being done and, where there is one, its cause.
#[derive(Debug, ThisError)]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<io::Error>,
}

impl Error {
    /// An error of `kind` about `context`.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// An operating system error met while doing `context`; a full disk keeps its own kind.
    pub fn io(context: impl Into<String>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::NoSpace,
            _ => ErrorKind::Io,
        };
        Self {
            kind,
            context: context.into(),
            source: Some(source),
        }
    }

    /// An error of `kind` about `context` that the operating system's own error explains.
    pub(crate) fn with_source(
        kind: ErrorKind,
        context: impl Into<String>,
        source: io::Error,
    ) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(source),
        }
    }

    /// Whether a file was not there.
    pub(crate) fn is_not_found(&self) -> bool {
        let source = self.source.as_ref();
        source.is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.context),
            None => f.write_str(&self.context),
        }
    }
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;
