//! The disks of a pool as guests use them: volumes and snapshots, by bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::room::Change;
use crate::state::{Counters, SnapshotState, VolumeState};
use crate::store::Pool;
use crate::{Durability, Error, ErrorKind, Extent, Result, ZeroMode};

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
    pub(crate) fn new(pool: &Arc<Pool>, state: Arc<VolumeState>) -> Self {
        let pool = Arc::clone(pool);
        Self { pool, state }
    }

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
        let engine = &self.pool.engine;
        let source = engine.read_bytes(&self.state.chain(), offset, buffer)?;
        self.count(|counters| {
            counters.note_source(source);
            counters.read_ops.fetch_add(1, Ordering::Relaxed);
            counters
                .read_bytes
                .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        });
        self.present()
    }

    /// How many reads have had to wait for the disk since the pool was opened.
    pub fn disk_reads(&self) -> u64 {
        self.state.counters.disk_reads.load(Ordering::Relaxed)
    }

    /// Begins to fetch a range that will be read soon, without waiting for it.
    ///
    /// # Errors
    /// `InvalidInput` outside the disk, and as for reading what says where it is.
    pub fn prefetch(&self, offset: u64, len: u64) -> Result<()> {
        self.check(offset, len)?;
        self.pool.engine.prefetch(&self.state.chain(), offset, len)
    }

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    /// As for reading, and `NoSpace`, and `Failed` after a failed write or sync.
    pub fn write(&self, offset: u64, data: &[u8], durability: Durability) -> Result<()> {
        self.check(offset, data.len() as u64)?;
        self.pool.engine.wait_for_room(Change::Data)?;
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
        self.pool.engine.wait_for_room(Change::Discard)?;
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
        let extents = self
            .pool
            .engine
            .extents(&self.state.chain(), offset, len, max)?;
        self.present().map(|()| extents)
    }

    fn check(&self, offset: u64, len: u64) -> Result<()> {
        self.present()?;
        check_bounds(offset, len, self.state.size_bytes())
    }

    /// Looked at after reading as well: a deletion meanwhile may have taken the data away.
    fn present(&self) -> Result<()> {
        if self.state.is_gone() {
            let context = format!("volume {} was deleted", self.state.id);
            return Err(Error::new(ErrorKind::NotFound, context));
        }
        Ok(())
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
    pub(crate) fn new(pool: &Arc<Pool>, state: Arc<SnapshotState>) -> Self {
        let pool = Arc::clone(pool);
        Self { pool, state }
    }

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
        let engine = &self.pool.engine;
        let source = engine.read_bytes(&self.state.chain(), offset, buffer)?;
        engine.counters.note_source(source);
        self.present()
    }

    /// As [`Volume::disk_reads`], of all disks of the pool.
    pub fn disk_reads(&self) -> u64 {
        let counters = &self.pool.engine.counters;
        counters.disk_reads.load(Ordering::Relaxed)
    }

    /// As [`Volume::prefetch`].
    ///
    /// # Errors
    /// The same.
    pub fn prefetch(&self, offset: u64, len: u64) -> Result<()> {
        check_bounds(offset, len, self.state.size_bytes)?;
        self.pool.engine.prefetch(&self.state.chain(), offset, len)
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
