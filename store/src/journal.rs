//! Durability of guest writes and of changes to volumes: an append-only log in segment files.
//!
//! The journal is also the raw tier: its data blocks have addresses, carry checksums, and are read
//! back until the packer has moved them. It promises that what a finished [`Journal::flush`] covers
//! survives, that recovery sees an exact prefix of what was appended, and that damage to what was
//! durable is reported instead of being taken for the end. It knows nothing of volumes.

mod batch;
mod commit;
pub(crate) mod format;
mod recent;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod scan;
mod seals;
pub(crate) mod segment;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use batch::Inner;
pub(crate) use batch::{APPEND_CHUNKS_MAX, BUFFER_BYTES};
use recent::Recent;
use segment::{Segment, Spare};
pub(crate) use writer::Purpose;

use crate::addr::{CONTAINER_ID_MAX, ContainerId};
use crate::buffers::Buffers;
use crate::disk::{BLOCK_BYTES, Create, Io};
use crate::{Error, Result};

/// The reason given when a lock is poisoned: a thread of ours panicked, so state may be half-changed.
macro_rules! poisoned {
    () => {
        "no thread panics while it holds a lock of the engine"
    };
}
pub(crate) use poisoned;

/// Bytes from which on a read past the page cache is worth a wait for the disk.
pub(crate) const READ_ONCE_BYTES: usize = 64 << 10;
/// Spare segments kept ready: one for data to go on in, one that only control records may take.
const SPARES: usize = 2;
/// Those that are kept at most once they were used: blocks that were written before take direct
/// writes half as fast again as new ones.
const SPARES_MAX: usize = 8;
/// How many times what such spares take must be free on the disk.
const ROOMY_TIMES: u64 = 16;

/// Container ids, given out from a range that the metadata file has reserved, so that no crash can
/// make one be used twice.
pub(crate) struct ContainerIds {
    next: AtomicU64,
    limit: AtomicU64,
}

impl ContainerIds {
    /// Ids from `next` on; none until [`Self::reserve`].
    pub(crate) fn new(next: u64) -> Self {
        Self {
            next: AtomicU64::new(next),
            limit: AtomicU64::new(next),
        }
    }

    /// The first of `count` consecutive ids; `None` when the reservation is used up.
    pub(crate) fn take(&self, count: u64) -> Option<u64> {
        let limit = self.limit.load(Ordering::Acquire).min(CONTAINER_ID_MAX);
        self.next
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |next| {
                next.checked_add(count).filter(|end| *end <= limit)
            })
            .ok()
    }

    /// The next id that would be given out.
    pub(crate) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Allows ids below `limit`, once that is durable.
    pub(crate) fn reserve(&self, limit: u64) {
        self.limit.fetch_max(limit, Ordering::AcqRel);
    }
}

/// What a journal is opened with.
pub(crate) struct JournalSettings {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) dir: PathBuf,
    pub(crate) pool: [u8; 16],
    pub(crate) segment_blocks: u32,
    /// Write zeroes ahead of small batches, so that most syncs change no file system metadata.
    pub(crate) prefill: bool,
    pub(crate) containers: Arc<ContainerIds>,
    /// Memory for batches that were written lately, in bytes.
    pub(crate) keep_bytes: u64,
    /// Memory of batches, of [`BUFFER_BYTES`].
    pub(crate) buffers: Arc<Buffers>,
}

/// An open journal.
pub(crate) struct Journal {
    io: Arc<dyn Io>,
    dir: PathBuf,
    segment_blocks: u32,
    prefill: bool,
    containers: Arc<ContainerIds>,
    inner: Mutex<Inner>,
    recent: Arc<Recent>,
    /// Bytes of closed batches that are not written yet.
    queue_bytes: Arc<AtomicUsize>,
    /// Held by whoever makes spares: others wait for those instead of making their own.
    making: Mutex<()>,
    /// A turn of writing ended.
    changed: Condvar,
    /// A segment began or went, or a spare came.
    room: Condvar,
    /// Segments that hold data, by the id of their first window.
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    segments_in_use: AtomicU64,
    /// Closed batches came, for the thread that writes behind.
    pending: Condvar,
}

/// How much of a segment is in its file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrittenPart {
    /// Blocks of one that is being written.
    Blocks(u32),
    /// Batches up to this one.
    Sequence(u64),
}

impl WrittenPart {
    /// Whether the batch at `block` that has `sequence` is in it.
    pub(crate) fn reaches(self, block: u32, sequence: u64) -> bool {
        match self {
            Self::Blocks(blocks) => block < blocks,
            Self::Sequence(last) => sequence <= last,
        }
    }
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect(poisoned!())
    }

    /// The lock also after a panic under it, for what only stops things.
    fn lock_anyway(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.io.random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn segment_path(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:08}.wal"))
    }

    fn begin_segment(&self, segment: &Segment, spare: &Spare) -> Result<()> {
        let path = Self::segment_path(&self.dir, segment.header.number);
        self.io
            .rename(&spare.path, &path)
            .and_then(|()| self.io.sync_dir(&self.dir))
            .map_err(|e| Error::io(format!("naming {}", path.display()), e))?;
        // Durable before the first batch follows, so that a header that does not read in front of one
        // that does is damage, and never the trace of a crash.
        segment.write_header()?;
        segment.sync()
    }

    /// Makes sure that data can go on in another segment, creating files if needed. Takes no lock
    /// while it works, so appenders call it before they take theirs.
    ///
    /// # Errors
    /// `NoSpace` when the file system is full.
    pub(crate) fn prepare_spares(&self) -> Result<()> {
        self.prepare_spares_if(&|_| Ok(()))
    }

    /// [`Self::prepare_spares`] where `room` is asked about the bytes of each new file.
    pub(crate) fn prepare_spares_if(&self, room: &dyn Fn(u64) -> Result<()>) -> Result<()> {
        let _one = self.making.lock().expect(poisoned!());
        loop {
            let mut inner = self.lock();
            if inner.spares.len() >= SPARES {
                return Ok(());
            }
            let path = self.dir.join(format!("spare-{:08}", inner.next_spare));
            inner.next_spare += 1;
            drop(inner);
            room(u64::from(self.segment_blocks) * BLOCK_BYTES as u64)?;
            let spare = Spare::create(&*self.io, path, self.segment_blocks)?;
            self.lock().spares.push(spare);
        }
    }

    /// Bytes of written batches that are in memory.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.recent.kept_bytes() as u64
    }

    /// The segment that is being written.
    #[cfg(test)]
    pub(crate) fn current_number(&self) -> u64 {
        self.lock().current.header.number
    }

    /// Spare segments at hand.
    #[cfg(test)]
    pub(crate) fn spare_count(&self) -> usize {
        self.lock().spares.len()
    }

    /// Whether a segment must be added before much more data can be appended.
    pub(crate) fn wants_spares(&self) -> bool {
        self.lock().spares.len() < SPARES
    }

    /// The segment that holds a container, if it is a window of one.
    pub(crate) fn segment_of(&self, container: ContainerId) -> Option<Arc<Segment>> {
        let segments = self.segments.read().expect(poisoned!());
        let (first, segment) = segments.range(..=container.0).next_back()?;
        (container.0 < first + segment.windows()).then(|| Arc::clone(segment))
    }

    /// Reads consecutive blocks, from the file or from memory, whichever has them.
    pub(crate) fn read(&self, segment: &Segment, block: u32, out: &mut [u8]) -> Result<()> {
        if self.recent.read(segment.header.number, block, out) {
            return Ok(());
        }
        let end = block + (out.len() / BLOCK_BYTES) as u32;
        if end > segment.written() && self.read_unwritten(segment, block, out) {
            return Ok(());
        }
        // Not in memory any more, and still not in the file: its writing has failed.
        if end > segment.written() {
            return Err(Self::failed());
        }
        segment.read(block, out)
    }

    /// Reads consecutive blocks as [`Self::read`] does, if that takes no wait for the disk. Whatever
    /// is wrong, [`Self::read`] tells.
    pub(crate) fn read_ready(&self, segment: &Segment, block: u32, out: &mut [u8]) -> bool {
        let end = block + (out.len() / BLOCK_BYTES) as u32;
        self.recent.read(segment.header.number, block, out)
            || end <= segment.written() && segment.read_cached(block, out)
    }

    /// Keeps so many bytes of written batches from now on.
    pub(crate) fn keep(&self, bytes: u64) {
        self.recent.keep(bytes as usize);
    }

    /// Begins to fetch blocks that are in the file alone; says whether these are.
    pub(crate) fn prefetch(&self, segment: &Segment, first_block: u32, blocks: u32) -> bool {
        let kept = self.recent.has(segment.header.number, first_block);
        let in_file = !kept && first_block + blocks <= segment.written();
        if in_file {
            segment.prefetch(first_block, blocks);
        }
        in_file
    }

    /// Reads consecutive chunks of an ended segment that nobody is likely to read here again: past
    /// the page cache where they are many. `out` is aligned to a block.
    pub(crate) fn read_once(&self, segment: &Segment, block: u32, out: &mut [u8]) -> Result<()> {
        if out.len() < READ_ONCE_BYTES {
            return self.read(segment, block, out);
        }
        if self.recent.read(segment.header.number, block, out) {
            return Ok(());
        }
        segment.read_from_disk(block, out)
    }

    /// Segments that are closed for appending, oldest first.
    pub(crate) fn ended_segments(&self) -> Vec<Arc<Segment>> {
        let current = self.lock().current.header.first_container;
        let segments = self.segments.read().expect(poisoned!());
        segments
            .range(..current)
            .map(|(_, segment)| Arc::clone(segment))
            .collect()
    }

    /// The first segment whose windows begin at `container` or behind it.
    pub(crate) fn segment_from(&self, container: u64) -> Option<Arc<Segment>> {
        let segments = self.segments.read().expect(poisoned!());
        let found = segments.range(container..).next();
        found.map(|(_, segment)| Arc::clone(segment))
    }

    /// How far a segment can be scanned.
    pub(crate) fn written_part(&self, segment: &Segment) -> WrittenPart {
        let is_current = self.lock().current.header.number == segment.header.number;
        match is_current {
            true => WrittenPart::Blocks(segment.written()),
            false => WrittenPart::Sequence(segment.last_sequence()),
        }
    }

    /// First sequence of the oldest segment that is not among some.
    pub(crate) fn first_sequence_without(&self, some: &[Arc<Segment>]) -> u64 {
        let segments = self.segments.read().expect(poisoned!());
        let others = segments
            .values()
            .filter(|segment| !some.iter().any(|one| Arc::ptr_eq(one, segment)));
        others
            .map(|segment| segment.header.first_sequence)
            .min()
            .unwrap_or(0)
    }

    /// Makes the names of segments durable: what was given back does not return after a crash.
    pub(crate) fn sync_names(&self) -> Result<()> {
        self.io
            .sync_dir(&self.dir)
            .map_err(|e| Error::io("syncing the journal's folder", e))
    }

    /// Forgets a segment whose chunks are all elsewhere. Reads that already hold it may go on.
    pub(crate) fn forget(&self, segment: &Segment) {
        self.segments
            .write()
            .expect(poisoned!())
            .remove(&segment.header.first_container);
        self.recent.forget(segment.header.number);
        self.segments_in_use.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits a moment for a segment to begin or go.
    pub(crate) fn wait_for_change(&self) {
        let waited = self
            .room
            .wait_timeout(self.lock(), Duration::from_millis(200));
        drop(waited.expect(poisoned!()));
    }

    /// Wakes everybody who waits for room, to look at the state of things again.
    pub(crate) fn wake_waiters(&self) {
        self.room.notify_all();
    }

    /// Ends the waiting in [`Self::wait_for_writing`], now and from now on.
    pub(crate) fn dismiss_writer(&self) {
        self.lock_anyway().closing = true;
        self.pending.notify_all();
    }

    /// Uses the file of a forgotten segment again, or removes it. No read may be under way.
    pub(crate) fn recycle(&self, segment: &Segment) -> Result<()> {
        let old = Self::segment_path(&self.dir, segment.header.number);
        let failed = |e| Error::io(format!("giving back {}", old.display()), e);
        let most = self.spares_max();
        let mut inner = self.lock();
        let keep = inner.spares.len() < most && segment.header.blocks == self.segment_blocks;
        let spare = self.dir.join(format!("spare-{:08}", inner.next_spare));
        inner.next_spare += 1;
        drop(inner);
        if keep {
            self.io.rename(&old, &spare).map_err(failed)?;
            self.lock().spares.push(segment.recycle(spare));
        } else {
            self.io.remove(&old).map_err(failed)?;
        }
        self.room.notify_all();
        Ok(())
    }

    /// How many spares are worth their space now.
    fn spares_max(&self) -> usize {
        let all = (SPARES_MAX * self.segment_blocks as usize * BLOCK_BYTES) as u64;
        match self.io.space(&self.dir) {
            Ok(space) if space.free_bytes > ROOMY_TIMES * all => SPARES_MAX,
            _ => SPARES + 1,
        }
    }

    /// Removes spares that are not worth their space any more.
    pub(crate) fn shed_spares(&self) -> Result<()> {
        let most = self.spares_max();
        let mut inner = self.lock();
        let first = inner.spares.len().min(most);
        let shed = inner.spares.split_off(first);
        drop(inner);
        for spare in shed {
            self.io
                .remove(&spare.path)
                .map_err(|e| Error::io(format!("removing {}", spare.path.display()), e))?;
        }
        Ok(())
    }

    /// Bytes of all segment files that are in use, whole.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments_in_use.load(Ordering::Relaxed)
            * u64::from(self.segment_blocks)
            * BLOCK_BYTES as u64
    }

    /// Bytes that batches take in all segments.
    pub(crate) fn used_bytes(&self) -> u64 {
        let ended: u64 = self
            .ended_segments()
            .iter()
            .map(|segment| segment.used_bytes())
            .sum();
        ended + self.current_bytes()
    }

    /// Bytes that batches take in the segment that is being written.
    pub(crate) fn current_bytes(&self) -> u64 {
        self.lock().current_bytes()
    }

    /// Whether a failed write or sync has stopped the journal.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().failed
    }

    /// Stops the journal after a failure elsewhere that makes acknowledging unsafe.
    pub(crate) fn fail(&self) {
        self.lock_anyway().failed = true;
        self.changed.notify_all();
        self.room.notify_all();
    }
}

/// Opens spare files left behind, and says the numbers of the segments that they were.
fn spare_files(settings: &JournalSettings, names: &[String]) -> Result<(Vec<Spare>, Vec<u64>)> {
    let (mut spares, mut numbers) = (Vec::new(), Vec::new());
    for name in names {
        let spare = Spare::open(&*settings.io, settings.dir.join(name), Create::Never)?;
        // One that does not read will not count later either.
        numbers.extend(spare.header().ok().flatten().map(|header| header.number));
        // A crash may have left one half-made; it is cheaper to make it anew.
        if spare.blocks()? == settings.segment_blocks && spares.len() < SPARES_MAX {
            spares.push(spare);
        } else {
            settings
                .io
                .remove(&spare.path)
                .map_err(|e| Error::io(format!("removing {}", spare.path.display()), e))?;
        }
    }
    Ok((spares, numbers))
}
