//! What the pool and its volumes hold, in bytes.

use serde::{Deserialize, Serialize};

/// Space of a pool. `logical >= referenced >= unique`; `stored` is what `unique` takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolStats {
    /// Sizes of all volumes added up.
    pub logical_bytes: u64,
    /// Mapped data of volumes and snapshots, each layer's own blocks counted once.
    pub referenced_bytes: u64,
    /// Distinct packed data before compression.
    pub unique_bytes: u64,
    /// Packed data on disk after deduplication and compression, metadata of containers included.
    pub stored_bytes: u64,
    /// Part of `stored_bytes` that no volume or snapshot was found to need any more.
    pub dead_bytes: u64,
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
