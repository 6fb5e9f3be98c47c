//! What redb reports, as the crate's error.

use std::io;

use crate::{Error, ErrorKind};

/// Turns a redb error met while doing `what` into the crate's own.
pub(super) fn failed<E: Into<redb::Error>>(what: &'static str) -> impl Fn(E) -> Error {
    move |error| convert(what, error.into())
}

fn convert(what: &'static str, error: redb::Error) -> Error {
    let context = format!("metadata: {what}");
    let kind = match error {
        // A page that is behind the end of the file: what named it is damaged, or the file was cut.
        // Or it is not what was written, or a start that is none of redb's.
        redb::Error::Io(source)
            if matches!(
                source.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData
            ) =>
        {
            return Error::new(ErrorKind::Corrupt, format!("{context}: {source}"));
        }
        redb::Error::Io(source) => return Error::io(context, source),
        redb::Error::DatabaseAlreadyOpen => ErrorKind::Busy,
        redb::Error::UpgradeRequired(_) => ErrorKind::UnsupportedFormat,
        redb::Error::PreviousIo
        | redb::Error::TransactionPoisoned
        | redb::Error::LockPoisoned(_)
        | redb::Error::DatabaseClosed => ErrorKind::Failed,
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::RepairAborted => ErrorKind::Corrupt,
        // What is left are misuses of savepoints, cursors and the like, which are not used here.
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{context}: {error}"))
}
