//! What the pool and its volumes hold, in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::addr::CHUNK_SHIFT;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::state::VolumeState;
use crate::{Result, VolumeId};

/// Space of a pool. `logical >= referenced`; `stored` is what `unique` takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolStats {
    /// Sizes of all volumes added up.
    pub logical_bytes: u64,
    /// What is mapped through each volume, added up: what they share counts for each.
    pub referenced_bytes: u64,
    /// Distinct packed data before compression.
    pub unique_bytes: u64,
    /// Packed data on disk after deduplication and compression, metadata of containers included.
    pub stored_bytes: u64,
    /// Part of `stored_bytes` that no volume or snapshot was found to need any more.
    pub dead_bytes: u64,
    /// Part of `stored_bytes` that recompression has not looked at yet.
    pub loose_bytes: u64,
    /// Journal blocks that are not packed yet (the raw tier).
    pub raw_tier_bytes: u64,
    /// What the raw tier may hold before writers wait.
    pub raw_tier_quota_bytes: u64,
    /// The metadata files.
    pub metadata_bytes: u64,
    /// Free space of the file system.
    pub free_bytes: u64,
    /// Capacity of the file system.
    pub total_bytes: u64,
    /// Bytes written by hosts since the pool was opened.
    pub written_bytes: u64,
    /// Bytes read by hosts since the pool was opened.
    pub read_bytes: u64,
    /// Flushes asked for since the pool was opened.
    pub flushes: u64,
    /// Write operations since the pool was opened.
    pub write_ops: u64,
    /// Read operations since the pool was opened.
    pub read_ops: u64,
    /// Bytes that packing found to be stored already, since the pool was opened.
    pub dedup_hit_bytes: u64,
    /// Volumes in the pool.
    pub volumes: u64,
    /// Snapshots in the pool.
    pub snapshots: u64,
    /// Whether the pool has stopped acknowledging after a failed write or sync.
    pub failed: bool,
}

/// Space of a pool as far as it is counted along: what is asked before a volume is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSpace {
    /// Sizes of all volumes added up.
    pub logical_bytes: u64,
    /// What the pool takes: packed data, the raw tier and the metadata files.
    pub used_bytes: u64,
    /// Free space of the file system.
    pub free_bytes: u64,
    /// Capacity of the file system.
    pub total_bytes: u64,
    /// Whether the pool has stopped acknowledging after a failed write or sync.
    pub failed: bool,
}

/// Space and traffic of one volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VolumeStats {
    /// What the guest sees.
    pub logical_bytes: u64,
    /// What is mapped through the volume, shared with snapshots or not.
    pub referenced_bytes: u64,
    /// Bytes written since the pool was opened.
    pub written_bytes: u64,
    /// Bytes read since the pool was opened.
    pub read_bytes: u64,
    /// Write operations since the pool was opened.
    pub write_ops: u64,
    /// Read operations since the pool was opened.
    pub read_ops: u64,
}

impl Engine {
    /// Writes, trims and zeroings since the pool was opened.
    pub(crate) fn write_ops(&self) -> u64 {
        self.counters.write_ops.load(Ordering::Relaxed)
    }

    /// Reads, writes, trims and zeroings since the pool was opened.
    pub(crate) fn operations(&self) -> u64 {
        self.counters.read_ops.load(Ordering::Relaxed) + self.write_ops()
    }

    /// Bytes written by guests since the pool was opened.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.counters.written_bytes.load(Ordering::Relaxed)
    }

    /// Length of the metadata's file.
    pub(crate) fn metadata_bytes(&self) -> u64 {
        self.meta.len().unwrap_or(0)
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let space = self.io.space(&self.dir).ok();
        let held = self.places.read().expect(poisoned!()).held();
        let state = self.state.read().expect(poisoned!());
        let mapped = |volume: &Arc<VolumeState>| state.mapped_chunks(&volume.chain());
        PoolStats {
            logical_bytes: state.logical_bytes(),
            referenced_bytes: state.volumes.values().map(mapped).sum::<u64>() << CHUNK_SHIFT,
            unique_bytes: held.unique,
            stored_bytes: held.stored,
            dead_bytes: held.dead,
            loose_bytes: held.loose,
            raw_tier_bytes: self.journal.used_bytes(),
            raw_tier_quota_bytes: self.raw_quota_bytes,
            metadata_bytes: self.metadata_bytes(),
            free_bytes: space.map_or(0, |space| space.free_bytes),
            total_bytes: space.map_or(0, |space| space.total_bytes),
            written_bytes: load(&self.counters.written_bytes),
            read_bytes: load(&self.counters.read_bytes),
            flushes: load(&self.counters.flushes),
            write_ops: load(&self.counters.write_ops),
            read_ops: load(&self.counters.read_ops),
            dedup_hit_bytes: load(&self.dedup_hit_bytes),
            volumes: state.volumes.len() as u64,
            snapshots: state.snapshots.len() as u64,
            failed: self.journal.has_failed(),
        }
    }

    pub(crate) fn pool_space(&self) -> PoolSpace {
        let space = self.io.space(&self.dir).ok();
        let stored = self.places.read().expect(poisoned!()).held().stored;
        PoolSpace {
            logical_bytes: self.state.read().expect(poisoned!()).logical_bytes(),
            used_bytes: stored + self.journal.used_bytes() + self.metadata_bytes(),
            free_bytes: space.map_or(0, |space| space.free_bytes),
            total_bytes: space.map_or(0, |space| space.total_bytes),
            failed: self.journal.has_failed(),
        }
    }

    pub(crate) fn volume_stats(&self, id: VolumeId) -> Result<VolumeStats> {
        let state = self.state.read().expect(poisoned!());
        let volume = state.volume(id)?;
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ok(VolumeStats {
            logical_bytes: volume.size_bytes(),
            referenced_bytes: state.mapped_chunks(&volume.chain()) << CHUNK_SHIFT,
            written_bytes: load(&volume.counters.written_bytes),
            read_bytes: load(&volume.counters.read_bytes),
            write_ops: load(&volume.counters.write_ops),
            read_ops: load(&volume.counters.read_ops),
        })
    }
}
