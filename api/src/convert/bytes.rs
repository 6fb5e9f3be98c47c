//! Random access to bytes of unknown origin.

use std::io;

/// Bytes that can be read anywhere.
pub trait Bytes {
    /// How many there are.
    fn count(&self) -> u64;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// When the range is not within the bytes, and those of the storage.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The bytes of an image, in a volume of the store that is rounded up.
pub struct Stored {
    /// Where they are.
    pub volume: store::Volume,
    /// How many of them are the image's.
    pub len: u64,
}

/// Refuses a range that is not within `all` bytes.
fn check(all: u64, offset: u64, len: usize) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= all => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Bytes for Stored {
    fn count(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        check(self.len, offset, buffer.len())?;
        self.volume.read(offset, buffer).map_err(io::Error::other)
    }
}
