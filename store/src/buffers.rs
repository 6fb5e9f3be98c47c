//! Memory that the journal's batches and decoded frames take turns with.
//!
//! Fresh memory costs more than anything else on the way of a stream, so buffers are used again,
//! whoever had them before: what packing has emptied of batches holds frames next, and the other way
//! round. Each is counted until it is gone, and idle ones go when all together are beyond the limit.

pub(crate) mod slab;

use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::disk::AlignedBuf;
use crate::journal::poisoned;

/// Slabs that a share of memory must have room for.
const SLABS_MIN: u64 = 4;
/// The smallest slab: a few frames of the usual size.
const SLAB_BYTES_MIN: u64 = 64 << 10;

/// The buffers, all of one size.
pub(crate) struct Buffers {
    buffer_bytes: usize,
    /// Idle ones that are kept whatever the limit is.
    idle_min: usize,
    idle: Mutex<Vec<AlignedBuf>>,
    /// Bytes of all buffers, idle or not, and of what else was charged.
    held_bytes: AtomicUsize,
    limit_bytes: AtomicUsize,
}

impl Buffers {
    pub(crate) fn new(buffer_bytes: usize, idle_min: usize, limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            buffer_bytes,
            idle_min,
            idle: Mutex::default(),
            held_bytes: AtomicUsize::new(0),
            limit_bytes: AtomicUsize::new(limit_bytes as usize),
        })
    }

    /// Smaller ones for slabs of a share of memory in which these are too large; all of them may take
    /// `limit_bytes` and stay when they are idle.
    pub(crate) fn smaller(&self, share_bytes: u64, limit_bytes: u64) -> Option<Arc<Self>> {
        (SLABS_MIN * self.buffer_bytes as u64 > share_bytes).then(|| {
            let slab_bytes = (share_bytes / SLABS_MIN).max(SLAB_BYTES_MIN);
            let slab_bytes = slab_bytes.next_multiple_of(SLAB_BYTES_MIN) as usize;
            Self::new(slab_bytes, 0, limit_bytes)
        })
    }

    /// What one takes.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Bytes of memory that all take.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes.load(Ordering::Relaxed) as u64
    }

    /// Whether another can be had inside the limit.
    pub(crate) fn has_room(&self) -> bool {
        let held = self.held_bytes.load(Ordering::Relaxed) + self.buffer_bytes;
        held <= self.limit_bytes.load(Ordering::Relaxed)
            || !self.idle.lock().expect(poisoned!()).is_empty()
    }

    /// An empty buffer: an idle one if there is one, otherwise a new one, whatever the limit is.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let idle = self.idle.lock().expect(poisoned!()).pop();
        let bytes = idle.unwrap_or_else(|| {
            self.held_bytes
                .fetch_add(self.buffer_bytes, Ordering::Relaxed);
            AlignedBuf::with_capacity(self.buffer_bytes)
        });
        Buffer {
            bytes,
            home: Arc::clone(self),
        }
    }

    /// Counts memory that is none of theirs, and takes its place among them.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.shed();
        Charge {
            bytes,
            home: Arc::clone(self),
        }
    }

    fn discharge(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Holds so many bytes at most from now on, as far as idle buffers make them up.
    pub(crate) fn limit(&self, bytes: u64) {
        self.limit_bytes.store(bytes as usize, Ordering::Relaxed);
        self.shed();
    }

    /// Gives back the memory of idle buffers beyond the limit.
    fn shed(&self) {
        while self.is_beyond() {
            let mut idle = self.idle.lock().expect(poisoned!());
            if idle.len() <= self.idle_min {
                return;
            }
            let surplus = idle.pop();
            // Giving memory back takes its time.
            drop(idle);
            drop(surplus);
            self.discharge(self.buffer_bytes);
        }
    }

    fn is_beyond(&self) -> bool {
        self.held_bytes.load(Ordering::Relaxed) > self.limit_bytes.load(Ordering::Relaxed)
    }

    fn give_back(&self, mut bytes: AlignedBuf) {
        // One that had to grow is no longer one of them.
        if bytes.capacity() != self.buffer_bytes {
            self.discharge(self.buffer_bytes);
            return;
        }
        bytes.clear();
        self.idle.lock().expect(poisoned!()).push(bytes);
        self.shed();
    }
}

/// A buffer on loan: dropping it gives it back.
pub(crate) struct Buffer {
    bytes: AlignedBuf,
    home: Arc<Buffers>,
}

impl Deref for Buffer {
    type Target = AlignedBuf;

    fn deref(&self) -> &AlignedBuf {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut AlignedBuf {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(mem::take(&mut self.bytes));
    }
}

/// Memory that is counted until this goes.
pub(crate) struct Charge {
    bytes: usize,
    home: Arc<Buffers>,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.home.discharge(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::Buffers;

    const BYTES: usize = 64 << 10;
    const IDLE: usize = 8;

    #[test]
    fn memory_is_used_again_and_what_is_idle_beyond_the_limit_goes() {
        let many = 4 * IDLE;
        let buffers = Buffers::new(BYTES, IDLE, (many * BYTES) as u64);
        assert!(buffers.has_room());
        let mut taken: Vec<_> = (0..many).map(|_| buffers.take()).collect();
        assert!(!buffers.has_room());
        let mut places: Vec<_> = taken
            .iter_mut()
            .map(|buffer| {
                buffer.extend_from_slice(b"what it held");
                buffer.as_ptr()
            })
            .collect();
        drop(taken);
        assert!(buffers.has_room());
        assert_eq!(buffers.held_bytes(), (many * BYTES) as u64);
        let again: Vec<_> = (0..many).map(|_| buffers.take()).collect();
        assert!(again.iter().all(|buffer| buffer.is_empty()));
        let mut now: Vec<_> = again.iter().map(|buffer| buffer.as_ptr()).collect();
        places.sort_unstable();
        now.sort_unstable();
        assert!(now == places, "the same memory");
        // Others take half of what there may be.
        let others = buffers.charge(many / 2 * BYTES);
        drop(again);
        assert_eq!(buffers.held_bytes(), (many * BYTES) as u64);
        buffers.limit(0);
        let least = (many / 2 + IDLE) * BYTES;
        assert_eq!(buffers.held_bytes(), least as u64);
        drop(others);
        assert_eq!(buffers.held_bytes(), (IDLE * BYTES) as u64);
    }

    #[test]
    fn a_buffer_that_grew_is_not_used_again() {
        let buffers = Buffers::new(BYTES, 0, 1 << 30);
        let mut one = buffers.take();
        one.resize(BYTES + 1);
        drop(one);
        assert_eq!(buffers.held_bytes(), 0);
        assert_eq!(buffers.take().capacity(), BYTES);
    }
}
