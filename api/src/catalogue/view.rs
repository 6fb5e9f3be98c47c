//! Reading and writing within one transaction.

use std::ops::{Bound, ControlFlow};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::record::{decode, encode};
use super::{Error, ErrorKind, Index, Key, Record, RecordId, Result};

type Bytes = &'static [u8];
/// Takes a raw pair; breaks to see no more.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

fn table<R: Record>() -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(R::TABLE)
}

/// Index tables are named `table.index`; their key is the index key and the id's key, their value
/// the id's key.
fn index_name<R: Record>(index: Index) -> String {
    format!("{}.{}", R::TABLE, index.0)
}

fn failed(context: &'static str) -> impl Fn(redb::StorageError) -> Error {
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
        let mut count = 0;
        let from = Bound::Included(query.prefix.as_bytes());
        self.scan(&name, (from, to), query.limit, &mut |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
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

/// A consistent state, for reading.
pub struct Reader {
    transaction: redb::ReadTransaction,
}

impl Reader {
    pub(super) fn begin(database: &redb::Database) -> Result<Self> {
        let transaction = database
            .begin_read()
            .map_err(|error| Error::database("begin read", error))?;
        Ok(Self { transaction })
    }

    fn open(&self, name: &str) -> Result<Option<redb::ReadOnlyTable<Bytes, Bytes>>> {
        match self.transaction.open_table(TableDefinition::new(name)) {
            Ok(table) => Ok(Some(table)),
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
            Some(table) => scan_table(&table, range, limit, visit),
            None => Ok(()),
        }
    }

    fn raw(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.open(table)? {
            Some(table) => raw_of(&table, key),
            None => Ok(None),
        }
    }
}

fn scan_table(
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

fn raw_of(table: &impl ReadableTable<Bytes, Bytes>, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let value = table.get(key).map_err(failed("get"))?;
    Ok(value.map(|value| value.value().to_vec()))
}

/// An open write transaction. Reads see its own changes.
pub struct Writer {
    transaction: redb::WriteTransaction,
    touched_jobs: std::cell::Cell<bool>,
}

impl Writer {
    pub(super) fn begin(database: &redb::Database) -> Result<Self> {
        let mut transaction = database
            .begin_write()
            .map_err(|error| Error::database("begin write", error))?;
        // Opening after a crash must not walk the whole file.
        transaction.set_quick_repair(true);
        Ok(Self {
            transaction,
            touched_jobs: std::cell::Cell::new(false),
        })
    }

    pub(super) fn relax(&mut self) -> Result<()> {
        self.transaction.set_quick_repair(false);
        self.transaction
            .set_durability(redb::Durability::None)
            .map_err(|error| Error::with_source(ErrorKind::Failed, "catalogue: durability", error))
    }

    /// Commits; true when the queue of jobs has changed.
    pub(super) fn commit(self) -> Result<bool> {
        let touched = self.touched_jobs.get();
        self.transaction
            .commit()
            .map_err(|error| Error::database("commit", error))?;
        Ok(touched)
    }

    pub(crate) fn touch_jobs(&self) {
        self.touched_jobs.set(true);
    }

    /// Adds a record.
    ///
    /// # Errors
    /// `Conflict` when the id is taken.
    pub fn insert<R: Record>(&self, record: &R) -> Result<()> {
        if self
            .raw(R::TABLE, record.id().to_key().as_bytes())?
            .is_some()
        {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("{}: id is taken", R::TABLE),
            ));
        }
        self.put(record)
    }

    /// Adds or replaces a record and its index entries.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put<R: Record>(&self, record: &R) -> Result<()> {
        let id = record.id().to_key();
        let old = {
            let mut table = self.open(table::<R>())?;
            let old = table
                .insert(id.as_bytes(), encode(record)?.as_slice())
                .map_err(failed("insert"))?;
            old.map(|old| decode::<R>(old.value())).transpose()?
        };
        let new_keys = record.index_keys();
        if let Some(old) = old {
            let stale = old.index_keys().into_iter();
            self.unindex::<R>(&id, stale.filter(|key| !new_keys.contains(key)))?;
        }
        for (index, key) in new_keys {
            let name = index_name::<R>(index);
            let mut table = self.open(TableDefinition::new(&name))?;
            let entry = [key.as_bytes(), id.as_bytes()].concat();
            table
                .insert(entry.as_slice(), id.as_bytes())
                .map_err(failed("insert"))?;
        }
        Ok(())
    }

    /// Changes an existing record in place and returns it.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn update<R: Record>(&self, id: &R::Id, change: impl FnOnce(&mut R)) -> Result<R> {
        let Some(mut record) = self.get::<R>(id)? else {
            let context = format!("{}: no such record", R::TABLE);
            return Err(Error::new(ErrorKind::NotFound, context));
        };
        change(&mut record);
        self.put(&record)?;
        Ok(record)
    }

    /// Removes a record and its index entries; returns it if it was there.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete<R: Record>(&self, id: &R::Id) -> Result<Option<R>> {
        let id = id.to_key();
        let old = {
            let mut table = self.open(table::<R>())?;
            let old = table.remove(id.as_bytes()).map_err(failed("remove"))?;
            old.map(|old| decode::<R>(old.value())).transpose()?
        };
        if let Some(old) = &old {
            self.unindex::<R>(&id, old.index_keys())?;
        }
        Ok(old)
    }

    fn unindex<R: Record>(
        &self,
        id: &Key,
        keys: impl IntoIterator<Item = (Index, Key)>,
    ) -> Result<()> {
        for (index, key) in keys {
            let name = index_name::<R>(index);
            let mut table = self.open(TableDefinition::new(&name))?;
            let entry = [key.as_bytes(), id.as_bytes()].concat();
            table.remove(entry.as_slice()).map_err(failed("remove"))?;
        }
        Ok(())
    }

    fn open<'txn>(
        &'txn self,
        table: TableDefinition<'_, Bytes, Bytes>,
    ) -> Result<redb::Table<'txn, Bytes, Bytes>> {
        self.transaction
            .open_table(table)
            .map_err(|error| Error::database("open table", error))
    }
}

impl View for Writer {
    fn scan(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        // redb lets a table be open only once in a writer, and `visit` may read others or this one:
        // the pairs are collected first.
        let mut pairs = Vec::new();
        {
            let table = self.open(TableDefinition::new(table))?;
            scan_table(&table, range, limit, &mut |key, value| {
                pairs.push((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Continue(()))
            })?;
        }
        for (key, value) in &pairs {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn raw(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        raw_of(&self.open(TableDefinition::new(table))?, key)
    }
}
