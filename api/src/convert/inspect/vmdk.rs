//! vmdk, sparse in one file. Numbers are little-endian, places and sizes in sectors.
//!
//! A descriptor as a file of its own, or a header that stands for none, name further files: refused.

use super::{Bytes, Reader, Refusal, le16, le32, le64};

const SECTOR: u64 = 512;
/// The descriptor is read where QEMU reads it, whatever the header says.
const DESCRIPTOR_SECTOR: u64 = 1;
/// Sectors that QEMU reads of it, and the most that any program writes.
const DESCRIPTOR_READ: u64 = 20;
const DESCRIPTOR_MAX: u64 = 128;
/// A place that says: see the header at the end.
const AT_END: u64 = u64::MAX;
/// What entries a table may have, and how many tables: as QEMU.
const TABLE_ENTRIES_MAX: u32 = 512;
const TABLES_MAX: u64 = 8 << 20;
const GRAIN_MAX: u64 = 1 << 17;
/// What a descriptor says that stands on no other file.
const NO_PARENT: &str = "ffffffff";

/// Size of the disk.
pub(super) fn virtual_size(bytes: &dyn Bytes) -> Result<u64, Refusal> {
    let reader = Reader {
        bytes,
        format: "vmdk",
    };
    let header: [u8; 512] = reader.array(0)?;
    let capacity = check_header(&reader, &header)?;
    if le64(&header, 56) == AT_END {
        let len = bytes.count();
        let at = len.checked_sub(2 * SECTOR);
        let at = at.ok_or_else(|| reader.damaged("it ends too early"))?;
        let footer: [u8; 512] = reader.array(at)?;
        if !footer.starts_with(b"KDMV") || check_header(&reader, &footer)? != capacity {
            return Err(reader.damaged("its two headers differ"));
        }
    }
    let size = le64(&header, 36).clamp(DESCRIPTOR_READ, DESCRIPTOR_MAX) * SECTOR;
    let at = DESCRIPTOR_SECTOR * SECTOR;
    let left = bytes.count().saturating_sub(at);
    let mut descriptor = vec![0; size.min(left) as usize];
    reader.fill(at, &mut descriptor)?;
    check_descriptor(&reader, &descriptor, capacity)?;
    capacity
        .checked_mul(SECTOR)
        .ok_or_else(|| reader.damaged("the size of its disk"))
}

/// Checks one of the headers and answers the disk's sectors.
fn check_header(reader: &Reader<'_>, header: &[u8; 512]) -> Result<u64, Refusal> {
    if !(1..=3).contains(&le32(header, 4)) {
        return Err(reader.unsupported("this version"));
    }
    let (capacity, grain) = (le64(header, 12), le64(header, 20));
    if capacity == 0 {
        return Err(reader.outside("its data in other files"));
    }
    if le64(header, 28) != DESCRIPTOR_SECTOR || le64(header, 36) > DESCRIPTOR_MAX {
        return Err(reader.damaged("its descriptor is not where it belongs"));
    }
    let entries = le32(header, 44);
    let covered = u64::from(entries).checked_mul(grain).unwrap_or_default();
    let fits = (1..=TABLE_ENTRIES_MAX).contains(&entries)
        && (1..=GRAIN_MAX).contains(&grain)
        && capacity.div_ceil(covered.max(1)) <= TABLES_MAX;
    if !fits {
        return Err(reader.damaged("its tables do not fit the disk"));
    }
    if le16(header, 77) > 1 {
        return Err(reader.unsupported("this compression"));
    }
    Ok(capacity)
}

/// The descriptor must speak of one extent, which is this file, and of no parent.
fn check_descriptor(reader: &Reader<'_>, text: &[u8], capacity: u64) -> Result<(), Refusal> {
    let end = text.iter().position(|byte| *byte == 0);
    let text = &text[..end.unwrap_or(text.len())];
    let text =
        std::str::from_utf8(text).map_err(|_| reader.damaged("its descriptor is no text"))?;
    let mut extents = 0;
    for line in text.lines().map(str::trim) {
        let lower = line.to_ascii_lowercase();
        let value = |key: &str| {
            let rest = lower.strip_prefix(key)?.trim_start();
            rest.strip_prefix('=')
                .map(|value| value.trim().trim_matches('"').to_owned())
        };
        if lower.contains("parentfilename") {
            return Err(reader.outside("a parent"));
        }
        if value("parentcid").is_some_and(|parent| parent != NO_PARENT) {
            return Err(reader.outside("a parent"));
        }
        let kind = value("createtype");
        if kind
            .is_some_and(|kind| !["monolithicsparse", "streamoptimized"].contains(&kind.as_str()))
        {
            return Err(reader.outside("its data in other files"));
        }
        let is_extent = ["rw ", "rdonly ", "noaccess "]
            .iter()
            .any(|one| lower.starts_with(one));
        extents += usize::from(is_extent);
        if is_extent && !is_own_extent(line, capacity) {
            return Err(reader.outside("its data in other files"));
        }
    }
    match extents {
        1 => Ok(()),
        _ => Err(reader.outside("its data in other files")),
    }
}

/// Whether an extent is what this file holds: sparse, all of the disk, named as a neighbour at most.
fn is_own_extent(line: &str, capacity: u64) -> bool {
    let Some((head, name)) = line.split_once('"') else {
        return false;
    };
    let words: Vec<&str> = head.split_ascii_whitespace().collect();
    let name = name.trim_end().strip_suffix('"').unwrap_or(name);
    let [_, sectors, kind] = words.as_slice() else {
        return false;
    };
    sectors.parse() == Ok(capacity)
        && kind.eq_ignore_ascii_case("SPARSE")
        && !name.contains(['/', '\\', ':', '"'])
}
