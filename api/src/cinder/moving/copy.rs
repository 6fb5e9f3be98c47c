//! Copying a disk from one backend to another: data only, holes stay holes.
//!
//! What the target holds already is not written again, so that a copy that was cut short goes on
//! where it was, as fast as both sides can be read. The caller sees to it that the source does not
//! change meanwhile.

use store::{Durability, ExtentKind, Snapshot, Volume};

use crate::jobs::{JobError, Progress};

/// Bytes read and written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// Extents asked of the engine at a time.
const EXTENTS_STEP: usize = 1024;

/// What can be copied from.
pub(in crate::cinder) trait Source {
    /// Length in bytes.
    fn size_bytes(&self) -> u64;
    /// As [`Volume::read`].
    fn read(&self, offset: u64, buffer: &mut [u8]) -> store::Result<()>;
    /// As [`Volume::extents`].
    fn extents(&self, offset: u64, len: u64, max: usize) -> store::Result<Vec<store::Extent>>;
}

macro_rules! source {
    ($kind:ty) => {
        impl Source for $kind {
            fn size_bytes(&self) -> u64 {
                <$kind>::size_bytes(self)
            }

            fn read(&self, offset: u64, buffer: &mut [u8]) -> store::Result<()> {
                <$kind>::read(self, offset, buffer)
            }

            fn extents(
                &self,
                offset: u64,
                len: u64,
                max: usize,
            ) -> store::Result<Vec<store::Extent>> {
                <$kind>::extents(self, offset, len, max)
            }
        }
    };
}

source!(Volume);
source!(Snapshot);

/// Copies all data of `source` to `target`, durably; `progress` hears of every step and may end it.
pub(in crate::cinder) fn copy(
    source: &dyn Source,
    target: &Volume,
    progress: &Progress<'_>,
) -> Result<(), JobError> {
    let size = source.size_bytes();
    let mut buffers = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    let mut offset = 0;
    while offset < size {
        for extent in source.extents(offset, size - offset, EXTENTS_STEP)? {
            let end = offset + extent.len;
            while offset < end {
                let len = usize::try_from(end - offset).unwrap_or(PIECE_BYTES);
                if extent.kind != ExtentKind::Data {
                    offset = end;
                    continue;
                }
                let len = len.min(PIECE_BYTES);
                piece(source, target, offset, len, &mut buffers)?;
                offset += len as u64;
                progress.report(offset, size)?;
            }
        }
    }
    Ok(target.flush()?)
}

fn piece(
    source: &dyn Source,
    target: &Volume,
    offset: u64,
    len: usize,
    (wanted, found): &mut (Vec<u8>, Vec<u8>),
) -> store::Result<()> {
    let (wanted, found) = (&mut wanted[..len], &mut found[..len]);
    source.read(offset, wanted)?;
    target.read(offset, found)?;
    if wanted == found {
        return Ok(());
    }
    target.write(offset, wanted, Durability::Buffered)
}
