//! Reading within one transaction.

use std::cell::RefCell;
use std::ops::{Bound, ControlFlow};
use std::rc::Rc;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::db::Shared;
use super::follow::Follower;
use super::record::decode;
use super::{Error, ErrorKind, Index, Key, Record, RecordId, Result};

pub(super) type Bytes = &'static [u8];
/// Takes a raw pair; breaks to see no more.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Holds the number of the last commit that followers were told of.
pub(super) const SEQUENCE: &str = "catalogue.sequence";

pub(super) fn version_of(raw: Option<Vec<u8>>) -> Result<u64> {
    let Some(raw) = raw else { return Ok(0) };
    let bytes = raw.as_slice().try_into();
    let bytes = bytes.map_err(|_| Error::new(ErrorKind::Corrupt, SEQUENCE))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Index tables are named `table.index`; their key is the index key and the id's key, their value
/// the id's key.
pub(super) fn index_name<R: Record>(index: Index) -> String {
    format!("{}.{}", R::TABLE, index.0)
}

pub(super) fn failed(context: &'static str) -> impl Fn(redb::StorageError) -> Error {
    move |error| Error::database(context, error)
}

/// Which records to visit, in which order.
#[derive(Clone, Debug)]
pub struct Query {
    index: Option<Index>,
    prefix: Key,
    after: Option<Key>,
    limit: usize,
}

impl Query {
    /// All records of a table by id.
    pub fn all() -> Self {
        Self {
            index: None,
            prefix: Key::new(),
            after: None,
            limit: usize::MAX,
        }
    }

    /// The records whose key in `index` starts with `prefix`, in the order of the index.
    pub fn by(index: Index, prefix: Key) -> Self {
        Self {
            index: Some(index),
            prefix,
            ..Self::all()
        }
    }

    /// Whether a record is part of the list, whatever its limits.
    pub fn covers<R: Record>(&self, record: &R) -> bool {
        let Some(index) = self.index else {
            return true;
        };
        let keys = record.index_keys();
        let prefix = self.prefix.as_bytes();
        keys.iter()
            .any(|(name, key)| *name == index && key.as_bytes().starts_with(prefix))
    }

    /// Starts after the record with this id, which should be part of the list (one that is not
    /// leaves it whole; see [`Query::covers`]).
    #[must_use]
    pub fn after<I: RecordId + ?Sized>(mut self, id: &I) -> Self {
        self.after = Some(id.to_key());
        self
    }

    /// At most this many.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}

/// What a transaction of either kind can read.
pub trait View {
    /// Visits the first `limit` raw pairs of a range of a table. An absent table is empty.
    #[doc(hidden)]
    fn scan(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        visit: &mut Visit<'_>,
    ) -> Result<()>;

    /// How many pairs are in a range of a table, at most `limit`.
    #[doc(hidden)]
    fn count_range(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<u64>;

    /// The raw value under a key.
    #[doc(hidden)]
    fn raw(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The record with this id.
    ///
    /// # Errors
    /// Those of the database, and `Corrupt`.
    fn get<R: Record>(&self, id: &R::Id) -> Result<Option<R>> {
        self.raw(R::TABLE, id.to_key().as_bytes())?
            .map(|bytes| decode(&bytes))
            .transpose()
    }

    /// Calls `visit` with each record of a query until it breaks.
    ///
    /// # Errors
    /// Those of the database, `Corrupt`, and what `visit` fails with.
    fn walk<R: Record>(
        &self,
        query: &Query,
        mut visit: impl FnMut(R) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let start = self.start_of::<R>(query)?;
        let from = match &start {
            Some(key) => Bound::Excluded(key.as_slice()),
            None => Bound::Included(query.prefix.as_bytes()),
        };
        let end = query.prefix.prefix_end();
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let name = query.index.map_or(R::TABLE.to_owned(), index_name::<R>);
        self.scan(&name, (from, to), query.limit, &mut |_, value| {
            if query.index.is_none() {
                return visit(decode(value)?);
            }
            match self.raw(R::TABLE, value)? {
                Some(bytes) => visit(decode(&bytes)?),
                None => Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{name}: entry without a record"),
                )),
            }
        })
    }

    /// The records of a query.
    ///
    /// # Errors
    /// As [`View::walk`].
    fn list<R: Record>(&self, query: &Query) -> Result<Vec<R>> {
        let mut records = Vec::new();
        self.walk(query, |record| {
            records.push(record);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(records)
    }

    /// The first record of a query.
    ///
    /// # Errors
    /// As [`View::walk`].
    fn first<R: Record>(&self, query: &Query) -> Result<Option<R>> {
        Ok(self.list(&query.clone().limit(1))?.pop())
    }

    /// How many records a query visits, without reading them.
    ///
    /// # Errors
    /// Those of the database.
    fn count<R: Record>(&self, query: &Query) -> Result<u64> {
        let end = query.prefix.prefix_end();
        let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let name = query.index.map_or(R::TABLE.to_owned(), index_name::<R>);
        let from = Bound::Included(query.prefix.as_bytes());
        self.count_range(&name, (from, to), query.limit)
    }

    /// Asks the follower of a table about the state that this transaction sees, which is that after
    /// the commit of this number. `None` when there is no follower for it or `look` declines: the
    /// table itself has the answer.
    ///
    /// # Errors
    /// Those of the database.
    fn ask<F: Follower, T>(&self, _look: impl FnOnce(&F, u64) -> Option<T>) -> Result<Option<T>> {
        Ok(None)
    }

    /// The key after which a query with a marker begins.
    #[doc(hidden)]
    fn start_of<R: Record>(&self, query: &Query) -> Result<Option<Vec<u8>>> {
        let Some(after) = &query.after else {
            return Ok(None);
        };
        let Some(index) = query.index else {
            return Ok(Some(after.as_bytes().to_vec()));
        };
        let Some(bytes) = self.raw(R::TABLE, after.as_bytes())? else {
            return Ok(None);
        };
        let keys = decode::<R>(&bytes)?.index_keys();
        let key = keys.into_iter().find(|(name, key)| {
            *name == index && key.as_bytes().starts_with(query.prefix.as_bytes())
        });
        Ok(key.map(|(_, key)| [key.as_bytes(), after.as_bytes()].concat()))
    }
}

type OpenTable = redb::ReadOnlyTable<Bytes, Bytes>;

/// A consistent state, for reading.
pub struct Reader {
    transaction: redb::ReadTransaction,
    /// The tables opened so far; opening one costs more than reading a record.
    tables: RefCell<Vec<(String, Rc<OpenTable>)>>,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let transaction = shared
            .database
            .begin_read()
            .map_err(|error| Error::database("begin read", error))?;
        Ok(Self {
            transaction,
            tables: RefCell::default(),
            shared: shared.clone(),
        })
    }

    /// The number of the last commit that this sees and that followers were told of.
    pub(super) fn version(&self) -> Result<u64> {
        version_of(self.raw(SEQUENCE, &[])?)
    }

    fn open(&self, name: &str) -> Result<Option<Rc<OpenTable>>> {
        let found = {
            let tables = self.tables.borrow();
            let mut tables = tables.iter();
            tables
                .find(|(opened, _)| opened == name)
                .map(|(_, table)| table.clone())
        };
        if found.is_some() {
            return Ok(found);
        }
        match self.transaction.open_table(TableDefinition::new(name)) {
            Ok(table) => {
                let table = Rc::new(table);
                let entry = (name.to_owned(), table.clone());
                self.tables.borrow_mut().push(entry);
                Ok(Some(table))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(Error::database("open table", error)),
        }
    }
}

impl View for Reader {
    fn scan(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        match self.open(table)? {
            Some(table) => scan_table(&*table, range, limit, visit),
            None => Ok(()),
        }
    }

    fn count_range(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<u64> {
        match self.open(table)? {
            Some(table) => count_table(&*table, range, limit),
            None => Ok(0),
        }
    }

    fn raw(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.open(table)? {
            Some(table) => raw_of(&*table, key),
            None => Ok(None),
        }
    }

    fn ask<F: Follower, T>(&self, look: impl FnOnce(&F, u64) -> Option<T>) -> Result<Option<T>> {
        let followers = &self.shared.followers;
        followers.make::<F>(|| Self::begin(&self.shared))?;
        let version = self.version()?;
        Ok(followers.ask(version, |follower| look(follower, version)))
    }
}

pub(super) fn scan_table(
    table: &impl ReadableTable<Bytes, Bytes>,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    limit: usize,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let pairs = table.range::<&[u8]>(range).map_err(failed("range"))?;
    for pair in pairs.take(limit) {
        let (key, value) = pair.map_err(failed("range"))?;
        if visit(key.value(), value.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

pub(super) fn count_table(
    table: &impl ReadableTable<Bytes, Bytes>,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    limit: usize,
) -> Result<u64> {
    let mut count = 0;
    scan_table(table, range, limit, &mut |_, _| {
        count += 1;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(count)
}

pub(super) fn raw_of(
    table: &impl ReadableTable<Bytes, Bytes>,
    key: &[u8],
) -> Result<Option<Vec<u8>>> {
    let value = table.get(key).map_err(failed("get"))?;
    Ok(value.map(|value| value.value().to_vec()))
}
