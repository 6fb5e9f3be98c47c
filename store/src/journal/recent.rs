//! Batches in memory, for reading: those that have not reached their file, and those that have lately.
//!
//! The journal is written past the page cache, which would cost a copy and, worse, fresh memory for
//! every byte of a stream. What was written last is what guests and the packer read next, so the
//! batches themselves take the page cache's place, up to a limit. Of those that leave most of their
//! buffer empty, a copy is kept among others in one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::buffers::slab::{Plain, Slab};
use crate::buffers::{Buffer, Buffers, Charge};
use crate::disk::BLOCK_BYTES;
use crate::journal::batch::ClosedBatch;
use crate::journal::poisoned;

/// A batch's place: the number of its segment, and its first block.
type Key = (u64, u32);

/// The batches.
pub(super) struct Recent {
    batches: RwLock<Batches>,
    buffers: Arc<Buffers>,
    copies: Copies,
    /// Bytes that written batches take at most.
    keep_bytes: AtomicUsize,
}

#[derive(Default)]
struct Batches {
    unwritten: BTreeMap<Key, Arc<ClosedBatch>>,
    written: BTreeMap<Key, Kept>,
    written_bytes: usize,
}

/// A batch that is in its file as well.
#[derive(Clone)]
enum Kept {
    /// One that fills most of its buffer.
    Whole(Arc<ClosedBatch>),
    /// A copy of one that does not: buffers are as large as the largest batch.
    Copy(Plain<Noted>),
}

/// What is noted about a slab of copies.
struct Noted {
    /// Batches of [`Batches::written`] that lie in it; changed under their lock only.
    kept: AtomicUsize,
    /// Its place among the common buffers, where it is none of them.
    _charge: Option<Charge>,
}

/// Where copies lie.
struct Copies {
    /// Smaller buffers, where memory is too small for the common ones.
    own: Option<Arc<Buffers>>,
    /// The one that is being filled.
    current: Mutex<Option<Arc<Slab<Noted>>>>,
}

impl Copies {
    /// Copies a batch behind the last.
    fn add(&self, bytes: &[u8], common: &Arc<Buffers>) -> Plain<Noted> {
        let mut current = self.current.lock().expect(poisoned!());
        let cut = current.as_ref().and_then(|slab| slab.cut(bytes.len()));
        let mut piece = cut.unwrap_or_else(|| {
            let slab = self.slab(bytes.len(), common);
            let piece = slab.cut(bytes.len()).expect("it has room for so much");
            *current = Some(slab);
            piece
        });
        drop(current);
        piece.copy_from_slice(bytes);
        piece.freeze()
    }

    fn slab(&self, len: usize, common: &Arc<Buffers>) -> Arc<Slab<Noted>> {
        let mut buffer = self.own.as_ref().unwrap_or(common).take();
        buffer.reserve(len);
        let charge = self.own.is_some().then(|| common.charge(buffer.capacity()));
        let kept = AtomicUsize::new(0);
        Slab::new(
            buffer,
            Noted {
                kept,
                _charge: charge,
            },
        )
    }

    /// Gives up a slab that nobody needs.
    fn give_up_idle(&self) {
        let mut current = self.current.lock().expect(poisoned!());
        current.take_if(|slab| slab.about.kept.load(Ordering::Relaxed) == 0);
    }
}

impl Kept {
    fn of(batch: &Arc<ClosedBatch>, recent: &Recent) -> Self {
        let bytes: &[u8] = &batch.bytes;
        if bytes.len() >= batch.bytes.capacity() / 2 {
            return Self::Whole(Arc::clone(batch));
        }
        Self::Copy(recent.copies.add(bytes, &recent.buffers))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Whole(batch) => &batch.bytes,
            Self::Copy(copy) => copy,
        }
    }
}

impl Batches {
    fn keep(&mut self, key: Key, kept: Kept) {
        self.written_bytes += match &kept {
            Kept::Whole(batch) => batch.bytes.capacity(),
            Kept::Copy(copy) => match copy.slab().about.kept.fetch_add(1, Ordering::Relaxed) {
                0 => copy.slab().bytes(),
                _ => 0,
            },
        };
        self.written.insert(key, kept);
    }

    /// Counts one no more that was taken out.
    fn discount(&mut self, kept: &Kept) {
        self.written_bytes -= match kept {
            Kept::Whole(batch) => batch.bytes.capacity(),
            Kept::Copy(copy) => match copy.slab().about.kept.fetch_sub(1, Ordering::Relaxed) {
                1 => copy.slab().bytes(),
                _ => 0,
            },
        };
    }

    /// Takes out what is beyond a limit, the oldest first.
    fn shrink(&mut self, keep_bytes: usize) -> Vec<Kept> {
        let mut dropped = Vec::new();
        while self.written_bytes > keep_bytes
            && let Some((_, oldest)) = self.written.pop_first()
        {
            self.discount(&oldest);
            dropped.push(oldest);
        }
        dropped
    }
}

impl Recent {
    pub(super) fn new(buffers: Arc<Buffers>, keep_bytes: usize) -> Self {
        Self {
            batches: RwLock::default(),
            copies: Copies {
                // The idle ones among them would be in no count.
                own: buffers.smaller(keep_bytes as u64, 0),
                current: Mutex::default(),
            },
            buffers,
            keep_bytes: keep_bytes.into(),
        }
    }

    /// Keeps so many bytes of written batches from now on.
    pub(super) fn keep(&self, bytes: usize) {
        if self.keep_bytes.swap(bytes, Ordering::Relaxed) <= bytes {
            return;
        }
        // Giving memory back takes its time, and readers need not wait for it.
        let beyond = self.batches.write().expect(poisoned!()).shrink(bytes);
        drop(beyond);
    }

    /// An empty buffer for a batch.
    pub(super) fn buffer(&self) -> Buffer {
        self.buffers.take()
    }

    /// Bytes that written batches take.
    pub(super) fn kept_bytes(&self) -> usize {
        self.batches.read().expect(poisoned!()).written_bytes
    }

    /// Takes in a batch that is about to be written.
    pub(super) fn add(&self, batch: &Arc<ClosedBatch>) {
        let mut batches = self.batches.write().expect(poisoned!());
        batches.unwritten.insert(batch.key(), Arc::clone(batch));
    }

    /// Notes that batches have reached their file.
    pub(super) fn written(&self, written: &[Arc<ClosedBatch>]) {
        let kept: Vec<Kept> = written.iter().map(|batch| Kept::of(batch, self)).collect();
        let mut batches = self.batches.write().expect(poisoned!());
        for (batch, kept) in written.iter().zip(kept) {
            batches.unwritten.remove(&batch.key());
            batches.keep(batch.key(), kept);
        }
        let beyond = batches.shrink(self.keep_bytes.load(Ordering::Relaxed));
        drop(batches);
        drop(beyond);
    }

    /// Forgets what will never reach its file: it must not read as if it had.
    pub(super) fn give_up_unwritten(&self) {
        let mut batches = self.batches.write().expect(poisoned!());
        batches.unwritten.clear();
    }

    /// Stops keeping what is in a segment.
    pub(super) fn forget(&self, segment: u64) {
        let mut batches = self.batches.write().expect(poisoned!());
        let of_it = batches.written.range((segment, 0)..=(segment, u32::MAX));
        let keys: Vec<Key> = of_it.map(|(key, _)| *key).collect();
        let mut dropped = Vec::new();
        for key in keys {
            if let Some(kept) = batches.written.remove(&key) {
                batches.discount(&kept);
                dropped.push(kept);
            }
        }
        drop(batches);
        drop(dropped);
        self.copies.give_up_idle();
    }

    /// Copies blocks that one batch holds; `false` when none here does.
    pub(super) fn read(&self, segment: u64, first_block: u32, out: &mut [u8]) -> bool {
        let Some((start_block, kept)) = self.find((segment, first_block)) else {
            return false;
        };
        copy_blocks(kept.bytes(), start_block, first_block, out)
    }

    /// Whether a block is held here.
    pub(super) fn has(&self, segment: u64, block: u32) -> bool {
        self.find((segment, block)).is_some_and(|(start, kept)| {
            (block - start) as usize * BLOCK_BYTES < kept.bytes().len()
        })
    }

    /// The batch that starts at or last before a place of a segment.
    fn find(&self, place: Key) -> Option<(u32, Kept)> {
        let upto = (Bound::Included((place.0, 0)), Bound::Included(place));
        let batches = self.batches.read().expect(poisoned!());
        // What is unwritten is newer, and so lies behind all that is written.
        if let Some((key, batch)) = batches.unwritten.range(upto).next_back() {
            return Some((key.1, Kept::Whole(Arc::clone(batch))));
        }
        let (key, kept) = batches.written.range(upto).next_back()?;
        Some((key.1, kept.clone()))
    }
}

/// Copies blocks out of a batch that starts at `start`; `false` when it does not hold them all.
pub(super) fn copy_blocks(bytes: &[u8], start: u32, first_block: u32, out: &mut [u8]) -> bool {
    let Some(skip) = first_block.checked_sub(start) else {
        return false;
    };
    let from = skip as usize * BLOCK_BYTES;
    let Some(source) = bytes.get(from..from + out.len()) else {
        return false;
    };
    out.copy_from_slice(source);
    true
}
