//! Guests and background work at the same time: interleavings taken apart by hand, and who waits for
//! whom.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::addr::Address;
use crate::disk::sim::{OpKind, SimIo, SplitMix64};
use crate::engine::Engine;
use crate::index::IndexRead;
use crate::model::{open, options, spec};
use crate::pack::reader::Manner;
use crate::{Durability, ErrorKind, OpenOptions, SnapshotId, Store, Volume, VolumeId};

const ID: VolumeId = VolumeId(Uuid::from_u128(1));
/// Long enough for anything that happens at all.
const LIMIT: Duration = Duration::from_secs(60);

fn snapshot_id(number: u128) -> SnapshotId {
    SnapshotId(Uuid::from_u128(number))
}

/// A pool with one volume whose background work is done by hand.
fn by_hand(io: &SimIo, size_bytes: u64) -> (Store, Arc<Engine>, Volume) {
    let store = open(io).unwrap();
    store.create_volume(ID, spec(size_bytes)).unwrap();
    let volume = store.volume(ID).unwrap();
    (store.clone(), store.engine_for_tests(), volume)
}

fn with_threads(io: &SimIo, raw_tier_bytes: Option<u64>) -> Store {
    let options = OpenOptions {
        background: true,
        raw_tier_bytes,
        ..options()
    };
    Store::open(Arc::new(io.clone()), Path::new("/pool"), options).unwrap()
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    SplitMix64::new(seed).fill(&mut bytes);
    bytes
}

fn first_byte(volume: &Volume) -> u8 {
    let mut found = [0; 4096];
    volume.read(0, &mut found).unwrap();
    found[0]
}

#[test]
fn a_snapshot_during_a_checkpoint_does_not_bring_old_runs_back() {
    let (store, engine, volume) = by_hand(&SimIo::new(1), 1 << 20);
    volume.write(0, &[1; 4096], Durability::Durable).unwrap();
    let mut maintenance = engine.maintenance().unwrap();
    engine.checkpoint(&mut maintenance).unwrap();
    volume.write(0, &[2; 4096], Durability::Durable).unwrap();
    let cut = engine.take_cut().unwrap();
    store.create_snapshots(&[(snapshot_id(1), ID)]).unwrap();
    // Through the new head, the run that the index still has goes into the cache.
    assert_eq!(first_byte(&volume), 2);
    engine.finish_checkpoint(&mut maintenance, &cut).unwrap();
    assert_eq!(first_byte(&volume), 2);
}

#[test]
fn a_write_that_was_on_its_way_while_its_volume_was_deleted_is_refused() {
    let io = SimIo::new(1);
    let (store, engine, volume) = by_hand(&io, 1 << 20);
    let state = Arc::clone(engine.state.read().unwrap().volume(ID).unwrap());
    store.delete_volume(ID).unwrap();
    {
        let mut maintenance = engine.maintenance().unwrap();
        engine.checkpoint(&mut maintenance).unwrap();
        while engine.clean_up_step(&mut maintenance).unwrap() {}
    }
    let late = engine.write_bytes(&state, 0, &[1; 4096]).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound);
    engine.journal.flush().unwrap();
    drop((engine, state, volume, store));
    open(&io).unwrap();
}

#[test]
fn a_read_that_packing_overtakes_still_finds_its_chunk() {
    let (_store, engine, volume) = by_hand(&SimIo::new(1), 1 << 20);
    for (chunk, byte) in [(0, 1), (2, 3)] {
        let data = [byte; 4096];
        volume
            .write(chunk * 4096, &data, Durability::Durable)
            .unwrap();
    }
    let chain = engine.state.read().unwrap().volume(ID).unwrap().chain();
    let guard = engine.epochs.enter();
    let mut found = [Address::HOLE; 3];
    engine.resolve(&chain, 0, &mut found).unwrap();
    // Alone, and in pieces of which one is wanted twice.
    let [first, hole, third] = found;
    let pieces = [first, hole, third, first];
    volume
        .write(0, &[2; 3 * 4096], Durability::Durable)
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            engine.journal.roll_now().unwrap();
            let mut maintenance = engine.maintenance().unwrap();
            engine.checkpoint(&mut maintenance).unwrap();
            engine.pack_round(&mut maintenance).unwrap();
        });
        let packed = || engine.index.read().unwrap().forward(found[0].container());
        let end = Instant::now() + LIMIT;
        while packed().unwrap().is_none() && Instant::now() < end {
            thread::yield_now();
        }
        // The round is committed and must wait for this read, for as long as it takes.
        let end = Instant::now() + Duration::from_millis(200);
        let mut data = [0; 4 * 4096];
        let mut read = |addresses: &[Address]| {
            let out = &mut data[..addresses.len() * 4096];
            let source = engine.read_addresses(None, Manner::Usual, addresses, out);
            source.unwrap();
            out.to_vec()
        };
        while Instant::now() < end {
            assert_eq!(read(&pieces[..1]), [1; 4096]);
            let bytes: [u8; 4] = std::array::from_fn(|at| read(&pieces)[at * 4096 + 4095]);
            assert_eq!(bytes, [1, 0, 3, 1]);
        }
        drop(guard);
    });
    assert_eq!(first_byte(&volume), 2);
}

#[test]
fn packing_one_place_leaves_cached_runs_of_others() {
    let (_store, engine, volume) = by_hand(&SimIo::new(1), 64 << 20);
    let place = 32 << 20;
    volume.write(0, &[1; 4096], Durability::Durable).unwrap();
    let mut maintenance = engine.maintenance().unwrap();
    engine.checkpoint(&mut maintenance).unwrap();
    assert_eq!(first_byte(&volume), 1);
    let head = volume_head(&engine);
    let cached = || engine.run_cache.runs.get(&(head, 0)).is_some();
    assert!(cached());
    engine.journal.roll_now().unwrap();
    while engine.pack_round(&mut maintenance).unwrap() {}
    assert_eq!(first_byte(&volume), 1);
    assert!(cached());
    volume
        .write(place, &[2; 4096], Durability::Durable)
        .unwrap();
    engine.journal.roll_now().unwrap();
    engine.checkpoint(&mut maintenance).unwrap();
    assert!(engine.pack_round(&mut maintenance).unwrap());
    assert!(cached());
}

fn volume_head(engine: &Engine) -> crate::index::LayerId {
    let state = engine.state.read().unwrap();
    state.volume(ID).unwrap().chain().head().id
}

#[test]
fn no_gate_is_held_while_the_disk_is_waited_for() {
    let io = SimIo::new(1);
    // Small segments, so that they end soon.
    io.set_space_bytes(4 << 30);
    let (store, engine, volume) = by_hand(&io, 64 << 20);
    let state = Arc::clone(engine.state.read().unwrap().volume(ID).unwrap());
    let (held, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    {
        let (held, seen, engine) = (
            Arc::clone(&held),
            Arc::clone(&seen),
            Arc::downgrade(&engine),
        );
        io.watch(move |kind, path| {
            let journal = path.to_string_lossy().contains("journal");
            // Flushing a structural record holds `structure`, and no gate.
            let making = kind == OpKind::Allocate;
            if !journal || !(making || kind == OpKind::Write) {
                return;
            }
            seen.fetch_add(1, Ordering::Relaxed);
            let engine = engine.upgrade();
            let structure = engine
                .as_ref()
                .is_none_or(|e| e.structure.try_lock().is_ok());
            if state.gate.try_write().is_err() || (making && !structure) {
                held.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // More than memory may hold of what is not written.
    volume
        .write(0, &noise(1, 40 << 20), Durability::Buffered)
        .unwrap();
    assert!(seen.load(Ordering::Relaxed) > 0);
    let before = io.count_of(OpKind::Allocate, 0);
    let mut sizes = (1..).map(|size| size * 512);
    // Records of one batch each, until the journal needs another file for them.
    while io.count_of(OpKind::Allocate, 0) < before + 2 {
        store
            .resize_volume(ID, (64 << 20) + sizes.next().unwrap())
            .unwrap();
    }
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

#[test]
fn reclaim_lets_others_have_a_turn() {
    let (store, engine, volume) = by_hand(&SimIo::new(1), 64 << 30);
    // Runs for several steps of a mark.
    for run in 0..10_000_u64 {
        volume
            .write(run << 19, &run.to_le_bytes(), Durability::Buffered)
            .unwrap();
    }
    let (done, between) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let maintenance = engine.maintenance().unwrap();
                let marking = usize::from(maintenance.mark.is_some());
                between.fetch_add(marking, Ordering::Relaxed);
            }
        });
        store.reclaim_now().unwrap();
        done.store(true, Ordering::Relaxed);
    });
    assert!(between.load(Ordering::Relaxed) > 0);
    let mut found = [0; 8];
    volume.read(9_999 << 19, &mut found).unwrap();
    assert_eq!(u64::from_le_bytes(found), 9_999);
}

#[test]
fn writers_do_not_wait_for_a_thread_that_broke_off() {
    let io = SimIo::new(1);
    io.set_space_bytes(4 << 30);
    let store = with_threads(&io, Some(16 << 20));
    store.create_volume(ID, spec(1 << 30)).unwrap();
    io.watch(|kind, path| {
        let pack = path
            .extension()
            .is_some_and(|extension| extension == "pack");
        assert!(!(pack && kind == OpKind::Write), "a fault in the program");
    });
    let volume = store.volume(ID).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let outcome = (0..1000_u64).try_for_each(|at| {
            let data = noise(at, 1 << 20);
            volume.write(at << 20, &data, Durability::Buffered)
        });
        tell.send(outcome)
    });
    let outcome = told.recv_timeout(LIMIT).expect("the writer waits for ever");
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Failed);
    assert!(store.stalled().is_some());
    assert_eq!(store.reclaim_now().unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(store.close().unwrap_err().kind(), ErrorKind::Failed);
}

#[test]
fn a_raw_tier_of_a_segment_takes_writes() {
    let io = SimIo::new(1);
    io.set_space_bytes(4 << 30);
    let store = with_threads(&io, Some(4 << 20));
    store.create_volume(ID, spec(1 << 20)).unwrap();
    let volume = store.volume(ID).unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(volume.write(0, &[1; 4096], Durability::Durable)));
    told.recv_timeout(LIMIT)
        .expect("the write waits for ever")
        .unwrap();
}

#[test]
fn closing_does_not_wait_for_a_nap() {
    let (_store, engine, _volume) = by_hand(&SimIo::new(1), 1 << 20);
    let began = Instant::now();
    engine.journal.dismiss_writer();
    engine.journal.wait_for_writing(LIMIT);
    assert!(began.elapsed() < LIMIT / 2);
}

#[test]
fn spares_are_made_once_for_all_who_want_them() {
    let (_store, engine, _volume) = by_hand(&SimIo::new(1), 1 << 20);
    let together = Barrier::new(16);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                together.wait();
                engine.journal.prepare_spares().unwrap();
            });
        }
    });
    assert_eq!(engine.journal.spare_count(), 2);
}
