//! Writing within one transaction.

use std::cell::{Cell, RefCell};
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::TableDefinition;

use super::db::Shared;
use super::follow::{Change, Follower};
use super::record::{decode, encode};
use super::view::{
    Bytes, SEQUENCE, View, Visit, count_table, failed, index_name, raw_of, scan_table, version_of,
};
use super::{Error, ErrorKind, Index, Key, Record, RecordId, Result};

fn table<R: Record>() -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(R::TABLE)
}

/// An open write transaction. Reads see its own changes.
pub struct Writer {
    transaction: redb::WriteTransaction,
    shared: Arc<Shared>,
    touched_jobs: Cell<bool>,
    watched: Cell<bool>,
    followed: Vec<&'static str>,
    changes: RefCell<Vec<Change>>,
}

/// What a commit has changed that others want to know.
pub(super) struct Committed {
    pub(super) jobs: bool,
    pub(super) watched: bool,
    pub(super) version: u64,
    pub(super) changes: Vec<Change>,
}

impl Writer {
    /// Begins a transaction; the caller's turn it must be.
    pub(super) fn begin(shared: &Arc<Shared>) -> Result<Self> {
        let mut transaction = shared
            .database
            .begin_write()
            .map_err(|error| Error::database("begin write", error))?;
        // Opening after a crash must not walk the whole file.
        transaction.set_quick_repair(true);
        Ok(Self {
            transaction,
            shared: shared.clone(),
            touched_jobs: Cell::new(false),
            watched: Cell::new(false),
            followed: shared.followers.tables(),
            changes: RefCell::default(),
        })
    }

    pub(super) fn relax(&mut self) -> Result<()> {
        self.transaction.set_quick_repair(false);
        self.transaction
            .set_durability(redb::Durability::None)
            .map_err(|error| Error::with_source(ErrorKind::Failed, "catalogue: durability", error))
    }

    /// Commits, and numbers the commit if somebody is to be told of it.
    pub(super) fn commit(self) -> Result<Committed> {
        let changes = self.changes.take();
        let mut version = 0;
        if !changes.is_empty() {
            version = version_of(self.raw(SEQUENCE, &[])?)? + 1;
            let mut table = self.open(TableDefinition::new(SEQUENCE))?;
            table
                .insert([].as_slice(), version.to_be_bytes().as_slice())
                .map_err(failed("insert"))?;
        }
        self.transaction
            .commit()
            .map_err(|error| Error::database("commit", error))?;
        Ok(Committed {
            jobs: self.touched_jobs.get(),
            watched: self.watched.get(),
            version,
            changes,
        })
    }

    /// Notes the change of a record that others want to know of.
    fn note<R: Record>(&self, id: &Key, value: Option<&[u8]>, is_new: bool) {
        if (is_new && R::WATCHED_NEW) || (!is_new && R::WATCHED) {
            self.watched.set(true);
        }
        if self.followed.contains(&R::TABLE) {
            self.changes.borrow_mut().push(Change {
                table: R::TABLE,
                id: id.as_bytes().to_vec(),
                value: value.map(<[u8]>::to_vec),
            });
        }
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
        let value = encode(record)?;
        let old = {
            let mut table = self.open(table::<R>())?;
            let old = table
                .insert(id.as_bytes(), value.as_slice())
                .map_err(failed("insert"))?;
            old.map(|old| decode::<R>(old.value())).transpose()?
        };
        self.note::<R>(&id, Some(&value), old.is_none());
        // Entries that stay as they are cost nothing: most changes are of a status.
        let mut new_keys = record.index_keys();
        if let Some(old) = old {
            let mut stale = old.index_keys();
            stale.retain(|key| {
                let kept = new_keys.iter().position(|new| new == key);
                kept.map(|at| new_keys.swap_remove(at)).is_none()
            });
            self.unindex::<R>(&id, stale)?;
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
            self.note::<R>(&id, None, false);
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

    fn count_range(
        &self,
        table: &str,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        limit: usize,
    ) -> Result<u64> {
        count_table(&self.open(TableDefinition::new(table))?, range, limit)
    }

    fn ask<F: Follower, T>(&self, look: impl FnOnce(&F, u64) -> Option<T>) -> Result<Option<T>> {
        // Followers know the state that this transaction began with, and none of its own changes.
        let changes = self.changes.borrow();
        if changes.iter().any(|change| change.table == F::Of::TABLE) {
            return Ok(None);
        }
        let version = version_of(self.raw(SEQUENCE, &[])?)?;
        let followers = &self.shared.followers;
        Ok(followers.ask(version, |follower| look(follower, version)))
    }

    fn raw(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        raw_of(&self.open(TableDefinition::new(table))?, key)
    }
}
