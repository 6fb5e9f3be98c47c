//! The pool: its public surface.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::Io;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::maintain;
use crate::state::{Counters, SnapshotState, VolumeState};
use crate::{DomainId, Error, ErrorKind, PoolStats, Result, SnapshotId, VolumeId, VolumeStats};

/// Volumes are whole sectors.
const SECTOR_BYTES: u64 = 512;
/// Largest volume: 64 TiB.
pub const VOLUME_BYTES_MAX: u64 = 64 << 40;

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

impl Packing {
    /// The stored form.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Background => 1,
            Self::Eager => 2,
            Self::Never => 3,
        }
    }

    /// Reads the stored form back.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Background),
            2 => Some(Self::Eager),
            3 => Some(Self::Never),
            _ => None,
        }
    }
}

/// What a new volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// A multiple of 512, at most 64 TiB.
    pub size_bytes: u64,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
    /// When its data is packed.
    pub packing: Packing,
}

/// Settings of an open pool; the defaults serve a pool of a few TiB.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Memory for all caches together, in bytes.
    pub memory_bytes: u64,
    /// Quota of the raw tier in bytes; `None` derives it from the file system's size.
    pub raw_tier_bytes: Option<u64>,
    /// Start the packing, checkpoint and reclaim thread. Tests that step by hand say no.
    pub background: bool,
    /// Write zeroes into new journal segments, so that later syncs change no file system metadata.
    pub prefill_journal: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            raw_tier_bytes: None,
            background: true,
            prefill_journal: true,
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

/// An open pool. Cheap to clone; the pool closes with the last handle or by [`Store::close`].
#[derive(Clone)]
pub struct Store {
    pool: Arc<Pool>,
}

/// Stops the threads when the last handle goes.
struct Pool {
    engine: Arc<Engine>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.engine.threads.join(&self.engine);
    }
}

impl Store {
    /// Opens the pool in `dir`, creating it when the folder is empty or absent.
    ///
    /// # Errors
    /// `UnsupportedFormat`, `Corrupt`, `Busy` when another process has it, `Io`, `NoSpace`.
    pub fn open(io: Arc<dyn Io>, dir: &Path, options: OpenOptions) -> Result<Self> {
        let opened = catch_unwind(AssertUnwindSafe(|| Engine::open(io, dir, options)));
        // The metadata's pages are checked as they are read, but not before the library underneath
        // follows what they say: damage makes it panic. Nothing outlives the attempt.
        let engine = opened.unwrap_or_else(|_| {
            let context = "the metadata file is damaged: reading it does not end well";
            Err(Error::new(ErrorKind::Corrupt, context))
        })?;
        if options.background {
            maintain::start(&engine).map_err(|e| Error::io("starting the pool's threads", e))?;
        }
        Ok(Self {
            pool: Arc::new(Pool { engine }),
        })
    }

    fn engine(&self) -> &Engine {
        &self.pool.engine
    }

    /// The parts, for tests that take the background's steps themselves.
    #[cfg(test)]
    pub(crate) fn engine_for_tests(&self) -> Arc<Engine> {
        Arc::clone(&self.pool.engine)
    }

    /// Creates an empty volume; the same call again is fine.
    ///
    /// # Errors
    /// `AlreadyExists` if a volume of this id differs, `InvalidInput` for an impossible size.
    pub fn create_volume(&self, id: VolumeId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().create_volume(id, spec)
    }

    /// Creates a volume with the content of a snapshot, in constant time. `size_bytes` may be larger
    /// than the snapshot. Idempotent.
    ///
    /// # Errors
    /// As [`Self::create_volume`], and `NotFound` without the snapshot.
    pub fn clone_snapshot(&self, id: VolumeId, from: SnapshotId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().clone_snapshot(id, from, spec)
    }

    /// Creates a volume with the present content of another, in constant time. Idempotent.
    ///
    /// # Errors
    /// As [`Self::create_volume`], and `NotFound` without the source.
    pub fn clone_volume(&self, id: VolumeId, from: VolumeId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().clone_volume(id, from, spec)
    }

    /// Freezes volumes at one point of the journal: each snapshot holds every write answered before
    /// the call, and all are cut by one record. Durable on return. Idempotent.
    ///
    /// # Errors
    /// `NotFound` without a volume, `AlreadyExists` when only some of the snapshots exist.
    pub fn create_snapshots(&self, pairs: &[(SnapshotId, VolumeId)]) -> Result<()> {
        self.engine().create_snapshots(pairs)
    }

    /// Removes a snapshot; its space returns in the background. Unknown ids are fine.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn delete_snapshot(&self, id: SnapshotId) -> Result<()> {
        self.engine().delete_snapshot(id)
    }

    /// Removes a volume; its snapshots stay. Open handles answer `NotFound`. Unknown ids are fine.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn delete_volume(&self, id: VolumeId) -> Result<()> {
        self.engine().delete_volume(id)
    }

    /// Changes a volume's size; what lies beyond a smaller size is gone for good.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for an impossible size.
    pub fn resize_volume(&self, id: VolumeId, size_bytes: u64) -> Result<()> {
        check_size(size_bytes)?;
        self.engine().resize_volume(id, size_bytes)
    }

    /// Opens a volume for reading and writing. Handles share one state.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, id: VolumeId) -> Result<Volume> {
        let state = Arc::clone(self.engine().state.read().expect(poisoned!()).volume(id)?);
        Ok(Volume {
            pool: Arc::clone(&self.pool),
            state,
        })
    }

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Snapshot> {
        let state = Arc::clone(
            self.engine()
                .state
                .read()
                .expect(poisoned!())
                .snapshot(id)?,
        );
        Ok(Snapshot {
            pool: Arc::clone(&self.pool),
            state,
        })
    }

    /// All volumes, by id.
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        let info = |volume: &Arc<VolumeState>| VolumeInfo {
            id: volume.id,
            size_bytes: volume.size_bytes(),
            domain: volume.domain,
        };
        state.volumes.values().map(info).collect()
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        let info = |snapshot: &Arc<SnapshotState>| SnapshotInfo {
            id: snapshot.id,
            volume: snapshot.volume,
            size_bytes: snapshot.size_bytes,
            created_us: snapshot.created_us,
        };
        state.snapshots.values().map(info).collect()
    }

    /// Space and traffic of the pool. Cheap: counters only.
    pub fn stats(&self) -> PoolStats {
        self.engine().pool_stats()
    }

    /// Space and traffic of one volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume_stats(&self, id: VolumeId) -> Result<VolumeStats> {
        self.engine().volume_stats(id)
    }

    /// Why packing or reclaim cannot go on, if so.
    pub fn stalled(&self) -> Option<String> {
        self.engine().threads.stalled()
    }

    /// Packs all of the raw tier, writes a checkpoint and frees what nothing refers to; returns the
    /// bytes given back. Blocks; meant for operators and tests.
    ///
    /// # Errors
    /// `NoSpace` when there is no room to pack into, `Corrupt`, `Failed`, `Io`.
    pub fn reclaim_now(&self) -> Result<u64> {
        let engine = self.engine();
        let mut maintenance = engine.maintenance.lock().expect(poisoned!());
        engine.reclaim_all(&mut maintenance)
    }

    /// Flushes everything, writes a checkpoint and stops the pool's threads. Later writes are not
    /// prevented, and are as durable as ever; they only lengthen the next opening.
    ///
    /// # Errors
    /// Those of flushing and of the checkpoint.
    pub fn close(&self) -> Result<()> {
        let engine = self.engine();
        engine.threads.join(engine);
        engine.journal.flush()?;
        engine.checkpoint(&mut engine.maintenance.lock().expect(poisoned!()))
    }
}

fn check_size(size_bytes: u64) -> Result<()> {
    if size_bytes == 0 || size_bytes > VOLUME_BYTES_MAX || !size_bytes.is_multiple_of(SECTOR_BYTES)
    {
        let context =
            format!("{size_bytes} bytes is no volume size: 512 bytes to 64 TiB in sectors");
        return Err(Error::new(ErrorKind::InvalidInput, context));
    }
    Ok(())
}

fn check_bounds(offset: u64, len: u64, size_bytes: u64) -> Result<()> {
    if offset.checked_add(len).is_some_and(|end| end <= size_bytes) {
        return Ok(());
    }
    let context = format!("{len} bytes at {offset} are outside a disk of {size_bytes} bytes");
    Err(Error::new(ErrorKind::InvalidInput, context))
}

/// A writable disk. Offsets and lengths are in bytes and may be unaligned.
#[derive(Clone)]
pub struct Volume {
    pool: Arc<Pool>,
    state: Arc<VolumeState>,
}

impl Volume {
    /// What the guest sees, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.state.size_bytes()
    }

    /// Reads `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    /// `InvalidInput` outside the disk, `Corrupt`, `Io`, `NotFound` once the volume is deleted.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check(offset, buffer.len() as u64)?;
        self.pool
            .engine
            .read_bytes(&self.state.chain(), offset, buffer)?;
        self.count(|counters| {
            counters.read_ops.fetch_add(1, Ordering::Relaxed);
            counters
                .read_bytes
                .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        });
        if self.state.is_gone() {
            Err(self.gone())
        } else {
            Ok(())
        }
    }

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    /// As for reading, and `NoSpace`, and `Failed` after a failed write or sync.
    pub fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.check(offset, data.len() as u64)?;
        self.pool.engine.wait_for_room()?;
        self.pool.engine.write_bytes(&self.state, offset, data)?;
        self.count(|counters| {
            counters.write_ops.fetch_add(1, Ordering::Relaxed);
            counters
                .written_bytes
                .fetch_add(data.len() as u64, Ordering::Relaxed);
        });
        self.settle(durability)
    }

    /// Makes a range read as zeroes.
    ///
    /// # Errors
    /// As for writing.
    pub fn write_zeroes(
        &self,
        offset: u64,
        len: u64,
        mode: ZeroMode,
        durability: Durability,
    ) -> Result<()> {
        self.check(offset, len)?;
        self.pool
            .engine
            .zero_bytes(&self.state, offset, len, mode)?;
        self.count(|counters| {
            counters.write_ops.fetch_add(1, Ordering::Relaxed);
        });
        self.settle(durability)
    }

    /// Gives a range back: it reads as zeroes.
    ///
    /// # Errors
    /// As for writing.
    pub fn trim(&self, offset: u64, len: u64, durability: Durability) -> Result<()> {
        self.write_zeroes(offset, len, ZeroMode::Deallocate, durability)
    }

    /// Makes every write, trim and zeroing that was answered before this call durable.
    ///
    /// # Errors
    /// `Failed` when this or an earlier write or sync failed.
    pub fn flush(&self) -> Result<()> {
        self.count(|counters| {
            counters.flushes.fetch_add(1, Ordering::Relaxed);
        });
        self.pool.engine.journal.flush()
    }

    /// The kinds of a range from `offset`, merged where equal, at most `max` extents; they may end
    /// before `offset + len` but cover at least one byte.
    ///
    /// # Errors
    /// As for reading.
    pub fn extents(&self, offset: u64, len: u64, max: usize) -> Result<Vec<Extent>> {
        self.check(offset, len)?;
        self.pool
            .engine
            .extents(&self.state.chain(), offset, len, max)
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        if self.state.is_gone() {
            return Err(self.gone());
        }
        check_bounds(offset, len, self.state.size_bytes())
    }

    fn gone(&self) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("volume {} was deleted", self.state.id),
        )
    }

    fn settle(&self, durability: Durability) -> Result<()> {
        match durability {
            Durability::Buffered => Ok(()),
            Durability::Durable => self.pool.engine.journal.flush(),
        }
    }

    fn count(&self, add: impl Fn(&Counters)) {
        add(&self.state.counters);
        add(&self.pool.engine.counters);
    }
}

/// A frozen disk.
#[derive(Clone)]
pub struct Snapshot {
    pool: Arc<Pool>,
    state: Arc<SnapshotState>,
}

impl Snapshot {
    /// The volume's size when it was taken, in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.state.size_bytes
    }

    /// Reads `buffer.len()` bytes at `offset`.
    ///
    /// # Errors
    /// `InvalidInput` outside the disk, `Corrupt`, `Io`, `NotFound` once the snapshot is deleted.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        check_bounds(offset, buffer.len() as u64, self.state.size_bytes)?;
        self.pool
            .engine
            .read_bytes(&self.state.chain(), offset, buffer)?;
        self.present()
    }

    /// As [`Volume::extents`].
    ///
    /// # Errors
    /// As for reading.
    pub fn extents(&self, offset: u64, len: u64, max: usize) -> Result<Vec<Extent>> {
        check_bounds(offset, len, self.state.size_bytes)?;
        let extents = self
            .pool
            .engine
            .extents(&self.state.chain(), offset, len, max)?;
        self.present().map(|()| extents)
    }

    /// Looked at after reading: a deletion meanwhile may have taken the data away.
    fn present(&self) -> Result<()> {
        if self.state.is_gone() {
            let context = format!("snapshot {} was deleted", self.state.id);
            return Err(Error::new(ErrorKind::NotFound, context));
        }
        Ok(())
    }
}
