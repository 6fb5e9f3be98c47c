//! The only door to the outside world: files, clock and randomness.
//!
//! Everything in this crate reaches storage through [`Io`] and [`File`], so that tests can record,
//! fail, and cut every operation. Nothing else in the crate touches `std::fs`, the clock or a
//! random source.
//!
//! Contracts that all implementations keep:
//! - `read_at` and `write_at` are exact: they transfer all bytes or fail.
//! - Written bytes are durable only after [`File::sync_data`]; names (create, rename, remove) only
//!   after [`Io::sync_dir`] of their folder.
//! - A full file system is [`std::io::ErrorKind::StorageFull`].

mod aligned;
mod real;
mod recording;
mod redb_file;
pub mod sim;

use std::io;
use std::path::Path;
use std::sync::Arc;

pub use aligned::AlignedBuf;
pub use real::RealIo;
pub use recording::{IoCounts, RecordingIo};
pub use redb_file::{RedbFile, Relief};

/// Size and alignment in bytes of everything written past the page cache.
pub const BLOCK_BYTES: usize = 4096;

/// Whether a file must exist, must not, or may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Open an existing file; otherwise `NotFound`.
    Never,
    /// Create the file; otherwise `AlreadyExists`.
    New,
    /// Open the file, creating it when absent.
    IfMissing,
}

/// How a file's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Through the page cache.
    Buffered,
    /// Past the page cache where the file system can; buffers, offsets and lengths must be multiples
    /// of [`BLOCK_BYTES`], memory included.
    Direct,
}

/// Free and total space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Capacity.
    pub total_bytes: u64,
    /// What may still be allocated.
    pub free_bytes: u64,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last path component.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// Folder operations, clock and randomness.
pub trait Io: Send + Sync {
    /// Opens a file for reading and writing, mode 0600 when created.
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>>;
    /// Renames within one file system, replacing `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Creates a folder of mode 0700 and its parents; existing ones are fine.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder, sorted.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Whether nobody but its owner may read or write a file.
    fn is_private(&self, _path: &Path) -> io::Result<bool> {
        Ok(true)
    }
    /// Space of the file system that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// Files that the program may have open at once.
    fn open_files_max(&self) -> u64 {
        1024
    }
    /// Wall clock in microseconds since 1970.
    fn now_us(&self) -> u64;
    /// Fills `buffer` from a cryptographic source.
    fn random(&self, buffer: &mut [u8]);
}

/// One open file. Offsets and lengths are in bytes.
#[allow(
    clippy::len_without_is_empty,
    reason = "a file is no collection; asking its length can fail"
)]
pub trait File: Send + Sync {
    /// Fills `buffer` from `offset`; `UnexpectedEof` when the file ends before.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `data` at `offset`, growing the file if needed.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes later reads see what the disk has: after a failed sync, which the program may not have
    /// lived to tell of, the page cache shows what never reached it. What waits to be written stays.
    fn forget_cached(&self) {}
    /// Fills `buffers` one after the other from `offset` if the page cache has all of it; `false` says
    /// that the disk would have to be waited for, or that nobody can tell. What they hold then means
    /// nothing.
    fn read_cached_at(&self, _buffers: &mut [io::IoSliceMut<'_>], _offset: u64) -> bool {
        false
    }
    /// Advises that a range will be read soon, so that the page cache can begin to fetch it.
    fn will_read(&self, _offset: u64, _len: u64) {}
    /// Makes everything written so far durable, the length included.
    fn sync_data(&self) -> io::Result<()>;
    /// Current length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts or extends with a hole.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Gives real blocks to a range, growing the file if needed. What was written there stays; the
    /// rest reads as zeroes. A file that cannot get all of it may be left with a part.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Gives the blocks of a range back; it reads as zeroes afterwards.
    fn punch(&self, offset: u64, len: u64) -> io::Result<()>;
    /// Takes the exclusive lock of the file, held until it is dropped; `WouldBlock` when another
    /// process or handle has it.
    fn lock(&self) -> io::Result<()>;
}

/// Refuses what direct I/O cannot do, whatever the file system at hand would allow.
fn check_aligned(caching: Caching, buffer: &[u8], offset: u64) -> io::Result<()> {
    let together = buffer.as_ptr() as u64 | buffer.len() as u64 | offset;
    if caching == Caching::Direct && !together.is_multiple_of(BLOCK_BYTES as u64) {
        let message = "direct I/O needs buffers, offsets and lengths in whole blocks";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

#[cfg(test)]
mod conformance;
