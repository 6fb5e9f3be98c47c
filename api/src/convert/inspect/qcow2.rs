//! qcow2, versions 2 and 3. Numbers are big-endian.

use super::{Bytes, Reader, Refusal, be32, be64};

/// Length of the header in version 2, and of its oldest form in version 3.
const HEADER_V2: usize = 72;
const HEADER_V3: usize = 104;
/// Incompatible features: the image was not closed, is compressed otherwise, or has sub-clusters.
const FEATURES_KNOWN: u64 = DIRTY | CORRUPT | EXTERNAL_DATA | 1 << 3 | 1 << 4;
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
/// Header extensions.
const END: u32 = 0;
const DATA_FILE_NAME: u32 = 0x4441_5441;
const ENCRYPTION: u32 = 0x0537_be77;
/// More than any program writes.
const EXTENSIONS_MAX: usize = 64;
/// As much as QEMU reads.
const L1_BYTES_MAX: u64 = 32 << 20;

/// Size of the disk.
pub(super) fn virtual_size(bytes: &dyn Bytes) -> Result<u64, Refusal> {
    let reader = Reader {
        bytes,
        format: "qcow2",
    };
    let header: [u8; HEADER_V2] = reader.array(0)?;
    let version = be32(&header, 4);
    if !(2..=3).contains(&version) {
        return Err(reader.unsupported("this version"));
    }
    if be64(&header, 8) != 0 || be32(&header, 16) != 0 {
        return Err(reader.outside("a backing file"));
    }
    if be32(&header, 32) != 0 {
        return Err(reader.unsupported("encryption"));
    }
    let cluster_bits = be32(&header, 20);
    if !(9..=21).contains(&cluster_bits) {
        return Err(reader.damaged("the size of its clusters"));
    }
    let header_len = match version {
        2 => HEADER_V2 as u64,
        _ => features(&reader)?,
    };
    let cluster = 1 << cluster_bits;
    if header_len > cluster {
        return Err(reader.damaged("the length of its header"));
    }
    extensions(&reader, header_len, cluster)?;
    let size = be64(&header, 24);
    tables(&reader, &header, size, cluster_bits)?;
    Ok(size)
}

/// Looks at what version 3 adds, and answers the header's length.
fn features(reader: &Reader<'_>) -> Result<u64, Refusal> {
    let header: [u8; HEADER_V3] = reader.array(0)?;
    let features = be64(&header, 72);
    if features & EXTERNAL_DATA != 0 {
        return Err(reader.outside("an external data file"));
    }
    if features & CORRUPT != 0 {
        return Err(reader.damaged("it says so itself"));
    }
    if features & !FEATURES_KNOWN != 0 {
        return Err(reader.unsupported("an unknown feature"));
    }
    let len = be32(&header, 100);
    if len < HEADER_V3 as u32 || !len.is_multiple_of(8) {
        return Err(reader.damaged("the length of its header"));
    }
    Ok(u64::from(len))
}

/// Looks through the header extensions, all of which lie in the first cluster.
fn extensions(reader: &Reader<'_>, header_len: u64, cluster: u64) -> Result<(), Refusal> {
    let mut at = header_len;
    for _ in 0..EXTENSIONS_MAX {
        if at + 8 > cluster || !reader.holds(at, 8) {
            return Ok(());
        }
        let head: [u8; 8] = reader.array(at)?;
        match be32(&head, 0) {
            END => return Ok(()),
            DATA_FILE_NAME => return Err(reader.outside("an external data file")),
            ENCRYPTION => return Err(reader.unsupported("encryption")),
            _ => {}
        }
        at += 8 + u64::from(be32(&head, 4)).next_multiple_of(8);
    }
    Err(reader.damaged("it has too many header extensions"))
}

/// Whether the first table covers the disk and lies in the file.
fn tables(reader: &Reader<'_>, header: &[u8], size: u64, cluster_bits: u32) -> Result<(), Refusal> {
    let entries = u64::from(be32(header, 36));
    // An entry stands for a cluster of entries of eight bytes at most.
    let covered = 1_u128 << (2 * cluster_bits - 3);
    let len = entries * 8;
    if len > L1_BYTES_MAX || u128::from(entries) * covered < u128::from(size) {
        return Err(reader.damaged("its first table does not fit the disk"));
    }
    if entries > 0 && !reader.holds(be64(header, 40), len) {
        return Err(reader.damaged("its first table lies outside"));
    }
    Ok(())
}
