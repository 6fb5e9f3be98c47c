//! A pool as version 1 of all formats left it, for ever: what a later program must open, read and, from
//! its dump, rebuild. And files of newer versions, which must be refused with a sentence.
//!
//! `fixtures/pool-1.lz4` is the pool's files without their blocks of zeroes, one LZ4 block. A change of a
//! format that the fixture does not have gets a fixture beside this one: run the ignored test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT};
use crate::disk::sim::SimIo;
use crate::disk::{BLOCK_BYTES, Caching, Create, File, Io};
use crate::model::{open, options, sealed, spec};
use crate::{Durability, Error, ErrorKind, SnapshotId, Store, VolumeId, ZeroMode, rebuild};

const FIXTURE: &[u8] = include_bytes!("../fixtures/pool-1.lz4");
const POOL: &str = "/pool";
const BASE: VolumeId = VolumeId(Uuid::from_u128(1));
const COPY: VolumeId = VolumeId(Uuid::from_u128(2));
const SECRET: VolumeId = VolumeId(Uuid::from_u128(3));
const PACKED: SnapshotId = SnapshotId(Uuid::from_u128(11));
const OF_SECRET: SnapshotId = SnapshotId(Uuid::from_u128(12));
const CHUNKS: u64 = 300;
const SIZE: u64 = CHUNKS << CHUNK_SHIFT;

/// What a chunk holds: text that says which writing it is from; many chunks are equal.
fn text(word: &str, chunk: u64) -> Vec<u8> {
    let line = format!("{word} {:04}\n", chunk % 60);
    line.bytes().cycle().take(CHUNK_BYTES).collect()
}

fn write(store: &Store, id: VolumeId, chunks: std::ops::Range<u64>, word: &str) {
    let volume = store.volume(id).unwrap();
    let data: Vec<u8> = chunks.clone().flat_map(|chunk| text(word, chunk)).collect();
    volume
        .write(chunks.start << CHUNK_SHIFT, &data, Durability::Durable)
        .unwrap();
}

/// Packed data with a snapshot and a clone on it, an encrypted volume, a dump with a log behind it, and
/// then the journal alone: writes, zeroes, discards, a snapshot.
fn make() -> SimIo {
    let io = SimIo::new(0xf1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    store.create_volume(BASE, spec(SIZE)).unwrap();
    store
        .create_volume(SECRET, sealed(spec(64 << CHUNK_SHIFT), SECRET))
        .unwrap();
    write(&store, BASE, 0..200, "first");
    write(&store, SECRET, 0..8, "hidden");
    store.create_snapshots(&[(PACKED, BASE)]).unwrap();
    store.reclaim_now().unwrap();
    store.dump_metadata().unwrap();
    store.clone_snapshot(COPY, PACKED, spec(SIZE)).unwrap();
    write(&store, COPY, 50..60, "copy");
    store.reclaim_now().unwrap();
    write(&store, BASE, 100..110, "second");
    store.create_snapshots(&[(OF_SECRET, SECRET)]).unwrap();
    write(&store, SECRET, 4..6, "veiled");
    let base = store.volume(BASE).unwrap();
    let zeroes = |from: u64, chunks: u64, mode| {
        let done = base.write_zeroes(
            from << CHUNK_SHIFT,
            chunks << CHUNK_SHIFT,
            mode,
            Durability::Durable,
        );
        done.unwrap();
    };
    zeroes(10, 5, ZeroMode::Allocate);
    zeroes(20, 5, ZeroMode::Deallocate);
    drop(base);
    store.engine_for_tests().journal.flush().unwrap();
    io
}

/// The chunks of a disk in words, none for zeroes.
fn expected(pieces: &[(std::ops::Range<u64>, Option<&str>)], chunks: u64) -> Vec<u8> {
    let mut bytes = vec![0; (chunks << CHUNK_SHIFT) as usize];
    for (range, word) in pieces {
        for chunk in range.clone() {
            let at = (chunk << CHUNK_SHIFT) as usize;
            let content = word.map_or(vec![0; CHUNK_BYTES], |word| text(word, chunk));
            bytes[at..at + CHUNK_BYTES].copy_from_slice(&content);
        }
    }
    bytes
}

fn expect_all(store: &Store) {
    let volume = |id: VolumeId, chunks: u64| {
        let mut bytes = vec![0; (chunks << CHUNK_SHIFT) as usize];
        store.volume(id).unwrap().read(0, &mut bytes).unwrap();
        bytes
    };
    let snapshot = |id: SnapshotId, chunks: u64| {
        let mut bytes = vec![0; (chunks << CHUNK_SHIFT) as usize];
        store.snapshot(id).unwrap().read(0, &mut bytes).unwrap();
        bytes
    };
    let first = (0..200, Some("first"));
    let base = [
        first.clone(),
        (100..110, Some("second")),
        (10..15, None),
        (20..25, None),
    ];
    assert!(volume(BASE, CHUNKS) == expected(&base, CHUNKS));
    let copy = [first.clone(), (50..60, Some("copy"))];
    assert!(volume(COPY, CHUNKS) == expected(&copy, CHUNKS));
    assert!(snapshot(PACKED, CHUNKS) == expected(&[first], CHUNKS));
    let hidden = (0..8, Some("hidden"));
    let secret = [hidden.clone(), (4..6, Some("veiled"))];
    assert!(volume(SECRET, 64) == expected(&secret, 64));
    assert!(snapshot(OF_SECRET, 64) == expected(&[hidden], 64));
    assert_eq!((store.volumes().len(), store.snapshots().len()), (3, 2));
}

fn files(io: &SimIo, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in io.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        match entry.is_dir {
            true => files(io, &path, found),
            false => found.push(path),
        }
    }
}

fn file(io: &SimIo, path: &Path) -> Arc<dyn File> {
    io.open(path, Create::IfMissing, Caching::Buffered).unwrap()
}

/// All files: path, length, and the blocks that are not zero.
fn pack(io: &SimIo) -> Vec<u8> {
    let mut paths = Vec::new();
    files(io, Path::new(POOL), &mut paths);
    // Space for a full disk is made anew.
    paths.retain(|path| !path.ends_with("reserve"));
    let mut out = Vec::new();
    for path in paths {
        let (name, file) = (path.to_str().unwrap(), file(io, &path));
        let len = file.len().unwrap();
        let mut bytes = vec![0; len as usize];
        file.read_at(&mut bytes, 0).unwrap();
        let blocks: Vec<_> = bytes.chunks(BLOCK_BYTES).enumerate().collect();
        let full = |(_, block): &&(usize, &[u8])| block.iter().any(|byte| *byte != 0);
        let kept: Vec<_> = blocks.iter().filter(full).collect();
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&(kept.len() as u32).to_le_bytes());
        for (number, block) in kept {
            out.extend_from_slice(&(*number as u32).to_le_bytes());
            out.extend_from_slice(&(block.len() as u32).to_le_bytes());
            out.extend_from_slice(block);
        }
    }
    lz4_flex::block::compress_prepend_size(&out)
}

/// A disk with the fixture's files.
fn unpacked() -> SimIo {
    let io = SimIo::new(7);
    io.set_space_bytes(1 << 30);
    let bytes = lz4_flex::block::decompress_size_prepended(FIXTURE).unwrap();
    let mut rest = &bytes[..];
    let mut take = |len: usize| {
        let (part, tail) = rest.split_at(len);
        rest = tail;
        (part.to_vec(), tail.is_empty())
    };
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    loop {
        let name_len = number(&take(4).0) as usize;
        let path = PathBuf::from(String::from_utf8(take(name_len).0).unwrap());
        io.create_dir(path.parent().unwrap()).unwrap();
        let (len, blocks) = (number(&take(8).0), take(4));
        let file = file(&io, &path);
        file.set_len(len).unwrap();
        let mut ended = blocks.1;
        for _ in 0..number(&blocks.0) {
            let at = number(&take(4).0) * BLOCK_BYTES as u64;
            let block_len = number(&take(4).0) as usize;
            let block = take(block_len);
            file.write_at(&block.0, at).unwrap();
            ended = block.1;
        }
        if ended {
            return io;
        }
    }
}

#[test]
#[ignore = "writes the fixture; to be run when a format has changed"]
fn write_the_fixture() {
    let io = make();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pool-1.lz4");
    let packed = pack(&io);
    assert!(packed.len() < 200 << 10, "{} bytes", packed.len());
    let real: Arc<dyn Io> = Arc::new(crate::disk::RealIo::new());
    real.create_dir(path.parent().unwrap()).unwrap();
    let out = real
        .open(&path, Create::IfMissing, Caching::Buffered)
        .unwrap();
    out.set_len(0).unwrap();
    out.write_at(&packed, 0).unwrap();
}

#[test]
fn a_pool_of_version_1_is_read_and_goes_on() {
    let io = unpacked();
    let store = open(&io).unwrap();
    expect_all(&store);
    store.reclaim_now().unwrap();
    expect_all(&store);
    store.close().unwrap();
    drop(store);
    expect_all(&open(&io).unwrap());
}

#[test]
fn a_pool_of_version_1_is_rebuilt_from_its_dump() {
    let io = unpacked();
    io.remove(&Path::new(POOL).join("meta.redb")).unwrap();
    let door: Arc<dyn Io> = Arc::new(io.clone());
    let rebuilt = rebuild(&door, Path::new(POOL), options()).unwrap();
    assert!(rebuilt.disks.iter().all(|disk| disk.lost_bytes == 0));
    expect_all(&open(&io).unwrap());
}

/// Where a kind of file says its version and its incompatible features, and where its checksum is.
struct Header {
    extension: &'static str,
    version: u64,
    features: u64,
    checksum: u64,
}

const HEADERS: [Header; 4] = [
    Header {
        extension: "wal",
        version: 8,
        features: 12,
        checksum: 4092,
    },
    Header {
        extension: "pack",
        version: 8,
        features: 12,
        checksum: 4092,
    },
    Header {
        extension: "full",
        version: 8,
        features: 12,
        checksum: 60,
    },
    Header {
        extension: "log",
        version: 8,
        features: 12,
        checksum: 60,
    },
];

/// Opens the pool, reads all of it, and rebuilds it: the first error.
fn use_all(io: &SimIo) -> Option<Error> {
    let store = match open(io) {
        Ok(store) => store,
        Err(error) => return Some(error),
    };
    for info in store.volumes() {
        let mut bytes = vec![0; info.size_bytes as usize];
        let read = store
            .volume(info.id)
            .and_then(|volume| volume.read(0, &mut bytes));
        if let Err(error) = read {
            return Some(error);
        }
    }
    drop(store);
    let door: Arc<dyn Io> = Arc::new(io.clone());
    rebuild(&door, Path::new(POOL), options()).err()
}

#[test]
fn newer_files_are_refused_with_a_sentence() {
    assert!(use_all(&unpacked()).is_none());
    for Header {
        extension,
        version,
        features,
        checksum,
    } in HEADERS
    {
        for at in [version, features] {
            let io = unpacked();
            let mut paths = Vec::new();
            files(&io, Path::new(POOL), &mut paths);
            paths.retain(|path| path.extension().is_some_and(|end| end == extension));
            assert!(!paths.is_empty(), "{extension}");
            for path in paths {
                let file = file(&io, &path);
                let mut header = vec![0; checksum as usize];
                file.read_at(&mut header, 0).unwrap();
                header[at as usize] ^= 0x40;
                let crc = crc32c::crc32c(&header);
                file.write_at(&header, 0).unwrap();
                file.write_at(&crc.to_le_bytes(), checksum).unwrap();
            }
            let Some(error) = use_all(&io) else {
                panic!("{extension}, byte {at}: taken for one of today");
            };
            assert_eq!(
                error.kind(),
                ErrorKind::UnsupportedFormat,
                "{extension}: {error}"
            );
            let text = error.to_string();
            assert!(text.contains("version"), "{text}");
        }
    }
}
