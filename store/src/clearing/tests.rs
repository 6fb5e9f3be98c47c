//! Large trims: bounded between two checkpoints, and cut off by a crash.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use uuid::Uuid;

use super::{RUNS_AT_ONCE, RUNS_MAX};
use crate::addr::{Address, CHUNK_BYTES, CONTAINER_SLOTS, ContainerId};
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::index::{ContainerRow, LayerId, Location, RUN_CHUNKS, Run};
use crate::model::{open, options, spec};
use crate::pack::LocalPlace;
use crate::{
    DomainId, Durability, Extent, ExtentKind, OpenOptions, Store, VOLUME_BYTES_MAX, Volume,
    VolumeId,
};

const VOLUME: VolumeId = VolumeId(Uuid::from_u128(1));
const CONTAINER: ContainerId = ContainerId(1 << 20);
const RUN_BYTES: u64 = RUN_CHUNKS * CHUNK_BYTES as u64;
/// More than two checkpoints' worth.
const RUNS: u64 = RUNS_MAX * 5 / 2;

/// A volume of the largest size whose first `RUNS` runs are mapped, in a pool that has next to none of
/// the data.
fn filled(io: &SimIo) {
    io.set_space_bytes(64 << 30);
    let store = open(io).unwrap();
    store.create_volume(VOLUME, spec(VOLUME_BYTES_MAX)).unwrap();
    let engine = store.engine_for_tests();
    engine
        .checkpoint(&mut engine.maintenance.lock().unwrap())
        .unwrap();
    let writer = engine.index.write().unwrap();
    let row = ContainerRow {
        location: Location::Local(LocalPlace {
            pack: 1,
            offset: 4096,
            len: 4096,
        }),
        slots: CONTAINER_SLOTS as u16,
        live: CONTAINER_SLOTS as u16,
        plain_bytes: CONTAINER_SLOTS * CHUNK_BYTES as u32,
        domain: DomainId(Uuid::from_u128(0xd0)),
        tight: false,
    };
    writer.put_container(CONTAINER, &row).unwrap();
    let mut run = Run::holes();
    for index in 0..RUN_CHUNKS {
        run.set(index as usize, Address::new(CONTAINER, index as u32));
    }
    for number in 0..RUNS as u32 {
        writer.put_run(LayerId(1), number, &run).unwrap();
    }
    writer.commit().unwrap();
    io.forget_history();
}

fn extents(volume: &Volume) -> Vec<Extent> {
    volume.extents(0, VOLUME_BYTES_MAX, 4).unwrap()
}

/// Trims all of the volume; the most runs that were cleared and in no checkpoint yet.
fn trim(store: &Store, volume: &Volume) -> u64 {
    let (most, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let cleared = &store.engine_for_tests().cleared.0;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(cleared.load(Ordering::Relaxed), Ordering::Relaxed);
                thread::yield_now();
            }
        });
        // Whatever comes of it, the other thread must end.
        let trimmed = volume.trim(0, VOLUME_BYTES_MAX, Durability::Durable);
        done.store(true, Ordering::Relaxed);
        trimmed.unwrap();
    });
    most.into_inner()
}

#[test]
fn a_huge_trim_waits_for_checkpoints_and_a_crash_leaves_it_done_in_part() {
    let io = SimIo::new(1);
    filled(&io);
    let background = OpenOptions {
        background: true,
        ..options()
    };
    let store = Store::open(Arc::new(io.clone()), Path::new("/pool"), background).unwrap();
    let volume = store.volume(VOLUME).unwrap();
    let begin = io.op_count();
    let most = trim(&store, &volume);
    assert!(
        (1..RUNS_MAX + RUNS_AT_ONCE as u64).contains(&most),
        "{most} runs at once"
    );
    let hole = Extent {
        len: VOLUME_BYTES_MAX,
        kind: ExtentKind::Hole,
    };
    assert_eq!(extents(&volume), [hole]);
    let end = io.op_count();
    drop((volume, store));

    let mut rng = SplitMix64::new(2);
    let mut parts = 0;
    for step in 0..=12 {
        let at = begin + (end - begin) * step / 12;
        let crashed = io.crash(at, &Crash::new(Survive::Nothing), &mut rng);
        let store = open(&crashed).unwrap();
        let found = extents(&store.volume(VOLUME).unwrap());
        // What is gone lies before all that is left.
        let kinds: Vec<ExtentKind> = found.iter().map(|extent| extent.kind).collect();
        match kinds[..] {
            [ExtentKind::Hole] | [ExtentKind::Data, ExtentKind::Hole] => {}
            [ExtentKind::Hole, ExtentKind::Data, ExtentKind::Hole] => {
                assert!(found[0].len.is_multiple_of(RUN_BYTES), "{found:?}");
                parts += 1;
            }
            _ => panic!("{found:?}"),
        }
    }
    assert!(parts > 0, "no crash met the trim half done");
}

#[test]
fn a_trim_of_many_overlay_entries_goes_in_pieces() {
    let io = SimIo::new(1);
    let store = open(&io).unwrap();
    store.create_volume(VOLUME, spec(1 << 40)).unwrap();
    let volume = store.volume(VOLUME).unwrap();
    let count = super::RANGES_AT_ONCE as u64 * 2 + 100;
    for number in 0..count {
        let offset = number * 2 * CHUNK_BYTES as u64;
        volume
            .trim(offset, CHUNK_BYTES as u64, Durability::Buffered)
            .unwrap();
    }
    let engine = store.engine_for_tests();
    let state = engine.state.read().unwrap().volume(VOLUME).unwrap().clone();
    let chunks = (1 << 40) / CHUNK_BYTES as u64;
    let piece = engine
        .piece_of(&state.chain(), 0, chunks, Address::HOLE)
        .unwrap();
    assert_eq!(piece.end, super::RANGES_AT_ONCE as u64 * 2);
    volume.trim(0, 1 << 40, Durability::Buffered).unwrap();
    assert_eq!(state.chain().head().ranges(), 1);
}
