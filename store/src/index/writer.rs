//! Changing the index: one transaction, all of it or nothing.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::sync::Arc;

use redb::{Key, TableDefinition, Value, WriteTransaction};

use super::change::{self, ChangeSink};
use super::codec::Row;
use super::error::failed;
use super::format::FormatRow;
use super::health::Health;
use super::rows::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerId, LayerRow, SnapshotRow, VolumeRow,
};
use super::run::Run;
use super::tables::{
    Bytes, CHECKPOINT_NAME, CONTAINERS, DOMAINS, FORMAT_NAME, FORWARDS, IndexRead, LAYERS, RUNS,
    SNAPSHOTS, STATE, VOLUMES, get, run_key,
};
use super::turns::Turn;
use crate::addr::ContainerId;
use crate::{DomainId, Result, SnapshotId, VolumeId};

/// A transaction. It sees its own changes; dropping it without [`IndexWriter::commit`] undoes them.
pub(crate) struct IndexWriter {
    /// Always there but while it ends.
    pub(super) transaction: Option<WriteTransaction>,
    pub(super) health: Health,
    follower: Option<Following>,
    /// Ends last: by then the transaction is over and its follower has been told.
    _turn: Turn,
}

/// Entries gathered for the follower.
const GATHERED_BYTES: usize = 1 << 20;

/// Who is told of the transaction's changes, and what it was not told yet.
struct Following {
    sink: Arc<dyn ChangeSink>,
    entries: RefCell<Vec<u8>>,
}

impl Following {
    fn add(&self, table: &str, key: &[u8], value: Option<&[u8]>) {
        let mut entries = self.entries.borrow_mut();
        change::encode(&mut entries, table, key, value);
        if entries.len() >= GATHERED_BYTES {
            self.sink.add(&entries);
            entries.clear();
        }
    }
}

impl Drop for IndexWriter {
    fn drop(&mut self) {
        self.health.dispose(self.transaction.take());
    }
}

impl IndexRead for IndexWriter {
    type Table<'a, K: Key + 'static, V: Value + 'static> = redb::Table<'a, K, V>;

    fn health(&self) -> &Health {
        &self.health
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Table<'_, K, V>> {
        let transaction = self.transaction.as_ref();
        transaction
            .expect("it is taken when it ends only")
            .open_table(table)
            .map_err(failed("opening a table"))
    }
}

impl IndexWriter {
    pub(super) fn new(
        transaction: WriteTransaction,
        health: Health,
        follower: Option<Arc<dyn ChangeSink>>,
        turn: Turn,
    ) -> Self {
        let following = |sink: Arc<dyn ChangeSink>| {
            sink.begin();
            let entries = RefCell::default();
            Following { sink, entries }
        };
        Self {
            transaction: Some(transaction),
            health,
            follower: follower.map(following),
            _turn: turn,
        }
    }

    /// Makes the changes durable and visible to later readers.
    pub(crate) fn commit(mut self) -> Result<()> {
        let health = self.health.clone();
        health.guard(|| {
            let transaction = self.transaction.take();
            let committed = transaction.map(WriteTransaction::commit);
            committed.unwrap_or(Ok(())).map_err(failed("committing"))
        })?;
        if let Some(following) = &self.follower {
            following.sink.commit(&following.entries.borrow());
        }
        Ok(())
    }

    /// Stores a run; all holes are stored too, since they hide the parent's run.
    pub(crate) fn put_run(&self, layer: LayerId, run: u32, row: &Run) -> Result<()> {
        self.put(RUNS, run_key(layer, run), row)
    }

    /// Removes a run.
    pub(crate) fn delete_run(&self, layer: LayerId, run: u32) -> Result<()> {
        self.delete(RUNS, run_key(layer, run))
    }

    /// Removes at most `limit` runs of a layer, from number `from` on; returns how many went.
    pub(crate) fn delete_layer_runs(
        &self,
        layer: LayerId,
        from: u32,
        limit: usize,
    ) -> Result<usize> {
        let numbers = self.layer_run_numbers(layer, from, u32::MAX, limit)?;
        self.health.guard(|| {
            let mut table = self.table(RUNS)?;
            for &run in &numbers {
                let key = run_key(layer, run);
                let _old = table.remove(key).map_err(failed("removing a run"))?;
                self.tell(&RUNS, key, None);
            }
            Ok(numbers.len())
        })
    }

    /// Stores a volume.
    pub(crate) fn put_volume(&self, id: VolumeId, row: &VolumeRow) -> Result<()> {
        self.put(VOLUMES, id.0.as_bytes(), row)
    }

    /// Removes a volume.
    pub(crate) fn delete_volume(&self, id: VolumeId) -> Result<()> {
        self.delete(VOLUMES, id.0.as_bytes())
    }

    /// Stores a snapshot.
    pub(crate) fn put_snapshot(&self, id: SnapshotId, row: &SnapshotRow) -> Result<()> {
        self.put(SNAPSHOTS, id.0.as_bytes(), row)
    }

    /// Removes a snapshot.
    pub(crate) fn delete_snapshot(&self, id: SnapshotId) -> Result<()> {
        self.delete(SNAPSHOTS, id.0.as_bytes())
    }

    /// Stores a layer.
    pub(crate) fn put_layer(&self, id: LayerId, row: &LayerRow) -> Result<()> {
        self.put(LAYERS, id.0, row)
    }

    /// Removes a layer's row; its runs go by [`IndexWriter::delete_layer_runs`].
    pub(crate) fn delete_layer(&self, id: LayerId) -> Result<()> {
        self.delete(LAYERS, id.0)
    }

    /// Stores a container.
    pub(crate) fn put_container(&self, id: ContainerId, row: &ContainerRow) -> Result<()> {
        self.put(CONTAINERS, id.0, row)
    }

    /// Removes a container.
    pub(crate) fn delete_container(&self, id: ContainerId) -> Result<()> {
        self.delete(CONTAINERS, id.0)
    }

    /// Stores where the chunks of a journal window went.
    pub(crate) fn put_forward(&self, window: ContainerId, row: &ForwardRow) -> Result<()> {
        self.put(FORWARDS, window.0, row)
    }

    /// Removes a forwarding row.
    pub(crate) fn delete_forward(&self, window: ContainerId) -> Result<()> {
        self.delete(FORWARDS, window.0)
    }

    /// Stores the checkpoint.
    pub(crate) fn put_checkpoint(&self, row: &CheckpointRow) -> Result<()> {
        self.put(STATE, CHECKPOINT_NAME, row)
    }

    /// Stores a domain.
    pub(crate) fn put_domain(&self, id: DomainId, row: &DomainRow) -> Result<()> {
        self.put(DOMAINS, id.0.as_bytes(), row)
    }

    /// Removes a domain.
    pub(crate) fn delete_domain(&self, id: DomainId) -> Result<()> {
        self.delete(DOMAINS, id.0.as_bytes())
    }

    /// The format row, absent in a new file.
    pub(super) fn format(&self) -> Result<Option<FormatRow>> {
        self.health.guard(|| get(&self.table(STATE)?, FORMAT_NAME))
    }

    /// Stores the format row and creates every table, so that readers find them.
    pub(super) fn initialise(&self) -> Result<()> {
        self.put(STATE, FORMAT_NAME, &FormatRow::CURRENT)?;
        self.health.guard(|| {
            for table in [RUNS, CONTAINERS, FORWARDS] {
                self.table(table)?;
            }
            for table in [VOLUMES, SNAPSHOTS, DOMAINS] {
                self.table(table)?;
            }
            self.table(LAYERS)?;
            Ok(())
        })
    }

    fn put<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, Bytes>,
        key: impl Borrow<K::SelfType<'k>>,
        row: &impl Row,
    ) -> Result<()> {
        self.put_raw(table, key, Some(&row.encode()))
    }

    fn delete<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, Bytes>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<()> {
        self.put_raw(table, key, None)
    }

    /// Stores or removes a row.
    pub(super) fn put_raw<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, Bytes>,
        key: impl Borrow<K::SelfType<'k>>,
        value: Option<&[u8]>,
    ) -> Result<()> {
        self.health.guard(|| {
            let mut open = self.table(table)?;
            match value {
                Some(bytes) => {
                    let stored = open.insert(key.borrow(), bytes);
                    stored.map(drop).map_err(failed("storing a row"))?;
                }
                None => {
                    let removed = open.remove(key.borrow());
                    removed.map(drop).map_err(failed("removing a row"))?;
                }
            }
            self.tell(&table, key, value);
            Ok(())
        })
    }

    fn tell<'k, K: Key + 'static>(
        &self,
        table: &TableDefinition<'static, K, Bytes>,
        key: impl Borrow<K::SelfType<'k>>,
        value: Option<&[u8]>,
    ) {
        if let Some(following) = &self.follower {
            let key = K::as_bytes(key.borrow());
            following.add(change::table_name(table), key.as_ref(), value);
        }
    }
}
