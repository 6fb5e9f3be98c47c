//! The parsers, each with a corpus out of a real pool.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::{Target, metadata};
use crate::damage_tests::files;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{BLOCK_BYTES, Caching, Create, Io};
use crate::journal::format::{BATCH_HEADER_BYTES, BatchHeader, SegmentHeader, Trailer};
use crate::journal::record::decode_table;
use crate::model::{Model, Run, open, spec};
use crate::pack::format::{Directory, FILE_HEADER_BYTES, HEADER_BYTES, Header, parse_file_header};
use crate::{Durability, VolumeId};

/// Every block of the journal's files, and every pack, row and dump, of a pool that has seen some work.
pub(super) struct Material {
    io: SimIo,
    blocks: Vec<Vec<u8>>,
    packs: Vec<Vec<u8>>,
    /// Rows of the index, as entries of a dump.
    pub(super) entries: Vec<Vec<u8>>,
    pub(super) dumps: Vec<Vec<u8>>,
}

impl Material {
    fn new() -> Self {
        let mut run = Run::new(3, false);
        for _ in 0..120 {
            run.step();
        }
        // Something that stays, whatever the run deletes.
        let id = VolumeId(Uuid::from_u128(u128::MAX));
        run.store.create_volume(id, spec(1 << 20)).unwrap();
        let mut noise = vec![0; 1 << 16];
        SplitMix64::new(1).fill(&mut noise);
        let volume = run.store.volume(id).unwrap();
        volume.write(0, &noise, Durability::Durable).unwrap();
        run.store.reclaim_now().unwrap();
        for _ in 0..30 {
            run.step();
        }
        for id in run.model.names() {
            run.store.volume(id).unwrap().flush().unwrap();
        }
        run.store.dump_metadata().unwrap();
        let mut entries = Vec::new();
        let reader = run.store.engine().index.read().unwrap();
        let mut keep = |entry: &[u8]| {
            entries.push(entry.to_vec());
            Ok(())
        };
        reader.each_row(&mut keep).unwrap();
        let mut paths = Vec::new();
        files(&run.io, Path::new("/pool"), &mut paths);
        let read = |ending: &str| -> Vec<Vec<u8>> {
            let wanted = paths
                .iter()
                .filter(|path| path.to_string_lossy().ends_with(ending));
            wanted.map(|path| content(&run.io, path)).collect()
        };
        let segments = read(".wal");
        let blocks = segments
            .iter()
            .flat_map(|bytes| bytes.chunks_exact(BLOCK_BYTES));
        let used = |block: &&[u8]| block.iter().any(|byte| *byte != 0);
        Self {
            blocks: blocks.filter(used).map(<[u8]>::to_vec).collect(),
            packs: read(".pack"),
            entries,
            dumps: [read(".full"), read(".log")].concat(),
            io: run.io,
        }
    }

    fn blocks_with(&self, magic: &[u8]) -> Vec<Vec<u8>> {
        let of_kind = |block: &&Vec<u8>| block.starts_with(magic);
        self.blocks.iter().filter(of_kind).cloned().collect()
    }

    /// All containers that were not given back.
    fn containers(&self) -> Vec<Vec<u8>> {
        let at = |pack: &[u8], start: usize| {
            let header = Header::parse(&pack[start..]).ok()?;
            let end = start + header.total_len as usize;
            pack.get(start..end).map(<[u8]>::to_vec)
        };
        let of = |pack: &Vec<u8>| -> Vec<Vec<u8>> {
            let starts = (FILE_HEADER_BYTES..pack.len()).step_by(BLOCK_BYTES);
            starts.filter_map(|start| at(pack, start)).collect()
        };
        self.packs.iter().flat_map(of).collect()
    }
}

fn content(io: &SimIo, path: &Path) -> Vec<u8> {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Puts the checksum of what is before a place there.
pub(super) fn seal(bytes: &mut [u8], at: usize) {
    if let Some((body, [a, b, c, d, ..])) = bytes.split_at_mut_checked(at) {
        [*a, *b, *c, *d] = crc32c::crc32c(body).to_le_bytes();
    }
}

fn seal_block(bytes: &mut Vec<u8>) {
    bytes.resize(BLOCK_BYTES, 0);
    seal(bytes, BLOCK_BYTES - 4);
}

fn seal_batch(bytes: &mut Vec<u8>) {
    bytes.resize(BLOCK_BYTES, 0);
    let len = BatchHeader::decode(bytes).map_or(0, |header| header.table_bytes as usize);
    let table = bytes.get(BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + len);
    let checksum = crc32c::crc32c(table.unwrap_or_default());
    bytes[52..56].copy_from_slice(&checksum.to_le_bytes());
    seal(bytes, 60);
}

/// Mends the header, and the footer where the header says that it is.
fn seal_container(bytes: &mut [u8]) {
    if bytes.len() < HEADER_BYTES {
        return;
    }
    seal(bytes, HEADER_BYTES - 4);
    let number =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let (from, end) = (number(64) as usize, number(68) as usize);
    if bytes.len() < end {
        return;
    }
    if let Some(tail) = end.checked_sub(4).and_then(|end| bytes.get(from..end)) {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..HEADER_BYTES]), tail);
        bytes[end - 4..end].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn block(bytes: &[u8]) -> Option<&[u8; BLOCK_BYTES]> {
    bytes.first_chunk()
}

pub(super) fn target(
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    mend: fn(&mut Vec<u8>),
    parse: impl Fn(&[u8]) -> String + 'static,
) -> Target {
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let parse = Box::new(parse);
    Target {
        name,
        corpus,
        parse,
        mend,
        cost: 1,
    }
}

/// All targets.
pub(super) fn all() -> Vec<Target> {
    let material = Material::new();
    let batches = material.blocks_with(b"CBLB");
    let tables = batches.iter().filter_map(|block| {
        let header = BatchHeader::decode(block)?;
        let table = block.get(64..64 + header.table_bytes as usize)?;
        Some([&header.records.to_le_bytes(), table].concat())
    });
    let tables = tables.collect();
    let containers = material.containers();
    let mut all = Vec::from(metadata::targets(&material));
    all.extend([
        target(
            "segment header",
            material.blocks_with(b"CBLKSEG\n"),
            seal_block,
            |bytes| format!("{:?}", block(bytes).map(SegmentHeader::decode)),
        ),
        target(
            "segment trailer",
            material.blocks_with(b"CBLKEND\n"),
            seal_block,
            |bytes| {
                format!(
                    "{:?}",
                    block(bytes)
                        .map(Trailer::decode)
                        .is_some_and(|found| found.is_some())
                ) + if bytes.len() < BLOCK_BYTES {
                    "short"
                } else {
                    ""
                }
            },
        ),
        target("batch header", batches, seal_batch, |bytes| {
            format!(
                "{:?} {}",
                BatchHeader::decode(bytes).map(|found| found.total_blocks()),
                bytes.len() / BLOCK_BYTES
            )
        }),
        target(
            "record table",
            tables,
            |_| {},
            |bytes| {
                let Some((count, table)) = bytes.split_first_chunk() else {
                    return "short".to_owned();
                };
                match decode_table(table, u32::from_le_bytes(*count)) {
                    Ok(records) => format!("{records:?}").chars().take(60).collect(),
                    Err(error) => error.to_string(),
                }
            },
        ),
        target(
            "pack file",
            material
                .packs
                .iter()
                .map(|pack| pack[..FILE_HEADER_BYTES].to_vec())
                .collect(),
            seal_block,
            |bytes| format!("{:?}", parse_file_header(bytes).map(|_| ())),
        ),
        target(
            "container",
            containers,
            |bytes| seal_container(bytes),
            parse_container,
        ),
        pool(material.io),
    ]);
    all
}

fn parse_container(bytes: &[u8]) -> String {
    let header = match Header::parse(bytes) {
        Ok(header) => header,
        Err(bad) => return format!("{bad:?}"),
    };
    let tail = bytes
        .get(header.directory_offset as usize..)
        .unwrap_or_default();
    match Directory::parse(bytes, tail) {
        Ok(directory) => format!("{} {}", directory.weight_bytes(), directory.is_live(0)),
        Err(bad) => format!("{bad:?}"),
    }
}

/// A pool with one file that is a mutant: the first byte says which file, the next eight where a window
/// of it lies that the rest replaces.
fn pool(io: SimIo) -> Target {
    const WINDOW: usize = 256;
    let mut paths = Vec::new();
    files(&io, Path::new("/pool"), &mut paths);
    paths.retain(|path| !path.ends_with("reserve") && !path.to_string_lossy().contains("spare-"));
    let mut corpus = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let bytes = content(&io, path);
        // The starts of blocks, where all that is parsed begins.
        let starts = (0..bytes.len()).step_by(BLOCK_BYTES);
        let used = |at: &usize| bytes[*at..].iter().take(WINDOW).any(|byte| *byte != 0);
        for at in starts.filter(used).take(64) {
            let end = bytes.len().min(at + WINDOW);
            let head = [vec![index as u8], (at as u64).to_le_bytes().to_vec()];
            corpus.push([head.concat(), bytes[at..end].to_vec()].concat());
        }
    }
    let parse = move |bytes: &[u8]| read_mutant(&io, &paths, bytes);
    Target {
        cost: 6,
        ..target("pool", corpus, |_| {}, parse)
    }
}

fn read_mutant(io: &SimIo, paths: &[PathBuf], bytes: &[u8]) -> String {
    let Some(([file, at @ ..], window)) = bytes.split_first_chunk::<9>() else {
        return "short".to_owned();
    };
    let path = &paths[usize::from(*file) % paths.len()];
    let image = io.crash(
        usize::MAX,
        &Crash::new(Survive::Everything),
        &mut SplitMix64::new(1),
    );
    let mut whole = content(&image, path);
    let start = u64::from_le_bytes(*at) as usize % whole.len().max(1);
    let start = start - start % BLOCK_BYTES;
    let end = whole.len().min(start + window.len());
    whole[start..end].copy_from_slice(&window[..end - start]);
    mend_block(&mut whole, start);
    let file = image.open(path, Create::Never, Caching::Buffered).unwrap();
    file.write_at(&whole, 0).unwrap();
    let kind = path
        .extension()
        .map(|kind| kind.to_string_lossy().into_owned());
    let answer = match open(&image) {
        Err(error) => error.to_string(),
        Ok(store) => match Model::digest_of(&store) {
            Err(error) => error.to_string(),
            Ok(_) => "read".to_owned(),
        },
    };
    format!("{kind:?} {answer}")
}

/// Mends the checksums of what begins with a block, by its magic number.
fn mend_block(whole: &mut [u8], start: usize) {
    let rest = &mut whole[start..];
    let needed = if rest.starts_with(b"CBDKEY") {
        124
    } else {
        BLOCK_BYTES
    };
    if rest.len() < needed {
        return;
    }
    if rest.starts_with(b"CBLB") {
        // A file of another kind may be shorter than a block and have come to begin like one.
        if let Some(block) = rest.get_mut(..BLOCK_BYTES) {
            let mut mended = block.to_vec();
            seal_batch(&mut mended);
            block.copy_from_slice(&mended);
        }
    } else if rest.starts_with(b"CBLK") || rest.starts_with(b"CBPACK") {
        seal(rest, BLOCK_BYTES - 4);
    } else if rest.starts_with(b"CBCONT") {
        let mut container = rest.to_vec();
        seal_container(&mut container);
        rest.copy_from_slice(&container);
    } else if rest.starts_with(b"CBDKEY") {
        seal(rest, 120);
    }
}
