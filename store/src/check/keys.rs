//! The key files of encrypted domains: whether each reads, whoever may open it.

use std::path::Path;

use crate::disk::{Caching, Create, Io};
use crate::{Error, Result};

use super::CheckReport;

/// Bytes of a key file; the last four are the checksum of the others.
const FILE_BYTES: usize = 124;

/// Looks at all key files in `dir`.
pub(super) fn check(io: &dyn Io, dir: &Path, report: &mut CheckReport) -> Result<()> {
    let entries = match io.list(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(format!("listing {}", dir.display()), error)),
    };
    for entry in entries.iter().filter(|entry| entry.name.ends_with(".key")) {
        let mut bytes = [0; FILE_BYTES];
        let read = io
            .open(&dir.join(&entry.name), Create::Never, Caching::Buffered)
            .and_then(|file| file.read_at(&mut bytes, 0));
        let name = &entry.name;
        match read {
            Err(error) => report.tell(format!("keys/{name}: {error}")),
            Ok(()) if !is_sound(&bytes) => report.tell(format!("keys/{name}: checksum differs")),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn is_sound(bytes: &[u8; FILE_BYTES]) -> bool {
    bytes
        .split_last_chunk()
        .is_some_and(|(body, crc)| crc32c::crc32c(body) == u32::from_le_bytes(*crc))
}
