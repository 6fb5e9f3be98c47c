//! vhdx. Numbers are little-endian; GUIDs are as they lie in the file.

use super::{Bytes, Reader, Refusal, le16, le32, le64};

const REGIONS_AT: u64 = 192 << 10;
/// Both tables say how many entries they have; no program writes so many.
const REGIONS_MAX: usize = 64;
const ITEMS_MAX: usize = 64;
const METADATA: [u8; 16] = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);
const BLOCKS: [u8; 16] = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const FILE_PARAMETERS: [u8; 16] = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
const DISK_SIZE: [u8; 16] = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
const PARENT: [u8; 16] = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
const HAS_PARENT: u32 = 1 << 1;

/// A GUID: its first three parts are little-endian, the rest is as it is written.
const fn guid(one: u32, two: u16, three: u16, rest: u64) -> [u8; 16] {
    let (one, two, three) = (one.to_le_bytes(), two.to_le_bytes(), three.to_le_bytes());
    let rest = rest.to_be_bytes();
    [
        one[0], one[1], one[2], one[3], two[0], two[1], three[0], three[1], rest[0], rest[1],
        rest[2], rest[3], rest[4], rest[5], rest[6], rest[7],
    ]
}

/// Size of the disk.
pub(super) fn virtual_size(bytes: &dyn Bytes) -> Result<u64, Refusal> {
    let reader = Reader {
        bytes,
        format: "vhdx",
    };
    let metadata = metadata_at(&reader)?;
    let head: [u8; 32] = reader.array(metadata)?;
    if !head.starts_with(b"metadata") {
        return Err(reader.damaged("it has no metadata"));
    }
    let items = usize::from(le16(&head, 10));
    if items > ITEMS_MAX {
        return Err(reader.damaged("it has too much metadata"));
    }
    let (mut size, mut parameters) = (None, None);
    for index in 0..items as u64 {
        let item: [u8; 32] = reader.array(metadata + 32 * (index + 1))?;
        let at = metadata + u64::from(le32(&item, 16));
        if item.starts_with(&PARENT) {
            return Err(reader.outside("a parent"));
        }
        if item.starts_with(&DISK_SIZE) {
            size = Some(u64::from_le_bytes(reader.array(at)?));
        }
        if item.starts_with(&FILE_PARAMETERS) {
            let found: [u8; 8] = reader.array(at)?;
            parameters = Some((le32(&found, 0), le32(&found, 4)));
        }
    }
    let (Some(size), Some((block, flags))) = (size, parameters) else {
        return Err(reader.damaged("it does not tell its size"));
    };
    if flags & HAS_PARENT != 0 {
        return Err(reader.outside("a parent"));
    }
    if !(1 << 20..=256 << 20).contains(&block) || !block.is_power_of_two() {
        return Err(reader.damaged("the size of its blocks"));
    }
    Ok(size)
}

/// Where the region of metadata is, which lies in the file as the map of blocks does.
fn metadata_at(reader: &Reader<'_>) -> Result<u64, Refusal> {
    let head: [u8; 16] = reader.array(REGIONS_AT)?;
    let regions = le32(&head, 8) as usize;
    if !head.starts_with(b"regi") || regions > REGIONS_MAX {
        return Err(reader.damaged("its table of regions"));
    }
    let (mut metadata, mut blocks) = (None, None);
    for index in 0..regions as u64 {
        let entry: [u8; 32] = reader.array(REGIONS_AT + 16 + 32 * index)?;
        let at = le64(&entry, 16);
        if !reader.holds(at, u64::from(le32(&entry, 24))) {
            return Err(reader.damaged("a region lies outside"));
        }
        if entry.starts_with(&METADATA) {
            metadata = Some(at);
        }
        if entry.starts_with(&BLOCKS) {
            blocks = Some(at);
        }
    }
    match (metadata, blocks) {
        (Some(metadata), Some(_)) => Ok(metadata),
        _ => Err(reader.damaged("its table of regions")),
    }
}
