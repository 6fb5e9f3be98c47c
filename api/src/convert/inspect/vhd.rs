//! vhd, fixed or dynamic. Numbers are big-endian.

use super::{Bytes, Reader, Refusal, be32, be64};

const FOOTER: u64 = 512;
const FIXED: u32 = 2;
const DYNAMIC: u32 = 3;
const DIFFERENCING: u32 = 4;
/// As QEMU.
const BLOCK_MAX: u64 = 256 << 20;

/// Size of the disk.
pub(super) fn virtual_size(bytes: &dyn Bytes) -> Result<u64, Refusal> {
    let reader = Reader {
        bytes,
        format: "vhd",
    };
    let end = bytes.count().checked_sub(FOOTER);
    let end = end.ok_or_else(|| reader.damaged("it ends too early"))?;
    let mut footer: [u8; 512] = reader.array(0)?;
    let is_dynamic = footer.starts_with(b"conectix");
    if !is_dynamic {
        footer = reader.array(end)?;
    }
    if !footer.starts_with(b"conectix") {
        return Err(Refusal::Mismatch {
            declared: "vhd",
            found: "not of that format",
        });
    }
    if be32(&footer, 64) != checksum(&footer, 64) {
        return Err(reader.damaged("the checksum of its header"));
    }
    let size = be64(&footer, 48);
    match be32(&footer, 60) {
        FIXED if !is_dynamic && size <= end => Ok(size),
        DYNAMIC if is_dynamic => check_blocks(&reader, be64(&footer, 16), size).map(|()| size),
        DIFFERENCING => Err(reader.outside("a parent")),
        _ => Err(reader.damaged("its header contradicts itself")),
    }
}

/// Looks at the header of a dynamic disk.
fn check_blocks(reader: &Reader<'_>, at: u64, size: u64) -> Result<(), Refusal> {
    let header: [u8; 1024] = reader.array(at)?;
    if !header.starts_with(b"cxsparse") || be32(&header, 36) != checksum(&header, 36) {
        return Err(reader.damaged("its second header"));
    }
    let parent = header[40..56].iter().chain(&header[576..768]);
    if parent.into_iter().any(|byte| *byte != 0) {
        return Err(reader.outside("a parent"));
    }
    let (entries, block) = (u64::from(be32(&header, 28)), u64::from(be32(&header, 32)));
    let fits = (512..=BLOCK_MAX).contains(&block)
        && block.is_power_of_two()
        && u128::from(entries) * u128::from(block) >= u128::from(size);
    if !fits || !reader.holds(be64(&header, 16), entries * 4) {
        return Err(reader.damaged("its table does not fit the disk"));
    }
    Ok(())
}

/// The complement of the sum of all bytes but the checksum's own.
fn checksum(header: &[u8], at: usize) -> u32 {
    let others = header.iter().enumerate();
    let others = others.filter(|(index, _)| !(at..at + 4).contains(index));
    !others.fold(0, |sum: u32, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}
