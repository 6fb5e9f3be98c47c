//! Containers through the whole way: built, appended, read back, damaged, freed, crashed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::{any, prop, proptest};
use uuid::Uuid;

use super::LocalPlace;
use super::files::PackSet;
use super::format::{self, Bad, Directory, HEADER_BYTES, Header};
use super::frames::FrameKey;
use super::reader::{Manner, Reader};
use super::writer::{ContainerBuilder, FrameOptions, SealedContainer};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, ContainerId};
use crate::buffers::Buffers;
use crate::chunk::compress::Codec;
use crate::chunk::seal::DataKey;
use crate::chunk::{DomainKey, Fingerprint, fingerprint};
use crate::disk::sim::{Crash, Effect, Fault, OpKind, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, File, Io, RealIo};
use crate::error::ErrorKind;
use crate::ids::DomainId;

const POOL: [u8; 16] = [0xab; 16];
const DOMAIN: DomainId = DomainId(Uuid::from_u128(77));

/// A chunk that differs from all others and is half compressible.
fn chunk(id: u64, slot: u32) -> Vec<u8> {
    let mut bytes = vec![slot as u8; CHUNK_BYTES];
    SplitMix64::new(id << 20 | u64::from(slot)).fill(&mut bytes[..CHUNK_BYTES / 2]);
    bytes
}

fn name(bytes: &[u8]) -> Fingerprint {
    fingerprint(&DomainKey::new([1; 32]), bytes)
}

pub(super) fn build(id: u64, slots: u32, options: FrameOptions) -> SealedContainer {
    build_with(id, slots, None, options)
}

fn build_with(
    id: u64,
    slots: u32,
    key: Option<Arc<DataKey>>,
    options: FrameOptions,
) -> SealedContainer {
    let mut builder = ContainerBuilder::new(ContainerId(id), DOMAIN, key, options);
    for slot in 0..slots {
        let bytes = chunk(id, slot);
        assert_eq!(builder.push(name(&bytes), &bytes), slot);
        assert_eq!(builder.find(name(&bytes)), Some(slot));
    }
    builder.finish().unwrap()
}

fn packs(io: &Arc<dyn Io>, dir: &Path) -> Arc<PackSet> {
    Arc::new(PackSet::open(io.clone(), dir.to_owned(), POOL, 1).unwrap())
}

pub(super) fn sim_packs() -> (SimIo, Arc<PackSet>) {
    let sim = SimIo::new(1);
    let io: Arc<dyn Io> = Arc::new(sim.clone());
    let packs = packs(&io, Path::new("/pack"));
    (sim, packs)
}

pub(super) fn reader(packs: &Arc<PackSet>) -> Reader {
    Reader::new(
        packs.clone(),
        &Buffers::new(1 << 18, 0, 1 << 20),
        1 << 20,
        1 << 20,
    )
}

fn read(reader: &Reader, id: u64, place: &LocalPlace, first: u32, count: u32) -> Vec<u8> {
    let mut out = vec![0xee; count as usize * CHUNK_BYTES];
    reader
        .read(ContainerId(id), place, None, Manner::Usual, first, &mut out)
        .unwrap();
    out
}

pub(super) fn plain(id: u64, slots: std::ops::Range<u32>) -> Vec<u8> {
    slots.flat_map(|slot| chunk(id, slot)).collect()
}

pub(super) fn pack_file(sim: &SimIo, pack: u64) -> Arc<dyn File> {
    let path = format!("/pack/{:02x}/{pack:016x}.pack", pack & 0xff);
    sim.open(Path::new(&path), Create::Never, Caching::Buffered)
        .unwrap()
}

#[test]
fn slots_return_at_every_frame_size() {
    let dir = tempfile::tempdir().unwrap();
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let packs = packs(&io, &dir.path().join("pack"));
    for (id, frame_log2) in (1..).zip(format::FRAME_LOG2) {
        for codec in [Codec::Raw, Codec::Lz4, Codec::Zstd] {
            let sealed = build(id, 1001, FrameOptions { frame_log2, codec });
            let place = packs.append(&sealed).unwrap();
            packs.sync().unwrap();
            let reader = reader(&packs);
            assert_eq!(
                *reader.directory(sealed.id, &place).unwrap(),
                *sealed.directory
            );
            for (first, count) in [(0, 1), (3, 2), (990, 11), (0, 1001), (5, 900), (1000, 1)] {
                let want = plain(id, first..first + count);
                assert!(
                    read(&reader, id, &place, first, count) == want,
                    "{first}+{count}"
                );
                assert!(
                    read(&reader, id, &place, first, count) == want,
                    "{first}+{count} again"
                );
            }
            // Reading a chunk that is stored as it is is all there is to do.
            let is_plain = u32::from(frame_log2) == CHUNK_SHIFT && codec == Codec::Raw;
            assert_eq!(reader.frames.held_bytes() == 0, is_plain);
            let mut beyond = vec![0; 2 * CHUNK_BYTES];
            let error = reader.read(sealed.id, &place, None, Manner::Usual, 1000, &mut beyond);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}

#[test]
fn a_kept_frame_that_compaction_has_cut_since_is_read_where_it_was() {
    let (_, packs) = sim_packs();
    let options = FrameOptions::default();
    let sealed = build(5, 8, options);
    let place = packs.append(&sealed).unwrap();
    for manner in [Manner::Usual, Manner::Passing] {
        let reader = reader(&packs);
        let key = FrameKey {
            container: sealed.id,
            frame: 1,
            frame_log2: options.frame_log2,
        };
        let mut short = reader.frames.piece(CHUNK_BYTES);
        short.copy_from_slice(&chunk(5, 4));
        reader.frames.insert(key, short);
        let mut out = vec![0; 4 * CHUNK_BYTES];
        let done = reader.read(sealed.id, &place, None, manner, 4, &mut out);
        assert!(done.is_ok() && out == plain(5, 4..8));
    }
}

/// A container with its directory written anew, as somebody would who can also mend checksums.
fn forged(sealed: &SealedContainer, change: impl FnOnce(&mut Vec<u8>, &mut Directory)) -> Vec<u8> {
    let mut directory = (*sealed.directory).clone();
    let mut bytes = sealed.bytes.to_vec();
    bytes.truncate(directory.header.directory_offset as usize);
    change(&mut bytes, &mut directory);
    for frame in &mut directory.frames {
        let start = frame.offset as usize;
        frame.crc = crc32c::crc32c(&bytes[start..start + frame.len as usize]);
    }
    directory.encode(&mut bytes);
    bytes
}

#[test]
fn sealed_frames_open_with_their_key_in_their_place_and_unchanged() {
    let key = |byte| Arc::new(DataKey::derive(DOMAIN, &[byte; 32]));
    for (frame_log2, codec) in [
        (12, Codec::Raw),
        (14, Codec::Lz4),
        (14, Codec::Zstd),
        (16, Codec::Raw),
    ] {
        let sealed = build_with(9, 1024, Some(key(1)), FrameOptions { frame_log2, codec });
        assert!(sealed.bytes.len() <= format::CONTAINER_BYTES_MAX);
        let (sim, packs) = sim_packs();
        let place = packs.append(&sealed).unwrap();
        let mut out = vec![0; 40 * CHUNK_BYTES];
        let mut read = |key: Option<Arc<DataKey>>| {
            let fresh = reader(&packs);
            let done = fresh.read(
                ContainerId(9),
                &place,
                key.as_deref(),
                Manner::Usual,
                0,
                &mut out,
            );
            done.map(|_| out == plain(9, 0..40))
        };
        assert!(read(Some(key(1))).unwrap());
        for wrong in [None, Some(key(2))] {
            assert_eq!(read(wrong).unwrap_err().kind(), ErrorKind::Corrupt);
        }
        let file = pack_file(&sim, place.pack);
        let mut refused = |bytes: Vec<u8>| {
            assert_eq!(bytes.len(), sealed.bytes.len());
            file.write_at(&bytes, place.offset).unwrap();
            let error = read(Some(key(1))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            // The seal told, not a checksum.
            assert!(!error.to_string().contains("checksum"), "{error}");
        };
        let frames = &sealed.directory.frames;
        let at = |frame: usize| frames[frame].offset as usize;
        refused(forged(&sealed, |bytes, _| bytes[at(2) + 7] ^= 1));
        refused(forged(&sealed, |bytes, _| bytes[at(3) - 1] ^= 0x80));
        refused(forged(&sealed, |bytes, directory| {
            directory.header.key = None;
            bytes[12..16].fill(0);
            bytes[40..56].fill(0);
        }));
        if codec == Codec::Raw {
            let len = frames[2].len as usize;
            refused(forged(&sealed, |bytes, _| {
                let (head, tail) = bytes.split_at_mut(at(3));
                head[at(2)..].swap_with_slice(&mut tail[..len]);
            }));
        }
    }
}

#[test]
fn dead_slots_keep_numbers_and_take_no_space() {
    let mut builder = ContainerBuilder::new(ContainerId(4), DOMAIN, None, FrameOptions::default());
    for slot in 0..1024 {
        if slot % 100 == 0 {
            let bytes = chunk(4, slot);
            builder.push(name(&bytes), &bytes);
        } else {
            builder.push_dead();
        }
    }
    let sealed = builder.finish().unwrap();
    assert!(sealed.bytes.len() < 64 << 10, "{}", sealed.bytes.len());
    assert_eq!(sealed.plain_bytes, 11 * 4096);
    let (_, packs) = sim_packs();
    let place = packs.append(&sealed).unwrap();
    let reader = reader(&packs);
    assert_eq!(read(&reader, 4, &place, 900, 1), chunk(4, 900));
    assert_eq!(read(&reader, 4, &place, 510, 1), vec![0; 4096]);
    let directory = reader.directory(sealed.id, &place).unwrap();
    assert!(directory.is_live(900) && !directory.is_live(901));
    assert_eq!(directory.fingerprints[901], Fingerprint::NONE);
}

fn parse(bytes: &[u8]) -> Result<Directory, Bad> {
    let header = Header::parse(bytes)?;
    let tail = bytes.get(header.directory_offset as usize..).unwrap_or(&[]);
    Directory::parse(bytes, tail)
}

#[test]
fn every_bit_is_checked() {
    let options = FrameOptions {
        frame_log2: 12,
        codec: Codec::Lz4,
    };
    let sealed = build(3, 3, options);
    let start = sealed.directory.header.directory_offset as usize;
    assert_eq!(parse(&sealed.bytes).as_ref(), Ok(&*sealed.directory));
    let mut bytes = sealed.bytes.to_vec();
    for at in (0..HEADER_BYTES).chain(start..bytes.len()) {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(parse(&bytes).is_err(), "byte {at} bit {bit}");
            bytes[at] ^= 1 << bit;
        }
    }
    let mut block = format::encode_file_header(POOL, 9);
    assert_eq!(format::parse_file_header(&block), Ok((POOL, 9)));
    for at in 0..block.len() {
        block[at] ^= 4;
        assert!(format::parse_file_header(&block).is_err(), "byte {at}");
        block[at] ^= 4;
    }
}

/// The bytes of version 1 must never change: a container of one slot, by digest, and its header.
#[test]
fn version_1_is_what_it_was() {
    let options = FrameOptions {
        frame_log2: 14,
        codec: Codec::Raw,
    };
    let mut builder = ContainerBuilder::new(ContainerId(0x0102_0304), DOMAIN, None, options);
    builder.push(Fingerprint([0x11; 16]), &[0x22; 4096]);
    let bytes = builder.finish().unwrap().bytes.to_vec();
    assert_eq!(bytes.len(), 8192);
    let mut header = b"CBCONT\r\n\x01\0\x0e\0\0\0\0\0\x04\x03\x02\x01\0\0\0\0".to_vec();
    header.extend([0; 15]);
    header.push(77);
    header.extend([0; 16]);
    header.extend(*b"\x01\0\0\0\0\0\0\0\x50\x10\0\0\0\x20\0\0\0\0\0\0");
    assert_eq!(bytes[..76], header);
    assert_eq!(bytes[80..4176], [0x22; 4096]);
    assert_eq!(bytes[4176..4184], *b"\x50\0\0\0\0\x10\0\0");
    assert_eq!(bytes[4188..4192], [0; 4]);
    assert_eq!(bytes[4192..4208], [0x11; 16]);
    assert_eq!(bytes[4208..4336], {
        let mut bits = [0; 128];
        bits[0] = 1;
        bits
    });
    assert_eq!(
        bytes[8160..8188],
        *b"CBCEND\r\n\x50\x10\0\0\0\x20\0\0\x04\x03\x02\x01\0\0\0\0\0\0\0\0"
    );
}

proptest! {
    #[test]
    fn foreign_bytes_are_safe(
        bytes in prop::collection::vec(any::<u8>(), 0..5000),
        head in any::<bool>(),
        edits in prop::collection::vec((0_usize..76, any::<u8>()), 0..4),
    ) {
        let _ = format::parse_file_header(&bytes);
        let _ = parse(&bytes);
        // A well-formed start with a right checksum over wrong fields, and anything behind it.
        let mut forged = build(3, 2, FrameOptions::default()).bytes.to_vec();
        for (at, value) in edits {
            forged[at] = value;
        }
        let crc = crc32c::crc32c(&forged[..HEADER_BYTES - 4]);
        forged[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        if head {
            forged.truncate(HEADER_BYTES);
            forged.extend_from_slice(&bytes);
        }
        let _ = parse(&forged);
    }
}

#[test]
fn damage_is_named_and_never_returned() {
    damage_is_named(FrameOptions::default(), 1);
    damage_is_named(FrameOptions::SCATTERED, 0);
}

/// Of the frame that has this slot, which is the first.
fn damage_is_named(options: FrameOptions, slot: u32) {
    let (sim, packs) = sim_packs();
    let place = packs.append(&build(5, 64, options)).unwrap();
    let file = pack_file(&sim, place.pack);
    let fresh = reader(&packs);
    let first = fresh.directory(ContainerId(5), &place).unwrap().frames[0];
    let at = place.offset + u64::from(first.offset) + 10;
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    file.write_at(&[byte[0] ^ 1], at).unwrap();
    let mut out = vec![0; CHUNK_BYTES];
    let error = fresh
        .read(ContainerId(5), &place, None, Manner::Usual, slot, &mut out)
        .unwrap_err();
    assert_eq!(
        (error.kind(), out),
        (ErrorKind::Corrupt, vec![0; CHUNK_BYTES])
    );
    let text = error.to_string();
    for part in [
        "container 5",
        "pack 1",
        "offset 4096",
        "frame 0",
        "expected",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(read(&fresh, 5, &place, 4, 4), plain(5, 4..8));
    // A place of another container, one in no file, and one beyond the file's end.
    for (id, offset) in [(6, 4096), (5, 8192), (5, 1 << 30), (5, 5000)] {
        let wrong = LocalPlace { offset, ..place };
        let error = fresh.directory(ContainerId(id), &wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}

#[test]
fn files_go_with_their_last_container() {
    let (sim, packs) = sim_packs();
    packs.adopt(&[]).unwrap();
    let options = FrameOptions {
        codec: Codec::Raw,
        ..FrameOptions::default()
    };
    let places: Vec<_> = (1..=17)
        .map(|id| packs.append(&build(id, 1024, options)).unwrap())
        .collect();
    assert_eq!(places.iter().filter(|place| place.pack == 1).count(), 16);
    packs.sync().unwrap();
    for place in &places[..15] {
        packs.free(place).unwrap();
    }
    assert_eq!(
        packs.free(&places[3]).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(read(&reader(&packs), 16, &places[15], 7, 1), chunk(16, 7));
    packs.free(&places[15]).unwrap();
    assert_eq!(packs.packs().unwrap(), [2]);
    // The file being filled stays, also when it is empty of live containers.
    packs.free(&places[16]).unwrap();
    packs.remove_orphans().unwrap();
    assert_eq!(packs.packs().unwrap(), [2]);
    assert_eq!(packs.next_pack(), 3);
    drop(sim);
}

#[test]
fn orphans_go_and_the_living_stay() {
    let (sim, packs) = sim_packs();
    let places: Vec<_> = (1..=3)
        .map(|id| {
            packs
                .append(&build(id, 50, FrameOptions::default()))
                .unwrap()
        })
        .collect();
    packs.sync().unwrap();
    assert_eq!(
        packs.remove_orphans().unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    let io: Arc<dyn Io> = Arc::new(sim.clone());
    let second = self::packs(&io, Path::new("/pack"));
    assert_eq!(second.next_pack(), 2);
    second
        .append(&build(4, 50, FrameOptions::default()))
        .unwrap();
    let third = self::packs(&io, Path::new("/pack"));
    third.adopt(&places[1..2]).unwrap();
    let removed = third.remove_orphans().unwrap();
    assert_eq!((removed.files, third.packs().unwrap()), (1, vec![1]));
    assert!(removed.bytes > u64::from(places[2].len));
    assert_eq!(read(&reader(&third), 2, &places[1], 0, 50), plain(2, 0..50));
}

#[test]
fn synced_containers_survive_every_crash() {
    let (sim, packs) = sim_packs();
    let mut durable = Vec::new();
    for id in 1..=6 {
        let place = packs
            .append(&build(id, 20, FrameOptions::default()))
            .unwrap();
        packs.sync().unwrap();
        durable.push((sim.op_count(), id, place));
    }
    let mut rng = SplitMix64::new(42);
    for at in 0..=sim.op_count() {
        for survive in [
            Survive::Nothing,
            Survive::Subset,
            Survive::Prefix,
            Survive::Everything,
        ] {
            let crash = Crash::new(survive).damaging(|path| path.extension().is_some());
            let after: Arc<dyn Io> = Arc::new(sim.crash(at, &crash, &mut rng));
            let Ok(packs) = PackSet::open(after, PathBuf::from("/pack"), POOL, 1) else {
                panic!("cut {at}: does not open");
            };
            let live: Vec<_> = durable.iter().filter(|(since, ..)| *since <= at).collect();
            let places: Vec<_> = live.iter().map(|(.., place)| *place).collect();
            packs.adopt(&places).unwrap();
            packs.remove_orphans().unwrap();
            let packs = Arc::new(packs);
            packs
                .append(&build(99, 3, FrameOptions::default()))
                .unwrap();
            packs.sync().unwrap();
            let reader = reader(&packs);
            for (_, id, place) in live {
                assert_eq!(
                    read(&reader, *id, place, 0, 20),
                    plain(*id, 0..20),
                    "cut {at}"
                );
            }
        }
    }
}

#[test]
fn failures_are_told_and_end_it_where_they_must() {
    let (sim, packs) = sim_packs();
    let sealed = build(1, 30, FrameOptions::default());
    sim.inject(Fault::once(Some(OpKind::Write), 1, Effect::NoSpace));
    assert_eq!(
        packs.append(&sealed).unwrap_err().kind(),
        ErrorKind::NoSpace
    );
    sim.heal();
    let place = packs.append(&sealed).unwrap();
    assert_eq!((place.pack, place.offset), (1, 4096));
    sim.inject(Fault::once(Some(OpKind::SyncData), 0, Effect::Eio));
    assert_eq!(packs.sync().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(packs.sync().unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(packs.append(&sealed).unwrap_err().kind(), ErrorKind::Failed);
}

#[test]
fn a_read_error_is_not_kept() {
    let (sim, packs) = sim_packs();
    let place = packs
        .append(&build(5, 64, FrameOptions::default()))
        .unwrap();
    let reader = reader(&packs);
    sim.inject(Fault::once(Some(OpKind::Read), 0, Effect::Eio));
    let mut out = vec![0; CHUNK_BYTES];
    let error = reader
        .read(ContainerId(5), &place, None, Manner::Usual, 0, &mut out)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(read(&reader, 5, &place, 0, 1), chunk(5, 0));
}
