//! The catalogue's error.

use thiserror::Error as ThisError;

/// What went wrong, for matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The id is taken.
    Conflict,
    /// The record to change does not exist.
    NotFound,
    /// A stored record does not parse.
    Corrupt,
    /// A record was written by a newer program.
    UnsupportedFormat,
    /// No space for the transaction; nothing changed.
    NoSpace,
    /// The database refused or failed; until it is reopened nothing more is written.
    Failed,
}

/// An error with what was being done and its cause.
#[derive(Debug, ThisError)]
#[error("{context}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
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

    pub(super) fn with_source(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(source.into()),
        }
    }

    /// An error of the database met while doing `context`; a full disk keeps its own kind.
    pub(super) fn database(context: &str, source: impl Into<redb::Error>) -> Self {
        let source = source.into();
        let kind = match &source {
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                ErrorKind::NoSpace
            }
            // A page behind the end of the file, or a start that is none of redb's.
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData
                ) =>
            {
                ErrorKind::Corrupt
            }
            redb::Error::Corrupted(_) => ErrorKind::Corrupt,
            redb::Error::UpgradeRequired(_) => ErrorKind::UnsupportedFormat,
            _ => ErrorKind::Failed,
        };
        Self::with_source(kind, format!("catalogue: {context}: {source}"), source)
    }

    /// The kind, for matching.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

/// The catalogue's result.
pub type Result<T> = std::result::Result<T, Error>;
