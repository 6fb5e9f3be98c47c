//! The tables of the metadata file, and reading them.

use std::borrow::Borrow;

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value};

use super::codec::Row;
use super::error::failed;
use super::health::Health;
use super::rows::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerId, LayerRow, SnapshotRow, VolumeRow,
};
use super::run::Run;
use crate::addr::ContainerId;
use crate::{DomainId, Result, SnapshotId, VolumeId};

pub(super) type Bytes = &'static [u8];
pub(super) type UuidKey = &'static [u8; 16];

/// The format row and the checkpoint, by name.
pub(super) const STATE: TableDefinition<'_, &'static str, Bytes> = TableDefinition::new("state");
/// Runs by layer and number, see [`run_key`].
pub(super) const RUNS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("runs");
/// Volumes by id.
pub(super) const VOLUMES: TableDefinition<'_, UuidKey, Bytes> = TableDefinition::new("volumes");
/// Snapshots by id.
pub(super) const SNAPSHOTS: TableDefinition<'_, UuidKey, Bytes> = TableDefinition::new("snapshots");
/// Layers by number.
pub(super) const LAYERS: TableDefinition<'_, u32, Bytes> = TableDefinition::new("layers");
/// Packed containers by id.
pub(super) const CONTAINERS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("containers");
/// Forwarding rows by the id of the journal window.
pub(super) const FORWARDS: TableDefinition<'_, u64, Bytes> = TableDefinition::new("forwards");
/// Domains by id.
pub(super) const DOMAINS: TableDefinition<'_, UuidKey, Bytes> = TableDefinition::new("domains");

/// Names in [`STATE`].
pub(super) const FORMAT_NAME: &str = "format";
pub(super) const CHECKPOINT_NAME: &str = "checkpoint";

/// A layer's runs are neighbours, in order.
pub(super) fn run_key(layer: LayerId, run: u32) -> u64 {
    u64::from(layer.0) << 32 | u64::from(run)
}

fn run_number(key: u64) -> u32 {
    (key & u64::from(u32::MAX)) as u32
}

/// One consistent view of the index. Dropping it lets redb reuse the pages it holds.
pub(crate) struct IndexReader {
    /// Always there but while it is dropped.
    pub(super) transaction: Option<ReadTransaction>,
    pub(super) health: Health,
}

impl Drop for IndexReader {
    fn drop(&mut self) {
        self.health.dispose(self.transaction.take());
    }
}

/// Typed reading, for views and for transactions that see their own changes.
pub(crate) trait IndexRead {
    /// An open table.
    type Table<'a, K: Key + 'static, V: Value + 'static>: ReadableTable<K, V>
    where
        Self: 'a;

    /// Keeps panics from leaving the methods below.
    fn health(&self) -> &Health;

    /// Opens a table; for the methods below only.
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Table<'_, K, V>>;

    /// A run of a layer, if the layer itself has it.
    fn run(&self, layer: LayerId, run: u32) -> Result<Option<Run>> {
        self.health()
            .guard(|| get(&self.table(RUNS)?, run_key(layer, run)))
    }

    /// One layer.
    fn layer(&self, id: LayerId) -> Result<Option<LayerRow>> {
        self.health().guard(|| get(&self.table(LAYERS)?, id.0))
    }

    /// A run of the first layer of `chain` that has it.
    fn find_run(&self, chain: &[LayerId], run: u32) -> Result<Option<(LayerId, Run)>> {
        self.health().guard(|| {
            let table = self.table(RUNS)?;
            for &layer in chain {
                if let Some(found) = get(&table, run_key(layer, run))? {
                    return Ok(Some((layer, found)));
                }
            }
            Ok(None)
        })
    }

    /// At most `limit` runs of a layer from number `from` on, in order.
    fn layer_runs(&self, layer: LayerId, from: u32, limit: usize) -> Result<Vec<(u32, Run)>> {
        self.health().guard(|| {
            let table = self.table(RUNS)?;
            let keys = run_key(layer, from)..=run_key(layer, u32::MAX);
            let mut runs = Vec::new();
            for entry in table
                .range(keys)
                .map_err(failed("listing runs"))?
                .take(limit)
            {
                let (key, value) = entry.map_err(failed("reading a run"))?;
                runs.push((run_number(key.value()), Run::decode(value.value())?));
            }
            Ok(runs)
        })
    }

    /// At most `limit` numbers of runs that a layer has in `from..to`, in order.
    fn layer_run_numbers(
        &self,
        layer: LayerId,
        from: u32,
        to: u32,
        limit: usize,
    ) -> Result<Vec<u32>> {
        self.health().guard(|| {
            let table = self.table(RUNS)?;
            let keys = run_key(layer, from)..run_key(layer, to.max(from));
            let entries = table.range(keys).map_err(failed("listing runs"))?;
            entries
                .take(limit)
                .map(|entry| {
                    Ok(run_number(
                        entry.map_err(failed("reading a run"))?.0.value(),
                    ))
                })
                .collect()
        })
    }

    /// All volumes, by id.
    fn volumes(&self) -> Result<Vec<(VolumeId, VolumeRow)>> {
        self.health().guard(|| {
            list(&self.table(VOLUMES)?, |key| {
                VolumeId(uuid::Uuid::from_bytes(*key))
            })
        })
    }

    /// All snapshots, by id.
    fn snapshots(&self) -> Result<Vec<(SnapshotId, SnapshotRow)>> {
        self.health().guard(|| {
            list(&self.table(SNAPSHOTS)?, |key| {
                SnapshotId(uuid::Uuid::from_bytes(*key))
            })
        })
    }

    /// All layers, by id.
    fn layers(&self) -> Result<Vec<(LayerId, LayerRow)>> {
        self.health().guard(|| list(&self.table(LAYERS)?, LayerId))
    }

    /// All packed containers, by id.
    fn containers(&self) -> Result<Vec<(ContainerId, ContainerRow)>> {
        self.health()
            .guard(|| list(&self.table(CONTAINERS)?, ContainerId))
    }

    /// The journal windows that have forwarding rows.
    fn forwards(&self) -> Result<Vec<ContainerId>> {
        self.health().guard(|| {
            let table = self.table(FORWARDS)?;
            let entries = table.iter().map_err(failed("listing forwards"))?;
            entries
                .map(|entry| {
                    Ok(ContainerId(
                        entry.map_err(failed("listing forwards"))?.0.value(),
                    ))
                })
                .collect()
        })
    }

    /// Where the chunks of a journal window went, if it was packed.
    fn forward(&self, window: ContainerId) -> Result<Option<ForwardRow>> {
        self.health()
            .guard(|| get(&self.table(FORWARDS)?, window.0))
    }

    /// How far the index has followed the journal; `None` in a new index.
    fn checkpoint(&self) -> Result<Option<CheckpointRow>> {
        self.health()
            .guard(|| get(&self.table(STATE)?, CHECKPOINT_NAME))
    }

    /// All domains.
    fn domains(&self) -> Result<Vec<(DomainId, DomainRow)>> {
        self.health().guard(|| {
            list(&self.table(DOMAINS)?, |key| {
                DomainId(uuid::Uuid::from_bytes(*key))
            })
        })
    }
}

impl IndexRead for IndexReader {
    type Table<'a, K: Key + 'static, V: Value + 'static> = redb::ReadOnlyTable<K, V>;

    fn health(&self) -> &Health {
        &self.health
    }

    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<Self::Table<'_, K, V>> {
        let transaction = self.transaction.as_ref();
        transaction
            .expect("it is taken in drop only")
            .open_table(table)
            .map_err(failed("opening a table"))
    }
}

/// Decodes the row under `key`.
pub(super) fn get<'k, K: Key + 'static, R: Row>(
    table: &impl ReadableTable<K, Bytes>,
    key: impl Borrow<K::SelfType<'k>>,
) -> Result<Option<R>> {
    let found = table.get(key).map_err(failed("reading a row"))?;
    found.map(|bytes| R::decode(bytes.value())).transpose()
}

/// Decodes all rows of a table.
fn list<K: Key + 'static, R: Row, Id>(
    table: &impl ReadableTable<K, Bytes>,
    id: impl Fn(K::SelfType<'_>) -> Id,
) -> Result<Vec<(Id, R)>> {
    let mut rows = Vec::new();
    for entry in table.iter().map_err(failed("listing rows"))? {
        let (key, value) = entry.map_err(failed("listing rows"))?;
        rows.push((id(key.value()), R::decode(value.value())?));
    }
    Ok(rows)
}
