//! What can be stored: records, their ids and their encoding.
//!
//! A stored value is one byte, the record's version when it was written, and the JSON of the record.

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Error, ErrorKind, Key, Result};

/// The name of a secondary index of a record's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Index(pub &'static str);

/// A type that identifies a record within its table.
pub trait RecordId {
    /// The encoded id; equal ids, equal keys.
    fn to_key(&self) -> Key;
}

impl RecordId for Uuid {
    fn to_key(&self) -> Key {
        Key::new().uuid(*self)
    }
}

impl RecordId for String {
    fn to_key(&self) -> Key {
        Key::new().text(self)
    }
}

impl RecordId for str {
    fn to_key(&self) -> Key {
        Key::new().text(self)
    }
}

/// An object of the catalogue.
pub trait Record: Serialize + DeserializeOwned {
    /// Name of the table; never changes once released.
    const TABLE: &'static str;
    /// Version of the JSON; raise it with every change that an old reader would misread.
    const VERSION: u8 = 1;
    /// Whether changes and removals of such records are counted; see
    /// [`Catalogue::watched`](super::Catalogue::watched). Additions are counted where
    /// [`Record::WATCHED_NEW`] says so.
    const WATCHED: bool = false;
    /// Whether additions are counted too.
    const WATCHED_NEW: bool = Self::WATCHED;
    /// The type that names a record; `str` and `Uuid` serve most.
    type Id: RecordId + ?Sized;

    /// The record's id.
    fn id(&self) -> &Self::Id;

    /// Where the record is found besides its id. Keys need not be unique; the id is appended.
    fn index_keys(&self) -> Vec<(Index, Key)> {
        Vec::new()
    }

    /// Turns the JSON of an older version into the present one.
    ///
    /// # Errors
    /// `UnsupportedFormat` for versions it does not know.
    fn upgrade(version: u8, _value: serde_json::Value) -> Result<serde_json::Value> {
        Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("{}: record of version {version}", Self::TABLE),
        ))
    }
}

pub(super) fn encode<R: Record>(record: &R) -> Result<Vec<u8>> {
    let mut bytes = vec![R::VERSION];
    serde_json::to_writer(&mut bytes, record)
        .map_err(|error| Error::with_source(ErrorKind::Corrupt, R::TABLE, error))?;
    Ok(bytes)
}

pub(super) fn decode<R: Record>(bytes: &[u8]) -> Result<R> {
    let corrupt = |error: serde_json::Error| {
        let context = format!("{}: stored record does not parse: {error}", R::TABLE);
        Error::with_source(ErrorKind::Corrupt, context, error)
    };
    let Some((&version, json)) = bytes.split_first() else {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{}: empty stored record", R::TABLE),
        ));
    };
    if version == R::VERSION {
        return serde_json::from_slice(json).map_err(corrupt);
    }
    let value = serde_json::from_slice(json).map_err(corrupt)?;
    serde_json::from_value(R::upgrade(version, value)?).map_err(corrupt)
}
