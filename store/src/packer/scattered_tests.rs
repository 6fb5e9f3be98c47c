//! How what was written here and there is packed, and read.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT};
use crate::chunk::compress::Codec;
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::{make_space_short, open, options, spec};
use crate::recompress::Step;
use crate::{Durability, Store, VolumeId};

const ID: VolumeId = VolumeId(Uuid::from_u128(1));
const CHUNKS: u64 = 2048;
/// Every so many of them are written by themselves.
const APART: u64 = 4;
const SCATTERED: u64 = CHUNKS / APART;

/// Half noise and half zeroes: what any codec makes smaller.
fn content(seed: u64, chunks: u64) -> Vec<u8> {
    let mut data = vec![0; chunks as usize * CHUNK_BYTES];
    let mut rng = SplitMix64::new(seed);
    for chunk in data.chunks_mut(CHUNK_BYTES) {
        rng.fill(&mut chunk[..CHUNK_BYTES / 2]);
    }
    data
}

fn volume_of(store: &Store) -> crate::Volume {
    store
        .create_volume(ID, spec(CHUNKS << CHUNK_SHIFT))
        .unwrap();
    store.volume(ID).unwrap()
}

/// Writes every fourth chunk by itself, neighbours far apart in time.
fn write_scattered(volume: &crate::Volume, data: &mut [u8], with: &[u8]) {
    for turn in 0..SCATTERED {
        let piece = turn * 101 % SCATTERED;
        let at = (piece * APART) as usize * CHUNK_BYTES;
        let chunk = &with[piece as usize * CHUNK_BYTES..][..CHUNK_BYTES];
        volume
            .write(at as u64, chunk, Durability::Buffered)
            .unwrap();
        data[at..at + CHUNK_BYTES].copy_from_slice(chunk);
    }
}

fn check(volume: &crate::Volume, data: &[u8]) {
    for piece in [1, 16, CHUNKS as usize] {
        let mut found = vec![0; piece * CHUNK_BYTES];
        for at in (0..data.len()).step_by(found.len()) {
            volume.read(at as u64, &mut found).unwrap();
            assert!(found == data[at..at + found.len()], "{piece} at {at}");
        }
    }
}

/// Size of frames as a power of two, codec and living chunks of each container.
fn containers(store: &Store) -> Vec<(u8, Codec, u64)> {
    let engine = store.engine_for_tests();
    let rows: Vec<_> = engine.places.read().unwrap().iter().collect();
    let about = |(id, row): &(_, crate::index::ContainerRow)| {
        let directory = engine.reader.directory(*id, row.location.local()).unwrap();
        let header = &directory.header;
        (header.frame_log2, header.codec, u64::from(row.live))
    };
    rows.iter().map(about).collect()
}

/// Chunks in containers of frames of one chunk as it is.
fn scattered(store: &Store) -> u64 {
    let all = containers(store).into_iter();
    let is_plain = |(log2, codec, _): &(u8, Codec, u64)| {
        assert_eq!(u32::from(*log2) == CHUNK_SHIFT, *codec == Codec::Raw);
        *codec == Codec::Raw
    };
    all.filter(is_plain).map(|(_, _, live)| live).sum()
}

#[test]
fn what_is_written_here_and_there_stays_as_it_is_until_it_is_cold() {
    let store = open(&SimIo::new(1)).unwrap();
    let (engine, volume) = (store.engine_for_tests(), volume_of(&store));
    let mut data = content(1, CHUNKS);
    // What a stream leaves out does not make it less of one, nor do requests of one chunk.
    for (at, chunk) in (0..).step_by(CHUNK_BYTES).zip(data.chunks_mut(CHUNK_BYTES)) {
        if at / CHUNK_BYTES as u64 % 3 == 2 {
            chunk.fill(0);
        }
        volume.write(at, chunk, Durability::Buffered).unwrap();
    }
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), 0);
    let streamed = store.stats();
    let mut with = content(2, SCATTERED);
    // Some that the stream wrote, and some that are equal to one another.
    with[..CHUNK_BYTES].copy_from_slice(&data[CHUNK_BYTES..2 * CHUNK_BYTES]);
    let (one, other) = with.split_at_mut(100 * CHUNK_BYTES);
    other[..CHUNK_BYTES].copy_from_slice(&one[99 * CHUNK_BYTES..]);
    write_scattered(&volume, &mut data, &with);
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), SCATTERED - 2);
    let stored = store.stats().stored_bytes - streamed.stored_bytes;
    assert!(stored > (SCATTERED / 2) << CHUNK_SHIFT, "{stored}");
    check(&volume, &data);
    let names = engine.reader.frames.names();
    let is_plain = |log2: u8| u32::from(log2) == CHUNK_SHIFT;
    assert!(!names.is_empty() && !names.iter().any(|name| is_plain(name.frame_log2)));
    while matches!(engine.recompress_step().unwrap(), Step::Done(_)) {}
    assert_eq!(scattered(&store), 0);
    let log2 = |(log2, ..): &(u8, Codec, u64)| *log2;
    assert!(containers(&store).iter().all(|about| log2(about) == 14));
    check(&volume, &data);
}

#[test]
fn where_space_is_short_nothing_stays_as_it_is() {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    let (volume, mut data) = (volume_of(&store), content(1, CHUNKS));
    volume.write(0, &data, Durability::Buffered).unwrap();
    store.reclaim_now().unwrap();
    write_scattered(&volume, &mut data, &content(2, SCATTERED));
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), SCATTERED);
    // A quarter of it dies, for which alone nothing would be moved.
    let quarter = &mut data[..CHUNKS as usize / 4 * CHUNK_BYTES];
    quarter.fill(7);
    volume.write(0, quarter, Durability::Buffered).unwrap();
    make_space_short(&io);
    assert!(store.engine_for_tests().is_tight());
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), 0);
    // Nor is anything packed so.
    write_scattered(&volume, &mut data, &content(3, SCATTERED));
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), 0);
    check(&volume, &data);
}

#[test]
fn where_nothing_is_recompressed_all_is_compressed_at_once() {
    let store = Store::open(Arc::new(SimIo::new(1)), Path::new("/pool"), options()).unwrap();
    let (volume, mut data) = (volume_of(&store), content(1, CHUNKS));
    volume.write(0, &data, Durability::Buffered).unwrap();
    write_scattered(&volume, &mut data, &content(2, SCATTERED));
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), 0);
    check(&volume, &data);
}

#[test]
fn what_lies_near_each_other_is_asked_of_the_disk_at_once() {
    let sim = SimIo::new(1);
    let store = open(&sim).unwrap();
    let volume = volume_of(&store);
    let mut data = content(1, CHUNKS);
    volume.write(0, &data, Durability::Buffered).unwrap();
    store.reclaim_now().unwrap();
    write_scattered(&volume, &mut data, &content(2, SCATTERED));
    store.reclaim_now().unwrap();
    assert_eq!(scattered(&store), SCATTERED);
    let mut found = vec![0; 32 * CHUNK_BYTES];
    let (mut reads_of_the_disk, mut all_asked) = (0, 0);
    for at in (0..data.len()).step_by(found.len()) {
        let (asked, waited) = (sim.advice_count(), volume.disk_reads());
        volume.read(at as u64, &mut found).unwrap();
        assert!(found == data[at..at + found.len()], "at {at}");
        let asked = sim.advice_count() - asked;
        // Eight chunks here and there, and what is left of the stream between them.
        assert!(asked <= 4, "{asked} at {at}");
        all_asked += asked;
        reads_of_the_disk += volume.disk_reads() - waited;
    }
    assert!(reads_of_the_disk > 0 && all_asked > 0);
}
