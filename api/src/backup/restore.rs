//! Putting a backup back onto a volume.

use store::{Durability, ErrorKind as StoreErrorKind, Store, Volume};

use super::error::{Error, ErrorKind, Result};
use super::manifest::{Ancestor, Description};
use super::map::WINDOW_UNITS;
use super::pack::UNIT_BYTES;
use super::reader::{self, ChunkReader};
use super::repository::Chain;
use super::target::Target;
use super::writer::Watch;

const UNIT: u64 = UNIT_BYTES as u64;

/// Whether a volume has content that the backup's zeroes must replace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// It was made for this and has never been written by anybody else.
    New,
    /// It may hold anything.
    Used,
}

/// What a backup holds, once it and all it builds on are found and in order; chunks are not read.
/// With a pool, its master key must open them too.
///
/// # Errors
/// `Missing` and `Corrupt`, naming the object, and `Store` for a master key that is missing or another.
pub fn check(target: &Target, backup: &Ancestor, keys: Option<&Store>) -> Result<Description> {
    let chain = Chain::open(target, backup, keys)?;
    Ok(chain.newest().description.clone())
}

/// Writes the content of a backup to the start of a volume, which must be as long at least, and
/// makes it durable. What the volume has behind it stays.
///
/// # Errors
/// `Missing` and `Corrupt`, naming the object, `Target`, and `Store` for the volume and for a master
/// key that is missing or another. The volume then holds something of both.
pub fn restore(
    target: &Target,
    backup: &Ancestor,
    (keys, volume): (&Store, &Volume),
    onto: Onto,
    watch: &dyn Watch,
) -> Result<Description> {
    let chain = Chain::open(target, backup, Some(keys))?;
    let size_bytes = chain.newest().description.size_bytes;
    if size_bytes > volume.size_bytes() {
        let context = format!(
            "a volume of {} bytes is too small for a backup of {size_bytes}",
            volume.size_bytes()
        );
        return Err(Error::new(ErrorKind::Store, context));
    }
    let mut chunks = ChunkReader::new(&chain);
    let units = size_bytes.div_ceil(UNIT);
    let mut first = 0;
    while first < units {
        let window = reader::window(&chain, (first / WINDOW_UNITS) as u32, units - first)?;
        let mut at = 0;
        while at < window.len() {
            let count = reader::stretch(&window[at..]);
            let offset = (first + at as u64) * UNIT;
            let end = (offset + count as u64 * UNIT).min(size_bytes);
            match window[at] {
                Some(place) => {
                    let mut next = offset;
                    chunks.read(place, count, &mut |chunk| {
                        write_unit(volume, next, &chunk, size_bytes)?;
                        next += UNIT;
                        watch.progress(next.min(size_bytes), size_bytes)
                    })?;
                }
                None if onto == Onto::Used => {
                    volume.trim(offset, end - offset, Durability::Buffered)?;
                }
                None => {}
            }
            watch.progress(end, size_bytes)?;
            at += count;
        }
        first += window.len() as u64;
    }
    volume.flush()?;
    Ok(chain.newest().description.clone())
}

/// Writes one unit. A chunk of another length than the unit's is of another disk: an increment may
/// be shorter or longer than its parent, and then its last unit is its own.
fn write_unit(volume: &Volume, offset: u64, chunk: &[u8], size_bytes: u64) -> Result<()> {
    let wanted = UNIT.min(size_bytes - offset) as usize;
    let mut unit;
    let bytes = match chunk.len() {
        length if length >= wanted => &chunk[..wanted],
        length => {
            unit = vec![0; wanted];
            unit[..length].copy_from_slice(chunk);
            &unit
        }
    };
    write_all(volume, offset, bytes)
}

fn write_all(volume: &Volume, offset: u64, bytes: &[u8]) -> Result<()> {
    volume
        .write(offset, bytes, Durability::Buffered)
        .map_err(|error| match error.kind() {
            StoreErrorKind::NotFound => Error::new(ErrorKind::Store, "the volume is gone"),
            _ => error.into(),
        })
}
