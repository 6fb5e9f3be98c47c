//! Changing the index: one transaction, all of it or nothing.

use std::borrow::Borrow;

use redb::{Key, TableDefinition, Value, WriteTransaction};

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
use crate::addr::ContainerId;
use crate::{DomainId, Result, SnapshotId, VolumeId};

/// A transaction. It sees its own changes; dropping it without [`IndexWriter::commit`] undoes them.
pub(crate) struct IndexWriter {
    /// Always there but while it ends.
    pub(super) transaction: Option<WriteTransaction>,
    pub(super) health: Health,
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
    /// Makes the changes durable and visible to later readers.
    pub(crate) fn commit(mut self) -> Result<()> {
        let health = self.health.clone();
        health.guard(|| {
            let transaction = self.transaction.take();
            let committed = transaction.map(WriteTransaction::commit);
            committed.unwrap_or(Ok(())).map_err(failed("committing"))
        })
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
                let _old = table
                    .remove(run_key(layer, run))
                    .map_err(failed("removing a run"))?;
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
        let bytes = row.encode();
        self.health.guard(|| {
            let mut table = self.table(table)?;
            let stored = table.insert(key, bytes.as_slice());
            stored.map(|_| ()).map_err(failed("storing a row"))
        })
    }

    fn delete<'k, K: Key + 'static>(
        &self,
        table: TableDefinition<'static, K, Bytes>,
        key: impl Borrow<K::SelfType<'k>>,
    ) -> Result<()> {
        self.health.guard(|| {
            let mut table = self.table(table)?;
            let removed = table.remove(key);
            removed.map(|_| ()).map_err(failed("removing a row"))
        })
    }
}
