//! Pools as version 1 of all formats left them, for ever: what a later program must open, read, check
//! and, from their dumps, rebuild. And files of newer versions, which must be refused with a sentence.
//!
//! A fixture is a pool's files without their blocks of zeroes, one LZ4 block. `fixtures/pool-1.lz4` is
//! from before the pages of the metadata had sums; `fixtures/pool-1-sums.lz4` has them, frames of each
//! codec, and a log of metadata that goes on from another. Neither is ever written again: a change of a
//! format that they do not have gets a fixture beside them, made by the ignored test.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT};
use crate::disk::sim::{SimIo, SplitMix64};
use crate::disk::{BLOCK_BYTES, Caching, Create, File, Io};
use crate::model::{open, options, sealed, spec};
use crate::recompress::Step;
use crate::{
    CheckReport, Durability, Error, ErrorKind, SnapshotId, Store, VolumeId, ZeroMode, check,
    rebuild,
};

/// A pool as a program left it.
#[derive(Clone, Copy)]
struct Fixture {
    name: &'static str,
    bytes: &'static [u8],
    /// Whether the metadata has sums, and the pool the volume [`MIXED`].
    has_sums: bool,
}

const WITHOUT_SUMS: Fixture = Fixture {
    name: "pool-1.lz4",
    bytes: include_bytes!("../fixtures/pool-1.lz4"),
    has_sums: false,
};
const WITH_SUMS: Fixture = Fixture {
    name: "pool-1-sums.lz4",
    bytes: include_bytes!("../fixtures/pool-1-sums.lz4"),
    has_sums: true,
};
const ALL: [Fixture; 2] = [WITHOUT_SUMS, WITH_SUMS];

const POOL: &str = "/pool";
const BASE: VolumeId = VolumeId(Uuid::from_u128(1));
const COPY: VolumeId = VolumeId(Uuid::from_u128(2));
const SECRET: VolumeId = VolumeId(Uuid::from_u128(3));
/// A volume of which some frames gain nothing by LZ4, and some by nothing.
const MIXED: VolumeId = VolumeId(Uuid::from_u128(4));
const MIXED_BYTES: usize = 64 * CHUNK_BYTES;
const PACKED: SnapshotId = SnapshotId(Uuid::from_u128(11));
const OF_SECRET: SnapshotId = SnapshotId(Uuid::from_u128(12));
const CHUNKS: u64 = 300;
const SIZE: u64 = CHUNKS << CHUNK_SHIFT;

/// What a chunk holds: text that says which writing it is from; many chunks are equal.
fn text(word: &str, chunk: u64) -> Vec<u8> {
    let line = format!("{word} {:04}\n", chunk % 60);
    line.bytes().cycle().take(CHUNK_BYTES).collect()
}

/// Digits, which zstd stores in half of the space and LZ4 as they are; and noise.
fn mixed() -> Vec<u8> {
    let mut bytes = vec![0; MIXED_BYTES];
    SplitMix64::new(1).fill(&mut bytes);
    bytes[..MIXED_BYTES / 2]
        .iter_mut()
        .for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte % 16)]);
    bytes
}

fn write(store: &Store, id: VolumeId, chunks: std::ops::Range<u64>, word: &str) {
    let volume = store.volume(id).unwrap();
    let data: Vec<u8> = chunks.clone().flat_map(|chunk| text(word, chunk)).collect();
    volume
        .write(chunks.start << CHUNK_SHIFT, &data, Durability::Durable)
        .unwrap();
}

fn recompress_all(store: &Store) {
    let engine = store.engine_for_tests();
    while let Step::Done(_) = engine.recompress_step().unwrap() {}
}

/// Packed data with a snapshot and a clone on it, recompressed and not; an encrypted volume; dumps with
/// logs behind them; and then the journal alone: writes, zeroes, discards, a snapshot.
fn make() -> SimIo {
    let io = SimIo::new(0xf1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    store
        .create_volume(MIXED, spec(MIXED_BYTES as u64))
        .unwrap();
    let volume = store.volume(MIXED).unwrap();
    volume.write(0, &mixed(), Durability::Durable).unwrap();
    drop(volume);
    store.reclaim_now().unwrap();
    recompress_all(&store);
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
    store.dump_metadata().unwrap();
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

fn expect_all(store: &Store, fixture: Fixture) {
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
    assert_eq!(store.snapshots().len(), 2);
    assert_eq!(store.volumes().len(), 3 + usize::from(fixture.has_sums));
    if fixture.has_sums {
        assert!(volume(MIXED, (MIXED_BYTES / CHUNK_BYTES) as u64) == mixed());
    }
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
fn unpacked(fixture: Fixture) -> SimIo {
    let io = SimIo::new(7);
    io.set_space_bytes(1 << 30);
    let bytes = lz4_flex::block::decompress_size_prepended(fixture.bytes).unwrap();
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
#[ignore = "writes fixtures/new.lz4; to be run, and the file named, when a format has changed"]
fn write_a_fixture() {
    let packed = pack(&make());
    assert!(packed.len() < 1 << 20, "{} bytes", packed.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/new.lz4");
    let real: Arc<dyn Io> = Arc::new(crate::disk::RealIo::new());
    let out = real.open(&path, Create::New, Caching::Buffered).unwrap();
    out.write_at(&packed, 0).unwrap();
}

fn checked(io: &SimIo) -> CheckReport {
    let io: Arc<dyn Io> = Arc::new(io.clone());
    let dir = Path::new(POOL);
    check(&io, dir, dir.join("master.key")).unwrap()
}

#[test]
fn pools_of_version_1_are_read_and_go_on() {
    for fixture in ALL {
        let io = unpacked(fixture);
        let store = open(&io).unwrap();
        expect_all(&store, fixture);
        store.reclaim_now().unwrap();
        recompress_all(&store);
        expect_all(&store, fixture);
        store.close().unwrap();
        drop(store);
        expect_all(&open(&io).unwrap(), fixture);
    }
}

#[test]
fn pools_of_version_1_are_found_to_be_whole() {
    for fixture in ALL {
        let io = unpacked(fixture);
        let report = checked(&io);
        assert_eq!(report.damages, [], "{}", fixture.name);
        assert_eq!(report.unchecked, [] as [String; 0], "{}", fixture.name);
        let volumes = 3 + u64::from(fixture.has_sums);
        assert!(report.opens && report.volumes == volumes && report.snapshots == 2);
        assert!(report.verified.containers > 1 && report.verified.journal_blocks > 0);
    }
}

#[test]
fn pools_of_version_1_are_rebuilt_from_their_dumps() {
    for fixture in ALL {
        let io = unpacked(fixture);
        io.remove(&Path::new(POOL).join("meta.redb")).unwrap();
        let door: Arc<dyn Io> = Arc::new(io.clone());
        let rebuilt = rebuild(&door, Path::new(POOL), options()).unwrap();
        assert!(rebuilt.disks.iter().all(|disk| disk.lost_bytes == 0));
        expect_all(&open(&io).unwrap(), fixture);
    }
}

fn pool_toml(io: &SimIo) -> String {
    let file = file(io, &Path::new(POOL).join("pool.toml"));
    let mut text = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut text, 0).unwrap();
    String::from_utf8(text).unwrap()
}

/// That the fixtures have what is said of them, and go on in the format of today.
#[test]
fn the_fixtures_are_from_before_and_after_the_sums_of_the_metadata() {
    for fixture in ALL {
        let io = unpacked(fixture);
        let sums = Path::new(POOL).join("meta.sums");
        let has_sums = || io.open(&sums, Create::Never, Caching::Buffered).is_ok();
        assert_eq!(has_sums(), fixture.has_sums, "{}", fixture.name);
        let says_so = |io: &SimIo| pool_toml(io).contains("\"metadata-sums\"");
        assert_eq!(says_so(&io), fixture.has_sums, "{}", fixture.name);
        drop(open(&io).unwrap());
        assert!(has_sums() && says_so(&io), "{}", fixture.name);
    }
}

#[test]
fn the_fixture_with_sums_has_frames_of_each_codec_and_a_tail() {
    let store = open(&unpacked(WITH_SUMS)).unwrap();
    let engine = store.engine_for_tests();
    let mut frames = BTreeSet::new();
    for (id, row) in engine.places.read().unwrap().iter() {
        let directory = engine.packs.read_directory(row.location.local(), id);
        let directory = directory.unwrap();
        frames.extend(directory.frames.iter().map(|frame| frame.codec as u8));
    }
    assert_eq!(frames, BTreeSet::from([0, 1, 2]));
    assert!(store.stats().raw_tier_bytes > 0, "nothing is left to pack");
}

#[test]
fn a_pool_with_a_feature_of_the_future_is_refused_with_a_sentence() {
    let io = unpacked(WITH_SUMS);
    let features = "incompatible_features = [";
    let text = pool_toml(&io).replace(features, &format!("{features}\"time-travel\", "));
    assert!(text.contains("time-travel"));
    let written = file(&io, &Path::new(POOL).join("pool.toml"));
    written.write_at(text.as_bytes(), 0).unwrap();
    let ops = io.op_count();
    let door: Arc<dyn Io> = Arc::new(io.clone());
    let opened = open(&io).err().unwrap();
    let rebuilt = rebuild(&door, Path::new(POOL), options()).unwrap_err();
    for error in [opened, rebuilt] {
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
        let text = error.to_string();
        assert!(
            text.contains("time-travel") && text.contains("knows version 1"),
            "{text}"
        );
    }
    let report = checked(&io);
    assert!(!report.opens && report.damages[0].message.contains("time-travel"));
    assert_eq!(io.op_count(), ops, "the pool was written to");
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
    for fixture in ALL {
        assert!(use_all(&unpacked(fixture)).is_none());
        for header in HEADERS {
            for at in [header.version, header.features] {
                refuse_newer(fixture, &header, at);
            }
        }
    }
}

/// Changes a number in the headers of all files of a kind, and expects a refusal.
fn refuse_newer(fixture: Fixture, header: &Header, at: u64) {
    let extension = header.extension;
    let io = unpacked(fixture);
    let mut paths = Vec::new();
    files(&io, Path::new(POOL), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|end| end == extension));
    assert!(!paths.is_empty(), "{extension}");
    for path in paths {
        let file = file(&io, &path);
        let mut bytes = vec![0; header.checksum as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes[at as usize] ^= 0x40;
        let crc = crc32c::crc32c(&bytes);
        file.write_at(&bytes, 0).unwrap();
        file.write_at(&crc.to_le_bytes(), header.checksum).unwrap();
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
