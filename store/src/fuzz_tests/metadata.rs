//! Rows of the index, and the dumps that they are built again from.

use std::path::Path;
use std::sync::Arc;

use super::Target;
use super::targets::{Material, seal, target};
use crate::disk::sim::SimIo;
use crate::disk::{Caching, Create, Io};
use crate::dump::format::{BLOCK_HEADER_BYTES, FILE_HEADER_BYTES, FileHeader};
use crate::dump::reader::{DumpFile, name};
use crate::index::{Changes, Index, MetaFiles};

/// Bytes of an entry before its key.
const ENTRY_HEAD_BYTES: usize = 6;

pub(super) fn targets(material: &Material) -> [Target; 2] {
    let io = SimIo::new(1);
    let files = MetaFiles::open(&io, Path::new("/index"), true).unwrap();
    let index = Index::open(files, 1 << 20, Arc::new(|| false)).unwrap();
    [
        Target {
            cost: 2,
            ..target(
                "row",
                material.entries.clone(),
                |bytes| mend_entry(bytes),
                move |bytes| apply(&index, bytes),
            )
        },
        target(
            "metadata dump",
            material.dumps.clone(),
            |bytes| mend_dump(bytes),
            read,
        ),
    ]
}

/// Makes the value as long as the entry says or has, and its checksum right.
fn mend_entry(bytes: &mut [u8]) {
    if bytes.len() < ENTRY_HEAD_BYTES {
        return;
    }
    let start = ENTRY_HEAD_BYTES + usize::from(bytes[1]);
    let Some(len) = bytes.len().checked_sub(start) else {
        return;
    };
    bytes[2..ENTRY_HEAD_BYTES].copy_from_slice(&(len as u32).to_le_bytes());
    if let Some(end) = len.checked_sub(4) {
        seal(&mut bytes[start..], end);
    }
}

/// What comes of entries that are put into an index; nothing of them stays there.
fn apply(index: &Index, bytes: &[u8]) -> String {
    let writer = index.write().unwrap();
    let mut applied = 0;
    for change in Changes(bytes) {
        let put = change.and_then(|change| writer.apply(&change));
        if let Err(error) = put {
            return format!("{applied} {error}");
        }
        applied += 1;
    }
    format!("{applied} applied")
}

/// Mends the header, and block after block as far as their lengths lead.
fn mend_dump(bytes: &mut [u8]) {
    seal(bytes, FILE_HEADER_BYTES - 4);
    let mut at = FILE_HEADER_BYTES;
    while let Some(block) = bytes.get_mut(at..)
        && block.len() >= BLOCK_HEADER_BYTES
    {
        let (header, rest) = block.split_at_mut(BLOCK_HEADER_BYTES);
        let len = u32::from_le_bytes([header[28], header[29], header[30], header[31]]) as usize;
        let Some(stored) = rest.get(..len) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..36]), stored);
        header[36..].copy_from_slice(&crc.to_le_bytes());
        at += BLOCK_HEADER_BYTES + len;
    }
}

/// Reads a file as rebuilding does.
fn read(bytes: &[u8]) -> String {
    let Some(start) = bytes.first_chunk() else {
        return "short".to_owned();
    };
    let header = match FileHeader::decode(start) {
        Ok(header) => header,
        Err(error) => return error.to_string(),
    };
    let (io, dir) = (SimIo::new(1), Path::new("/"));
    let path = dir.join(name(header.kind, header.number));
    let file = io.open(&path, Create::IfMissing, Caching::Buffered);
    file.unwrap().write_at(bytes, 0).unwrap();
    let opened = DumpFile::open(&io, dir, header.kind, header.number, header.pool);
    let dump = opened.unwrap();
    let whole = dump.whole_transactions();
    let blocks = dump.of_transactions(&whole);
    let parsed = blocks.map(|block| Changes(&block.entries).all(|change| change.is_ok()));
    let parsed: Vec<bool> = parsed.take(4).collect();
    let is_read = dump.is_read_to_its_end();
    format!(
        "{:?} {} {parsed:?} {is_read}",
        header.kind, header.continues
    )
}
