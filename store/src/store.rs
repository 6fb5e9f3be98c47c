//! The pool: its public surface.

use std::path::Path;
use std::sync::Arc;

use crate::disk::Io;
use crate::{DomainId, Error, ErrorKind, PoolStats, Result, SnapshotId, VolumeId, VolumeStats};

/// When data of a volume moves from the raw tier into containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    /// When there is time, at the latest when the raw tier fills up.
    #[default]
    Background,
    /// As soon as a window of the journal is full.
    Eager,
    /// Only under pressure of the raw tier's quota.
    Never,
}

/// What a new volume is.
#[derive(Clone, Copy, Debug)]
pub struct VolumeSpec {
    /// A multiple of 512, at most 64 TiB.
    pub size_bytes: u64,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
    /// When its data is packed.
    pub packing: Packing,
}

/// Settings of an open pool; the defaults serve a pool of a few TiB.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Memory for all caches together, in bytes.
    pub memory_bytes: u64,
    /// Quota of the raw tier in bytes; `None` derives it from the file system's size.
    pub raw_tier_bytes: Option<u64>,
    /// Start the packing, checkpoint and reclaim thread. Tests that step by hand say no.
    pub background: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            raw_tier_bytes: None,
            background: true,
        }
    }
}

/// How durable a write is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Durable after the next flush.
    Buffered,
    /// Durable at once (NBD's FUA).
    Durable,
}

/// What zeroing leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMode {
    /// A hole.
    Deallocate,
    /// Allocated zeroes (NBD's NO_HOLE).
    Allocate,
}

/// What a range of a volume is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Stored data.
    Data,
    /// Allocated, and known to read as zeroes.
    Zero,
    /// Never written or discarded; reads as zeroes.
    Hole,
}

/// A run of bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// What it is made of.
    pub kind: ExtentKind,
}

/// What the pool knows of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its id.
    pub id: VolumeId,
    /// What the guest sees.
    pub size_bytes: u64,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
}

/// What the pool knows of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// The volume it was taken of, which may be gone.
    pub volume: VolumeId,
    /// The volume's size at that moment.
    pub size_bytes: u64,
    /// Microseconds since 1970.
    pub created_us: u64,
}

fn unbuilt<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Io, "the engine is not linked in"))
}

/// An open pool. Cheap to clone; the pool closes with the last handle or by [`Store::close`].
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// Opens the pool in `dir`, creating it when the folder is empty or absent.
    ///
    /// # Errors
    /// `UnsupportedFormat`, `Corrupt`, `Busy` when another process has it, `Io`, `NoSpace`.
    pub fn open(_io: Arc<dyn Io>, _dir: &Path, _options: OpenOptions) -> Result<Self> {
        unbuilt()
    }

    /// Creates an empty volume; the same call again is fine (`AlreadyExists` if the spec differs).
    pub fn create_volume(&self, _id: VolumeId, _spec: VolumeSpec) -> Result<()> {
        unbuilt()
    }

    /// Creates a volume with the content of a snapshot, in constant time. `size_bytes` may be larger
    /// than the snapshot. Idempotent.
    pub fn clone_snapshot(
        &self,
        _id: VolumeId,
        _from: SnapshotId,
        _spec: VolumeSpec,
    ) -> Result<()> {
        unbuilt()
    }

    /// Creates a volume with the present content of another, in constant time. Idempotent.
    pub fn clone_volume(&self, _id: VolumeId, _from: VolumeId, _spec: VolumeSpec) -> Result<()> {
        unbuilt()
    }

    /// Freezes volumes at one point of the journal: each snapshot holds every write answered before
    /// the call, and all are cut by one record. Durable on return. Idempotent.
    pub fn create_snapshots(&self, _pairs: &[(SnapshotId, VolumeId)]) -> Result<()> {
        unbuilt()
    }

    /// Removes a snapshot; its space returns in the background. Unknown ids are fine.
    pub fn delete_snapshot(&self, _id: SnapshotId) -> Result<()> {
        unbuilt()
    }

    /// Removes a volume; its snapshots stay. Open handles answer `NotFound`. Unknown ids are fine.
    pub fn delete_volume(&self, _id: VolumeId) -> Result<()> {
        unbuilt()
    }

    /// Changes a volume's size; what lies beyond a smaller size is gone for good.
    pub fn resize_volume(&self, _id: VolumeId, _size_bytes: u64) -> Result<()> {
        unbuilt()
    }

    /// Opens a volume for reading and writing. Handles share one state.
    pub fn volume(&self, _id: VolumeId) -> Result<Volume> {
        unbuilt()
    }

    /// Opens a snapshot for reading.
    pub fn snapshot(&self, _id: SnapshotId) -> Result<Snapshot> {
        unbuilt()
    }

    /// All volumes, by id.
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        Vec::new()
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        Vec::new()
    }

    /// Space and traffic of the pool. Cheap: counters only.
    pub fn stats(&self) -> PoolStats {
        PoolStats::default()
    }

    /// Space and traffic of one volume.
    pub fn volume_stats(&self, _id: VolumeId) -> Result<VolumeStats> {
        unbuilt()
    }

    /// Packs all of the raw tier, writes a checkpoint and frees what nothing refers to; returns the
    /// bytes given back. Blocks; meant for operators and tests.
    pub fn reclaim_now(&self) -> Result<u64> {
        unbuilt()
    }

    /// Flushes everything, writes a checkpoint and stops the pool's threads.
    pub fn close(&self) -> Result<()> {
        unbuilt()
    }
}

/// A writable disk. Offsets and lengths are in bytes and may be unaligned.
#[derive(Clone)]
pub struct Volume {}

impl Volume {
    /// What the guest sees, in bytes.
    pub fn size_bytes(&self) -> u64 {
        0
    }

    /// Reads `buffer.len()` bytes at `offset`.
    pub fn read(&self, _offset: u64, _buffer: &mut [u8]) -> Result<()> {
        unbuilt()
    }

    /// Writes `data` at `offset`.
    pub fn write(&self, _offset: u64, _data: &[u8], _durability: Durability) -> Result<()> {
        unbuilt()
    }

    /// Makes a range read as zeroes.
    pub fn write_zeroes(
        &self,
        _offset: u64,
        _len: u64,
        _mode: ZeroMode,
        _durability: Durability,
    ) -> Result<()> {
        unbuilt()
    }

    /// Gives a range back: it reads as zeroes.
    pub fn trim(&self, _offset: u64, _len: u64, _durability: Durability) -> Result<()> {
        unbuilt()
    }

    /// Makes every write, trim and zeroing that was answered before this call durable.
    pub fn flush(&self) -> Result<()> {
        unbuilt()
    }

    /// The kinds of a range from `offset`, merged where equal, at most `max` extents; they may end
    /// before `offset + len` but cover at least one byte.
    pub fn extents(&self, _offset: u64, _len: u64, _max: usize) -> Result<Vec<Extent>> {
        unbuilt()
    }
}

/// A frozen disk.
#[derive(Clone)]
pub struct Snapshot {}

impl Snapshot {
    /// The volume's size when it was taken, in bytes.
    pub fn size_bytes(&self) -> u64 {
        0
    }

    /// Reads `buffer.len()` bytes at `offset`.
    pub fn read(&self, _offset: u64, _buffer: &mut [u8]) -> Result<()> {
        unbuilt()
    }

    /// As [`Volume::extents`].
    pub fn extents(&self, _offset: u64, _len: u64, _max: usize) -> Result<Vec<Extent>> {
        unbuilt()
    }
}
