//! Memory for what is smaller than a buffer, and lives as long as its neighbours: decoded frames, and
//! copies of small batches.
//!
//! A slab is cut front to back, and each piece is given out once: whoever has it fills it, and then it
//! is only read. The memory is free again when the slab and all that was cut from it are gone.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Buffer;

/// A buffer that is being cut up.
pub(crate) struct Slab<A> {
    /// Owns the memory; not looked at while pieces are about, but for its capacity.
    buffer: Buffer,
    /// Where its `capacity` bytes begin, all of which are initialised.
    memory: NonNull<u8>,
    /// Bytes given out, from the front.
    used: AtomicUsize,
    /// What its user notes about it.
    pub(crate) about: A,
}

// SAFETY: the memory belongs to the slab's buffer, which may be sent, and is reached only through
// pieces, which do not overlap.
unsafe impl<A: Send> Send for Slab<A> {}
// SAFETY: as above; cutting is atomic.
unsafe impl<A: Sync> Sync for Slab<A> {}

impl<A> Slab<A> {
    /// A whole slab.
    pub(crate) fn new(mut buffer: Buffer, about: A) -> Arc<Self> {
        let memory = buffer.memory_mut();
        Arc::new(Self {
            buffer,
            memory,
            used: AtomicUsize::new(0),
            about,
        })
    }

    /// Bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The next `len` bytes, if so many are left, with anything in them.
    pub(crate) fn cut(self: &Arc<Self>, len: usize) -> Option<Piece<A>> {
        let capacity = self.bytes();
        let end = |used: usize| used.checked_add(len).filter(|end| *end <= capacity);
        let cut = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, end);
        cut.ok().map(|start| {
            Piece(Plain {
                slab: Arc::clone(self),
                start,
                len,
            })
        })
    }
}

/// Memory that its holder alone may fill and read.
pub(crate) struct Piece<A>(Plain<A>);

/// What a piece was filled with, which nobody changes any more.
pub(crate) struct Plain<A> {
    slab: Arc<Slab<A>>,
    start: usize,
    len: usize,
}

impl<A> Clone for Plain<A> {
    fn clone(&self) -> Self {
        Self {
            slab: Arc::clone(&self.slab),
            ..*self
        }
    }
}

impl<A> Piece<A> {
    /// The piece as it is, for everyone to read.
    pub(crate) fn freeze(self) -> Plain<A> {
        self.0
    }
}

impl<A> Plain<A> {
    pub(crate) fn slab(&self) -> &Arc<Slab<A>> {
        &self.slab
    }

    fn memory(&self) -> *mut u8 {
        // SAFETY: `cut` has checked that the piece ends inside the slab.
        unsafe { self.slab.memory.as_ptr().add(self.start) }
    }
}

impl<A> Deref for Plain<A> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: initialised, inside the slab, which is kept alive here, and no piece of another: only
        // a `Piece` is written to, and this is one no more, or is borrowed from it.
        unsafe { slice::from_raw_parts(self.memory(), self.len) }
    }
}

impl<A> Deref for Piece<A> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<A> DerefMut for Piece<A> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `Plain::deref`; a piece's `Plain` has no clones, and it is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.0.memory(), self.0.len) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::Slab;
    use crate::buffers::Buffers;

    #[test]
    fn pieces_do_not_overlap_and_outlive_the_slab() {
        let buffers = Buffers::new(64 << 10, 1, 0);
        let slab = Slab::new(buffers.take(), ());
        let cut = |slab: Arc<Slab<()>>, with: u8| {
            let mut pieces = Vec::new();
            while let Some(mut piece) = slab.cut(1000 + usize::from(with)) {
                piece.fill(with);
                pieces.push(piece);
            }
            pieces
        };
        let pieces: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (1..5)
                .map(|with| {
                    let slab = Arc::clone(&slab);
                    scope.spawn(move || cut(slab, with))
                })
                .collect();
            let cut = threads.into_iter().map(|one| one.join().unwrap());
            cut.flatten().collect()
        });
        assert!(pieces.len() >= 60, "{}", pieces.len());
        drop(slab);
        assert_eq!(buffers.held_bytes(), 64 << 10);
        for piece in pieces {
            let plain = piece.freeze();
            let with = plain[0];
            assert_eq!(plain.len(), 1000 + usize::from(with));
            assert!(plain.iter().all(|byte| *byte == with));
        }
        let place = buffers.take().as_ptr();
        assert_eq!(buffers.take().as_ptr(), place, "its memory is free again");
    }
}
