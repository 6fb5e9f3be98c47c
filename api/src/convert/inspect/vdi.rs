//! vdi, dynamic or static. Numbers are little-endian.

use super::{Bytes, Reader, Refusal, le32, le64};

/// What stands at byte 64.
pub(super) const SIGNATURE: [u8; 4] = [0x7f, 0x10, 0xda, 0xbe];
const VERSION: u32 = 0x0001_0001;
/// The only sizes of sectors and blocks that are in use.
const SECTOR: u32 = 512;
const BLOCK: u32 = 1 << 20;
const DYNAMIC: u32 = 1;
const STATIC: u32 = 2;

/// Size of the disk.
pub(super) fn virtual_size(bytes: &dyn Bytes) -> Result<u64, Refusal> {
    let reader = Reader {
        bytes,
        format: "vdi",
    };
    let header: [u8; 512] = reader.array(0)?;
    if le32(&header, 68) != VERSION {
        return Err(reader.unsupported("this version"));
    }
    let kind = le32(&header, 76);
    let linked = header[424..456].iter().any(|byte| *byte != 0);
    if linked || !(kind == DYNAMIC || kind == STATIC) {
        return Err(reader.outside("a parent"));
    }
    if le32(&header, 360) != SECTOR || le32(&header, 376) != BLOCK {
        return Err(reader.unsupported("this size of blocks"));
    }
    let (size, blocks) = (le64(&header, 368), u64::from(le32(&header, 384)));
    if size.div_ceil(u64::from(BLOCK)) > blocks {
        return Err(reader.damaged("its map does not fit the disk"));
    }
    if !reader.holds(u64::from(le32(&header, 340)), blocks * 4) {
        return Err(reader.damaged("its map lies outside"));
    }
    Ok(size)
}
