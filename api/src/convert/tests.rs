//! Images from hand and from `qemu-img`: what is taken, what is refused, and what comes out.

mod hostile;
mod images;
mod sandboxed;

use super::{Bytes, Inspected, Refusal, inspect};

/// What [`inspect`] answers for bytes in memory.
fn look(bytes: &[u8], disk_format: &str) -> Result<Option<Inspected>, Refusal> {
    inspect(&Claimed(bytes, bytes.len() as u64), disk_format)
}

/// The words of a refusal.
fn refused(bytes: &[u8], disk_format: &str) -> String {
    match look(bytes, disk_format) {
        Err(refusal) => refusal.to_string(),
        Ok(found) => panic!("{disk_format} was taken: {found:?}"),
    }
}

/// A file of a length that nobody has room for: some bytes at its beginning, then zeroes.
struct Claimed<'a>(&'a [u8], u64);

impl Bytes for Claimed<'_> {
    fn count(&self) -> u64 {
        self.1
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        // Whoever reads a lot at once has believed a number.
        assert!(buffer.len() <= 64 << 10, "{} bytes at once", buffer.len());
        if offset + buffer.len() as u64 > self.1 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        for (at, byte) in buffer.iter_mut().enumerate() {
            let at = usize::try_from(offset).unwrap() + at;
            *byte = self.0.get(at).copied().unwrap_or(0);
        }
        Ok(())
    }
}
