//! Many threads on a real file system, and objects at their limits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::disk::RealIo;
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::{open, options, spec};
use crate::{
    Durability, ErrorKind, Extent, ExtentKind, OpenOptions, SnapshotId, Store, VOLUME_BYTES_MAX,
    Volume, VolumeId, ZeroMode,
};

const BLOCK_BYTES: u64 = 4096;
/// Blocks that one thread writes; no other does.
const BLOCKS: u64 = 512;
const WRITERS: u64 = 3;
/// How long the threads work.
const WORK: Duration = Duration::from_secs(4);

fn volume_id(number: u128) -> VolumeId {
    VolumeId(Uuid::from_u128(number))
}

fn snapshot_id(number: u128) -> SnapshotId {
    SnapshotId(Uuid::from_u128(1 << 64 | number))
}

fn open_real(dir: &Path) -> Store {
    let options = OpenOptions {
        memory_bytes: 8 << 20,
        raw_tier_bytes: Some(1 << 20),
        background: true,
        recompression: None,
        prefill_journal: false,
        ..OpenOptions::default()
    };
    Store::open(Arc::new(RealIo::new()), dir, options).unwrap()
}

/// A block that says its number and version all over; version 0 was never written.
fn block(number: u64, version: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES as usize);
    // Every other version can be found in another block.
    let name = if version.is_multiple_of(2) { 0 } else { number };
    while bytes.len() < BLOCK_BYTES as usize {
        bytes.extend_from_slice(&name.to_le_bytes());
        bytes.extend_from_slice(&version.to_le_bytes());
    }
    bytes
}

/// What the threads share.
struct Work {
    /// The last version begun and the last one answered, of each block.
    begun: Vec<AtomicU64>,
    answered: Vec<AtomicU64>,
    done: AtomicBool,
}

impl Work {
    fn write(&self, volume: &Volume, writer: u64) {
        let mut rng = SplitMix64::new(writer);
        while !self.done.load(Ordering::Relaxed) {
            let number = writer * BLOCKS + rng.below(BLOCKS);
            let version = self.begun[number as usize].fetch_add(1, Ordering::SeqCst) + 1;
            let durability = if rng.below(64) == 0 {
                Durability::Durable
            } else {
                Durability::Buffered
            };
            let bytes = block(number, version);
            volume
                .write(number * BLOCK_BYTES, &bytes, durability)
                .unwrap();
            self.answered[number as usize].store(version, Ordering::SeqCst);
        }
    }

    /// Reads blocks: never older than what had been answered, never newer than what was begun.
    fn read(&self, volume: &Volume) {
        let mut rng = SplitMix64::new(99);
        let mut found = vec![0; BLOCK_BYTES as usize];
        while !self.done.load(Ordering::Relaxed) {
            let number = rng.below(WRITERS * BLOCKS);
            let oldest = self.answered[number as usize].load(Ordering::SeqCst);
            volume.read(number * BLOCK_BYTES, &mut found).unwrap();
            let newest = self.begun[number as usize].load(Ordering::SeqCst);
            check(number, &found, oldest, newest);
        }
    }

    /// Takes snapshots and deletes old ones; each block in them is a version of its time.
    fn freeze(&self, store: &Store, volume: VolumeId) {
        let mut rng = SplitMix64::new(5);
        let mut number = 0;
        let mut found = vec![0; BLOCK_BYTES as usize];
        while !self.done.load(Ordering::Relaxed) {
            let load = |versions: &[AtomicU64]| -> Vec<u64> {
                let load = |version: &AtomicU64| version.load(Ordering::SeqCst);
                versions.iter().map(load).collect()
            };
            number += 1;
            let oldest = load(&self.answered);
            let id = snapshot_id(number);
            match store.create_snapshots(&[(id, volume)]) {
                Ok(()) => {}
                // Deleted faster than background work cleans up; the next may find room.
                Err(error) if error.kind() == ErrorKind::Busy => {
                    number -= 1;
                    thread::yield_now();
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            let newest = load(&self.begun);
            let snapshot = store.snapshot(id).unwrap();
            for _ in 0..64 {
                let at = rng.below(WRITERS * BLOCKS);
                snapshot.read(at * BLOCK_BYTES, &mut found).unwrap();
                check(at, &found, oldest[at as usize], newest[at as usize]);
            }
            if number > 3 {
                store.delete_snapshot(snapshot_id(number - 3)).unwrap();
            }
        }
    }
}

fn check(number: u64, found: &[u8], oldest: u64, newest: u64) {
    let version = u64::from_le_bytes(found[8..16].try_into().unwrap());
    assert!(
        (oldest..=newest).contains(&version),
        "block {number} has version {version}, not one of {oldest} to {newest}"
    );
    let whole = version == 0 && found.iter().all(|byte| *byte == 0)
        || version > 0 && found == block(number, version);
    assert!(whole, "block {number}, version {version}, is torn");
}

#[test]
fn threads_see_each_other_and_reopening_sees_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pool");
    let store = open_real(&path);
    let id = volume_id(1);
    let size_bytes = WRITERS * BLOCKS * BLOCK_BYTES;
    store.create_volume(id, spec(size_bytes)).unwrap();
    let volume = store.volume(id).unwrap();
    let zeroes = || (0..WRITERS * BLOCKS).map(|_| AtomicU64::new(0)).collect();
    let work = Work {
        begun: zeroes(),
        answered: zeroes(),
        done: AtomicBool::new(false),
    };
    let end = Instant::now() + WORK;
    let mut reclaimed = 0;
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (work, volume) = (&work, &volume);
            scope.spawn(move || work.write(volume, writer));
        }
        scope.spawn(|| work.read(&volume));
        scope.spawn(|| work.freeze(&store, id));
        scope.spawn(|| {
            while !work.done.load(Ordering::Relaxed) {
                volume.flush().unwrap();
            }
        });
        while Instant::now() < end {
            store.reclaim_now().unwrap();
            reclaimed += 1;
        }
        work.done.store(true, Ordering::Relaxed);
    });
    let stats = store.stats();
    println!("{} writes, {reclaimed} reclaims", stats.write_ops);
    assert!(stats.write_ops > 500 && reclaimed > 0);
    store.close().unwrap();
    drop((volume, store));
    let store = open_real(&path);
    let volume = store.volume(id).unwrap();
    let mut found = vec![0; BLOCK_BYTES as usize];
    for (number, version) in work.answered.iter().enumerate() {
        let version = version.load(Ordering::SeqCst);
        volume
            .read(number as u64 * BLOCK_BYTES, &mut found)
            .unwrap();
        check(number as u64, &found, version, version);
    }
}

#[test]
fn the_largest_volume_works_at_both_ends() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    let id = volume_id(1);
    store.create_volume(id, spec(VOLUME_BYTES_MAX)).unwrap();
    assert_eq!(
        store
            .create_volume(volume_id(2), spec(VOLUME_BYTES_MAX + 512))
            .unwrap_err()
            .kind(),
        ErrorKind::InvalidInput
    );
    let volume = store.volume(id).unwrap();
    let last = VOLUME_BYTES_MAX - BLOCK_BYTES;
    let expect = |offset: u64, version: u64| {
        let mut found = vec![1; BLOCK_BYTES as usize];
        volume.read(offset, &mut found).unwrap();
        check(7, &found, version, version);
    };
    let began = Instant::now();
    for mode in [ZeroMode::Deallocate, ZeroMode::Allocate] {
        for offset in [0, last] {
            volume
                .write(offset, &block(7, 1), Durability::Buffered)
                .unwrap();
            expect(offset, 1);
        }
        assert!(
            volume
                .write(last + 1, &[0; 4096], Durability::Buffered)
                .is_err()
        );
        store.reclaim_now().unwrap();
        expect(0, 1);
        expect(last, 1);
        volume
            .write_zeroes(0, VOLUME_BYTES_MAX, mode, Durability::Durable)
            .unwrap();
        expect(0, 0);
        expect(last, 0);
        store.reclaim_now().unwrap();
        expect(last, 0);
        assert_eq!(store.stats().stored_bytes, 0);
    }
    volume
        .trim(0, VOLUME_BYTES_MAX, Durability::Durable)
        .unwrap();
    let whole = || volume.extents(0, VOLUME_BYTES_MAX, 8).unwrap();
    let hole = |len| Extent {
        len,
        kind: ExtentKind::Hole,
    };
    // In memory, in the index, and below a snapshot.
    assert_eq!(whole(), [hole(VOLUME_BYTES_MAX)]);
    store.reclaim_now().unwrap();
    assert_eq!(whole(), [hole(VOLUME_BYTES_MAX)]);
    store.create_snapshots(&[(snapshot_id(1), id)]).unwrap();
    volume
        .write(last, &block(7, 1), Durability::Buffered)
        .unwrap();
    let data = Extent {
        len: BLOCK_BYTES,
        kind: ExtentKind::Data,
    };
    assert_eq!(whole(), [hole(last), data]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn snapshots_end_at_the_limit_and_start_again_below_it() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    let id = volume_id(1);
    store.create_volume(id, spec(1 << 20)).unwrap();
    let volume = store.volume(id).unwrap();
    let mut taken = 0;
    let refused = loop {
        let bytes = block(taken as u64 % 100, 1);
        let offset = taken as u64 % 100 * BLOCK_BYTES;
        volume.write(offset, &bytes, Durability::Buffered).unwrap();
        match store.create_snapshots(&[(snapshot_id(taken), id)]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::Busy, "{refused}");
    assert_eq!(taken, 512);
    store.delete_snapshot(snapshot_id(40)).unwrap();
    store.reclaim_now().unwrap();
    store.create_snapshots(&[(snapshot_id(512), id)]).unwrap();
    let first = store.snapshot(snapshot_id(511)).unwrap();
    let mut found = vec![0; BLOCK_BYTES as usize];
    first.read(30 * BLOCK_BYTES, &mut found).unwrap();
    check(30, &found, 1, 1);
    store.close().unwrap();
    drop((first, volume, store));
    let began = Instant::now();
    let store = open(&io).unwrap();
    assert_eq!(store.snapshots().len(), 512);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_thousand_volumes_open_at_once() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    for number in 0..1000 {
        let id = volume_id(number);
        store.create_volume(id, spec(1 << 30)).unwrap();
        let volume = store.volume(id).unwrap();
        let bytes = block(number as u64, 1);
        volume.write(0, &bytes, Durability::Buffered).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let began = Instant::now();
    let store = open(&io).unwrap();
    let volumes: Vec<Volume> = (0..1000)
        .map(|number| store.volume(volume_id(number)).unwrap())
        .collect();
    assert!(began.elapsed() < Duration::from_secs(3));
    let mut found = vec![0; BLOCK_BYTES as usize];
    for (number, volume) in volumes.iter().enumerate() {
        volume.read(0, &mut found).unwrap();
        check(number as u64, &found, 1, 1);
    }
}

#[test]
fn more_trims_than_a_record_table_holds_are_all_found_again() {
    let io = SimIo::new(1);
    io.set_space_bytes(64 << 30);
    let store = open(&io).unwrap();
    let id = volume_id(1);
    store.create_volume(id, spec(64 << 30)).unwrap();
    let volume = store.volume(id).unwrap();
    volume.write(0, &block(0, 1), Durability::Buffered).unwrap();
    // Records of 28 bytes, for more than the 16 MiB that recovery accepts, and no flush.
    for at in 0..620_000 {
        let offset = (at * 2 + 5) * BLOCK_BYTES;
        volume
            .trim(offset, BLOCK_BYTES, Durability::Buffered)
            .unwrap();
    }
    volume
        .write(BLOCK_BYTES, &block(1, 1), Durability::Durable)
        .unwrap();
    drop((volume, store));
    let store = open(&io).unwrap();
    let mut found = vec![0; BLOCK_BYTES as usize];
    let volume = store.volume(id).unwrap();
    volume.read(BLOCK_BYTES, &mut found).unwrap();
    check(1, &found, 1, 1);
}

#[test]
fn many_writers_get_room_and_make_few_spares() {
    let io = SimIo::new(1);
    io.set_space_bytes(4 << 30);
    let options = OpenOptions {
        background: true,
        ..options()
    };
    let store = Store::open(Arc::new(io), Path::new("/pool"), options).unwrap();
    let id = volume_id(1);
    store.create_volume(id, spec(1 << 30)).unwrap();
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let journal = store.engine_for_tests();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..16_u64)
            .map(|writer| {
                let volume = store.volume(id).unwrap();
                scope.spawn(move || {
                    let mut data = vec![0; 1 << 20];
                    SplitMix64::new(writer).fill(&mut data);
                    for at in 0..16 {
                        let offset = (writer * 32 + at % 8) << 20;
                        volume.write(offset, &data, Durability::Buffered).unwrap();
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let spares = journal.journal.spare_count() as u64;
                most.fetch_max(spares, Ordering::Relaxed);
                thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 3, "{most} spares at once");
}
