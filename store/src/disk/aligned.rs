//! Byte buffers aligned to [`BLOCK_BYTES`], as direct I/O needs them.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::{NonNull, null_mut};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::BLOCK_BYTES;

/// Larger buffers are mappings of their own: the system has their memory back as soon as they go,
/// which an allocator does not promise.
const MAPPED_BYTES: usize = 1 << 20;

/// A growable byte buffer whose memory starts at a multiple of [`BLOCK_BYTES`]. Its capacity is a
/// multiple of it too; clearing keeps the memory.
pub struct AlignedBuf {
    /// Start of `capacity` bytes, all of which are initialised; dangling if there are none.
    memory: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: the buffer owns its memory alone, as a `Vec<u8>` does.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared references only read.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer without memory.
    pub fn new() -> Self {
        Self {
            memory: NonNull::dangling(),
            len: 0,
            capacity: 0,
        }
    }

    /// An empty buffer with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Self::new();
        buffer.reserve(bytes);
        buffer
    }

    /// A buffer of `len` zero bytes.
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::with_capacity(len);
        // Fresh memory is zero.
        buffer.len = len;
        buffer
    }

    /// Where its memory begins: `capacity` bytes, with anything in them, until it grows or goes.
    pub(crate) fn memory_mut(&mut self) -> NonNull<u8> {
        self.memory
    }

    /// Bytes it holds without growing.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Empties the buffer; its memory stays.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Makes room for `additional` bytes behind the present ones.
    pub fn reserve(&mut self, additional: usize) {
        let needed = self
            .len
            .checked_add(additional)
            .expect("the address space is larger");
        if needed > self.capacity {
            self.grow(needed.max(self.capacity.saturating_mul(2)));
        }
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: `reserve` made room for `bytes.len()` bytes behind `len`, and a borrowed slice
        // cannot lie in memory that `self` owns mutably.
        unsafe {
            let end = self.memory.as_ptr().add(self.len);
            end.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        self.len += bytes.len();
    }

    /// Cuts the buffer, or extends it by zeroes, to `len` bytes.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
            // SAFETY: `reserve` made room up to `len`.
            unsafe {
                self.memory
                    .as_ptr()
                    .add(self.len)
                    .write_bytes(0, len - self.len);
            }
        }
        self.len = len;
    }

    /// Extends the buffer by zeroes to the next multiple of [`BLOCK_BYTES`].
    pub fn pad_to_block(&mut self) {
        self.resize(self.len.next_multiple_of(BLOCK_BYTES));
    }

    fn grow(&mut self, at_least: usize) {
        let capacity = at_least.next_multiple_of(BLOCK_BYTES);
        let Some(memory) = NonNull::new(allocate(capacity)) else {
            handle_alloc_error(layout(capacity))
        };
        // SAFETY: both areas hold at least `len` bytes and the new one is fresh.
        unsafe {
            memory
                .as_ptr()
                .copy_from_nonoverlapping(self.memory.as_ptr(), self.len);
        }
        self.free();
        self.memory = memory;
        self.capacity = capacity;
    }

    /// Gives the memory back; the caller replaces it or goes away.
    fn free(&mut self) {
        let memory = self.memory.as_ptr();
        if self.capacity >= MAPPED_BYTES {
            // SAFETY: mapped by `allocate` with this very length, and unmapped once. Only lengths that
            // are no mapping's could fail.
            let _ = unsafe { munmap(memory.cast(), self.capacity) };
        } else if self.capacity > 0 {
            // SAFETY: allocated by `allocate` with this very layout, and freed once.
            unsafe { dealloc(memory, layout(self.capacity)) };
        }
    }
}

/// Fresh memory of `capacity` zero bytes, at least one block; null when there is none.
fn allocate(capacity: usize) -> *mut u8 {
    if capacity < MAPPED_BYTES {
        // SAFETY: the layout is not empty.
        return unsafe { alloc_zeroed(layout(capacity)) };
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping that replaces none.
    let mapped = unsafe { mmap_anonymous(null_mut(), capacity, protection, MapFlags::PRIVATE) };
    mapped.map_or(null_mut(), <*mut _>::cast)
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, BLOCK_BYTES).expect("buffers are far below isize::MAX")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        self.free();
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: all bytes are initialised and owned; dangling is fine for none.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl Clone for AlignedBuf {
    fn clone(&self) -> Self {
        let mut copy = Self::with_capacity(self.len);
        copy.extend_from_slice(self);
        copy
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::{AlignedBuf, BLOCK_BYTES};

    #[test]
    fn memory_is_aligned_and_grows_in_blocks() {
        let mut buffer = AlignedBuf::new();
        assert_eq!((buffer.len(), buffer.capacity()), (0, 0));
        let mut expected = Vec::new();
        for i in 0..3000u32 {
            buffer.extend_from_slice(&i.to_le_bytes());
            expected.extend_from_slice(&i.to_le_bytes());
            assert_eq!(buffer.as_ptr() as usize % BLOCK_BYTES, 0);
            assert_eq!(buffer.capacity() % BLOCK_BYTES, 0);
        }
        assert_eq!(&buffer[..], &expected[..]);
        assert_eq!(&buffer.clone()[..], &expected[..]);
    }

    #[test]
    fn growing_after_a_cut_reads_as_zeroes() {
        let mut buffer = AlignedBuf::zeroed(10);
        buffer.fill(0xFF);
        buffer.resize(4);
        buffer.pad_to_block();
        assert_eq!(buffer.len(), BLOCK_BYTES);
        assert_eq!(&buffer[..4], &[0xFF; 4]);
        assert!(buffer[4..].iter().all(|&byte| byte == 0));
        buffer.clear();
        assert!(buffer.is_empty() && buffer.capacity() == BLOCK_BYTES);
    }
}
