//! Changes of rows as bytes, for whoever follows the index from one transaction to the next.
//!
//! An entry is `table u8, key length u8, value length u32` and the bytes of both, as redb has them; the
//! top bit of the table's byte says that the row went. Values are whole rows with their checksums.

use redb::{Key, TableDefinition, TableHandle};

use super::codec::Row;
use super::error::failed;
use super::rows::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerRow, SnapshotRow, VolumeRow,
};
use super::run::Run;
use super::tables::{
    Bytes, CHECKPOINT_NAME, CONTAINERS, DOMAINS, FORWARDS, IndexRead, IndexReader, LAYERS, RUNS,
    SNAPSHOTS, STATE, VOLUMES,
};
use super::writer::IndexWriter;
use crate::{Error, ErrorKind, Result};

/// Follows committed transactions. What goes wrong with it is its own affair: the index goes on.
pub(crate) trait ChangeSink: Send + Sync {
    /// A transaction begins; one before it that has not ended never will.
    fn begin(&self);
    /// Entries of the transaction.
    fn add(&self, entries: &[u8]);
    /// The last entries of the transaction, which is durable in the index.
    fn commit(&self, entries: &[u8]);
}

/// Set in an entry's first byte when the row was removed.
const REMOVED: u8 = 0x80;
/// Bytes of an entry before its key.
const HEAD_BYTES: usize = 6;
/// Names of the tables in the order of their numbers, from 1.
const NAMES: [&str; 8] = [
    "state",
    "runs",
    "volumes",
    "snapshots",
    "layers",
    "containers",
    "forwards",
    "domains",
];

fn number(name: &str) -> u8 {
    let at = NAMES.iter().position(|known| *known == name);
    at.expect("every table is listed") as u8 + 1
}

/// Appends an entry.
pub(super) fn encode(out: &mut Vec<u8>, table: &str, key: &[u8], value: Option<&[u8]>) {
    let removed = if value.is_none() { REMOVED } else { 0 };
    let value = value.unwrap_or_default();
    out.extend_from_slice(&[number(table) | removed, key.len() as u8]);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    table: u8,
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

/// Entries one after the other; `Corrupt` where they do not parse.
pub(crate) struct Changes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_none() {
            self.0 = &[];
        }
        Some(taken.ok_or_else(|| corrupt("an entry does not parse")))
    }
}

impl<'a> Changes<'a> {
    fn take(&mut self) -> Option<Change<'a>> {
        let head: &[u8; HEAD_BYTES] = self.0.first_chunk()?;
        let [first, key_len, len @ ..] = *head;
        let value_len = u32::from_le_bytes(len) as usize;
        let rest = self.0.get(HEAD_BYTES..)?;
        let key = rest.get(..usize::from(key_len))?;
        let rest = rest.get(usize::from(key_len)..)?;
        let value = rest.get(..value_len)?;
        self.0 = rest.get(value_len..)?;
        let table = first & !REMOVED;
        let known = (1..=NAMES.len()).contains(&usize::from(table));
        known.then_some(Change {
            table,
            key,
            value: (first & REMOVED == 0).then_some(value),
        })
    }
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("metadata dump: {what}"))
}

impl Change<'_> {
    /// Refuses a value that is no row of its table.
    fn check(&self) -> Result<()> {
        let Some(value) = self.value else {
            return Ok(());
        };
        match NAMES[usize::from(self.table) - 1] {
            "state" => CheckpointRow::decode(value).map(drop),
            "runs" => Run::decode(value).map(drop),
            "volumes" => VolumeRow::decode(value).map(drop),
            "snapshots" => SnapshotRow::decode(value).map(drop),
            "layers" => LayerRow::decode(value).map(drop),
            "containers" => ContainerRow::decode(value).map(drop),
            "forwards" => ForwardRow::decode(value).map(drop),
            _ => DomainRow::decode(value).map(drop),
        }
    }

    fn key<const N: usize>(&self) -> Result<[u8; N]> {
        self.key
            .try_into()
            .map_err(|_| corrupt("a key of another length"))
    }
}

impl IndexWriter {
    /// Does what an entry says, if it makes sense.
    pub(crate) fn apply(&self, change: &Change<'_>) -> Result<()> {
        change.check()?;
        match NAMES[usize::from(change.table) - 1] {
            "state" if change.key == CHECKPOINT_NAME.as_bytes() => {
                self.put_raw(STATE, CHECKPOINT_NAME, change.value)
            }
            "state" => Err(corrupt("an unknown name")),
            "runs" => self.put_raw(RUNS, u64::from_le_bytes(change.key()?), change.value),
            "volumes" => self.put_raw(VOLUMES, &change.key()?, change.value),
            "snapshots" => self.put_raw(SNAPSHOTS, &change.key()?, change.value),
            "layers" => self.put_raw(LAYERS, u32::from_le_bytes(change.key()?), change.value),
            "containers" => {
                self.put_raw(CONTAINERS, u64::from_le_bytes(change.key()?), change.value)
            }
            "forwards" => self.put_raw(FORWARDS, u64::from_le_bytes(change.key()?), change.value),
            _ => self.put_raw(DOMAINS, &change.key()?, change.value),
        }
    }
}

impl IndexReader {
    /// Hands every row but the format's to `each`, as an entry.
    pub(crate) fn each_row(&self, each: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if let Some(row) = self.checkpoint()? {
            let mut entry = Vec::new();
            encode(
                &mut entry,
                STATE.name(),
                CHECKPOINT_NAME.as_bytes(),
                Some(&row.encode()),
            );
            each(&entry)?;
        }
        self.each_of(DOMAINS, each)?;
        self.each_of(LAYERS, each)?;
        self.each_of(VOLUMES, each)?;
        self.each_of(SNAPSHOTS, each)?;
        self.each_of(CONTAINERS, each)?;
        self.each_of(FORWARDS, each)?;
        self.each_of(RUNS, each)
    }

    fn each_of<K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, Bytes>,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.health().guard(|| {
            let open = self.table(table)?;
            let mut entry = Vec::new();
            for row in redb::ReadableTable::iter(&open).map_err(failed("listing rows"))? {
                let (key, value) = row.map_err(failed("listing rows"))?;
                entry.clear();
                let key = key.value();
                let key = K::as_bytes(&key);
                encode(
                    &mut entry,
                    table_name(&table),
                    key.as_ref(),
                    Some(value.value()),
                );
                each(&entry)?;
            }
            Ok(())
        })
    }
}

/// The table's name, which outlives the definition.
pub(super) fn table_name<K: Key + 'static>(
    table: &TableDefinition<'static, K, Bytes>,
) -> &'static str {
    let name = table.name();
    NAMES[usize::from(number(name)) - 1]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{collection, prop_assert, proptest};

    use super::{Change, Changes, encode};
    use crate::ErrorKind;

    #[test]
    fn entries_are_as_documented() {
        let mut bytes = Vec::new();
        encode(&mut bytes, "layers", &[1, 2, 3, 4], Some(&[9]));
        encode(&mut bytes, "state", b"x", None);
        let expected = [5, 4, 1, 0, 0, 0, 1, 2, 3, 4, 9, 0x81, 1, 0, 0, 0, 0, b'x'];
        assert_eq!(bytes, expected);
        let read: Vec<_> = Changes(&bytes).map(Result::unwrap).collect();
        let layer = Change {
            table: 5,
            key: &[1, 2, 3, 4],
            value: Some(&[9]),
        };
        let state = Change {
            table: 1,
            key: b"x",
            value: None,
        };
        assert_eq!(read, [layer, state]);
        for bad in [
            &[0, 0, 0, 0, 0, 0][..],
            &[9, 0, 0, 0, 0, 0],
            &[1, 1, 0, 0, 0, 0],
            &[1],
        ] {
            let error = Changes(bad).next().unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_end_in_one_error(bytes in collection::vec(any::<u8>(), 0..300)) {
            let errors = Changes(&bytes).filter(Result::is_err).count();
            prop_assert!(errors <= 1);
        }
    }
}
