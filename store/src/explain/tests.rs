//! What is foretold of deletions, against what they give back.

use uuid::Uuid;

use super::{Disk, Explanation, Taken};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT};
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::{Run, open, sealed, spec};
use crate::{Durability, SnapshotId, Store, VolumeId, ZeroMode};

const BASE: VolumeId = VolumeId(Uuid::from_u128(1));
const COPY: VolumeId = VolumeId(Uuid::from_u128(2));
const TWIN: VolumeId = VolumeId(Uuid::from_u128(3));
const SECRET: VolumeId = VolumeId(Uuid::from_u128(4));
const OLD: SnapshotId = SnapshotId(Uuid::from_u128(11));
const MIDDLE: SnapshotId = SnapshotId(Uuid::from_u128(12));
const NEW: SnapshotId = SnapshotId(Uuid::from_u128(13));
const OF_COPY: SnapshotId = SnapshotId(Uuid::from_u128(14));
const OF_SECRET: SnapshotId = SnapshotId(Uuid::from_u128(15));
const CHUNKS: u64 = 3000;
const SIZE: u64 = CHUNKS << CHUNK_SHIFT;

/// Writes chunks of noise that only their seed decides.
fn fill(store: &Store, id: VolumeId, chunks: std::ops::Range<u64>, seed: u64) {
    let volume = store.volume(id).unwrap();
    for chunk in chunks {
        let mut rng = SplitMix64::new(seed << 32 | chunk);
        let data: Vec<u8> = (0..CHUNK_BYTES / 8)
            .flat_map(|_| rng.next_u64().to_le_bytes())
            .collect();
        volume
            .write(chunk << CHUNK_SHIFT, &data, Durability::Buffered)
            .unwrap();
    }
    volume.flush().unwrap();
}

/// Snapshots at several depths, a clone of one of them, a volume that was written with the same data,
/// zeroes, discards, and an encrypted volume.
fn varied(io: &SimIo) -> Store {
    io.set_space_bytes(4 << 30);
    let store = open(io).unwrap();
    io.forget_history();
    for id in [BASE, TWIN] {
        store.create_volume(id, spec(SIZE)).unwrap();
    }
    store
        .create_volume(SECRET, sealed(spec(SIZE), SECRET))
        .unwrap();
    fill(&store, BASE, 0..2500, 1);
    store.create_snapshots(&[(OLD, BASE)]).unwrap();
    fill(&store, BASE, 400..1200, 2);
    store.clone_snapshot(COPY, OLD, spec(SIZE)).unwrap();
    fill(&store, COPY, 1000..1700, 3);
    store
        .create_snapshots(&[(MIDDLE, BASE), (OF_COPY, COPY)])
        .unwrap();
    fill(&store, BASE, 900..1600, 4);
    fill(&store, COPY, 0..64, 5);
    store.create_snapshots(&[(NEW, BASE)]).unwrap();
    fill(&store, BASE, 2400..3000, 6);
    fill(&store, TWIN, 400..800, 2);
    fill(&store, SECRET, 0..700, 1);
    store.create_snapshots(&[(OF_SECRET, SECRET)]).unwrap();
    fill(&store, SECRET, 128..384, 7);
    let base = store.volume(BASE).unwrap();
    base.write_zeroes(
        0,
        300 << CHUNK_SHIFT,
        ZeroMode::Allocate,
        Durability::Buffered,
    )
    .unwrap();
    base.trim(600 << CHUNK_SHIFT, 128 << CHUNK_SHIFT, Durability::Buffered)
        .unwrap();
    settle(&store);
    store
}

/// Packs and reclaims until nothing more comes of it.
fn settle(store: &Store) {
    for _ in 0..2 {
        store.reclaim_now().unwrap();
    }
}

/// Chunks that are needed, by the engine's own marks.
fn live_chunks(store: &Store) -> u64 {
    let engine = store.engine_for_tests();
    let places = engine.places.read().unwrap();
    places.iter().map(|(_, row)| u64::from(row.live)).sum()
}

fn in_use(store: &Store) -> u64 {
    let stats = store.stats();
    stats.stored_bytes - stats.dead_bytes
}

/// Deletes, and compares what came back with what was said: of chunks exactly, of bytes on disk up to
/// a twentieth or two frames' rounding for each container.
fn deletes_as_said(store: &Store, said: Taken, delete: impl FnOnce(&Store)) {
    let before = (live_chunks(store), in_use(store));
    delete(store);
    settle(store);
    let chunks = before.0 - live_chunks(store);
    assert_eq!(chunks << CHUNK_SHIFT, said.plain_bytes);
    let freed = before.1.saturating_sub(in_use(store));
    let off = freed.abs_diff(said.stored_bytes);
    assert!(off <= (freed / 20).max(64 << 10), "{freed} freed, {said:?}");
    assert_eq!(said.raw_bytes, 0);
}

fn cost(explanation: &Explanation, id: SnapshotId) -> Taken {
    let found = explanation.snapshots.iter().find(|cost| cost.id == id);
    found.unwrap().frees
}

#[test]
fn deleting_a_volume_frees_what_was_said() {
    for id in [BASE, COPY, TWIN, SECRET] {
        let store = varied(&SimIo::new(1));
        let said = store.explain(id).unwrap().frees;
        deletes_as_said(&store, said, |store| store.delete_volume(id).unwrap());
    }
}

#[test]
fn deleting_a_snapshot_frees_what_was_said() {
    let of = [
        (BASE, OLD),
        (BASE, MIDDLE),
        (BASE, NEW),
        (COPY, OF_COPY),
        (SECRET, OF_SECRET),
    ];
    for (volume, snapshot) in of {
        let store = varied(&SimIo::new(1));
        let said = cost(&store.explain(volume).unwrap(), snapshot);
        deletes_as_said(&store, said, |store| {
            store.delete_snapshot(snapshot).unwrap();
        });
    }
}

#[test]
fn deleting_a_volume_with_its_snapshots_frees_what_was_said() {
    for (id, snapshots) in [(BASE, &[OLD, MIDDLE, NEW][..]), (SECRET, &[OF_SECRET])] {
        let store = varied(&SimIo::new(1));
        let said = store.explain(id).unwrap().frees_with_snapshots;
        deletes_as_said(&store, said, |store| {
            snapshots
                .iter()
                .for_each(|snapshot| store.delete_snapshot(*snapshot).unwrap());
            store.delete_volume(id).unwrap();
        });
    }
}

#[test]
fn it_tells_what_a_volume_holds_and_shares() {
    let store = varied(&SimIo::new(1));
    let said = store.explain(BASE).unwrap();
    let stats = store.volume_stats(BASE).unwrap();
    assert_eq!(said.logical_bytes, SIZE);
    assert_eq!(said.referenced_bytes, stats.referenced_bytes);
    assert_eq!(said.referenced_bytes, (3000 - 300 - 128) << CHUNK_SHIFT);
    // No two chunks of it are equal.
    assert_eq!(said.unique_bytes, said.referenced_bytes);
    let shares = |disk| {
        let found = said.shared.iter().find(|shared| shared.with == disk);
        found.map_or(0, |shared| shared.bytes >> CHUNK_SHIFT)
    };
    // From the first filling: 300..400 and 1600..2400. Of the second: 400..600 and 728..900.
    assert_eq!(shares(Disk::Snapshot(OLD)), 100 + 800);
    assert_eq!(shares(Disk::Snapshot(MIDDLE)), 100 + 800 + 200 + 172);
    assert_eq!(shares(Disk::Volume(COPY)), 100 + 700);
    assert_eq!(shares(Disk::Volume(TWIN)), 200 + 72);
    assert_eq!(shares(Disk::Volume(SECRET)), 0);
    assert_eq!(shares(Disk::Volume(BASE)), 0);
    let unknown = store.explain(VolumeId(Uuid::from_u128(99))).unwrap_err();
    assert_eq!(unknown.kind(), crate::ErrorKind::NotFound);
}

#[test]
fn little_memory_changes_nothing_but_the_time() {
    let store = varied(&SimIo::new(1));
    let engine = store.engine_for_tests();
    let all_at_once = engine.explain(BASE, 1000).unwrap();
    let one_by_one = engine.explain(BASE, 1).unwrap();
    let as_of_us = all_at_once.as_of_us;
    assert_eq!(
        all_at_once,
        Explanation {
            as_of_us,
            ..one_by_one
        }
    );
}

#[test]
fn chunks_that_are_not_packed_count_as_they_are() {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    store.create_volume(BASE, spec(SIZE)).unwrap();
    fill(&store, BASE, 0..100, 1);
    let said = store.explain(BASE).unwrap();
    let bytes = 100 << CHUNK_SHIFT;
    let raw = Taken {
        plain_bytes: bytes,
        stored_bytes: 0,
        raw_bytes: bytes,
    };
    assert_eq!((said.holds, said.frees), (raw, raw));
}

#[test]
fn random_pools_give_back_what_was_said() {
    for seed in 0..40 {
        let mut run = Run::new(seed, false);
        (0..120).for_each(|_| run.step());
        let store = run.store();
        settle(&store);
        let mut rng = SplitMix64::new(seed);
        let snapshots = store.snapshots();
        let volumes = store.volumes();
        let any = |count: usize, rng: &mut SplitMix64| rng.below(count as u64) as usize;
        let Some(volume) = (!volumes.is_empty()).then(|| volumes[any(volumes.len(), &mut rng)])
        else {
            continue;
        };
        let said = store.explain(volume.id).unwrap();
        let own: Vec<SnapshotId> = said.snapshots.iter().map(|cost| cost.id).collect();
        let known = snapshots
            .iter()
            .filter(|one| one.volume == volume.id)
            .count();
        assert_eq!(own.len(), known, "seed {seed}");
        match (own.is_empty(), seed % 3) {
            (false, 0) => {
                let id = own[any(own.len(), &mut rng)];
                let frees = cost(&said, id);
                deletes_as_said(&store, frees, |store| store.delete_snapshot(id).unwrap());
            }
            (false, 1) => deletes_as_said(&store, said.frees_with_snapshots, |store| {
                store.delete_volume(volume.id).unwrap();
                own.iter()
                    .for_each(|id| store.delete_snapshot(*id).unwrap());
            }),
            _ => deletes_as_said(&store, said.frees, |store| {
                store.delete_volume(volume.id).unwrap();
            }),
        }
    }
}
