//! What is recompressed, when, and that nothing is lost by it.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::Step;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::model::{make_space_short, options, sealed, spec};
use crate::{Durability, OpenOptions, Recompression, Result, Store, VolumeId};

const PLAIN: VolumeId = VolumeId(Uuid::from_u128(1));
const SEALED: VolumeId = VolumeId(Uuid::from_u128(2));
const NOISE: VolumeId = VolumeId(Uuid::from_u128(3));
const ALL: [VolumeId; 3] = [PLAIN, SEALED, NOISE];
/// A container and a bit.
const BYTES: usize = 5 << 20;
/// What that takes: the plain volumes share a domain, and so containers.
const CONTAINERS: usize = 5;
/// Settings of the tests, and the time until they call something cold.
const COLD_S: u32 = 600;
const SECOND_US: u64 = 1_000_000;

fn reopen(io: &SimIo) -> Result<Store> {
    let options = OpenOptions {
        recompression: Some(Recompression {
            cold_after_s: COLD_S,
            cpu_percent: 50,
        }),
        ..options()
    };
    Store::open(Arc::new(io.clone()), Path::new("/pool"), options)
}

/// Digits, which zstd stores in half of the space and LZ4 as they are; or noise.
fn content(id: VolumeId) -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    SplitMix64::new(id.0.as_u128() as u64).fill(&mut bytes);
    if id != NOISE {
        bytes
            .iter_mut()
            .for_each(|byte| *byte = b"0123456789abcdef"[usize::from(*byte % 16)]);
    }
    bytes
}

/// A pool with three volumes, packed.
fn packed() -> (SimIo, Store) {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = reopen(&io).unwrap();
    for id in ALL {
        let spec = spec(BYTES as u64);
        let spec = if id == SEALED { sealed(spec, id) } else { spec };
        store.create_volume(id, spec).unwrap();
        let volume = store.volume(id).unwrap();
        volume.write(0, &content(id), Durability::Buffered).unwrap();
    }
    store.reclaim_now().unwrap();
    (io, store)
}

fn check(store: &Store) -> Result<()> {
    for id in ALL {
        let mut found = vec![0; BYTES];
        store.volume(id)?.read(0, &mut found)?;
        assert!(found == content(id), "{id:?}");
    }
    Ok(())
}

/// Takes steps until there is nothing to do; says how many did something.
fn recompress_all(store: &Store) -> usize {
    let engine = store.engine_for_tests();
    (0..)
        .take_while(|_| matches!(engine.recompress_step().unwrap(), Step::Done(_)))
        .count()
}

#[test]
fn cold_containers_get_smaller_once() {
    let (io, store) = packed();
    assert_eq!(recompress_all(&store), 0);
    let before = store.stats();
    assert_eq!(before.loose_bytes, before.stored_bytes);
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    assert_eq!(recompress_all(&store), CONTAINERS);
    let after = store.stats();
    let digits = 2 * BYTES as u64;
    assert!(before.stored_bytes - after.stored_bytes > digits * 2 / 5);
    assert_eq!(after.loose_bytes, 0);
    assert_eq!(after.unique_bytes, before.unique_bytes);
    check(&store).unwrap();
    store.close().unwrap();
    drop(store);
    let everything = Crash::new(Survive::Everything);
    let image = io.crash(io.op_count(), &everything, &mut SplitMix64::new(1));
    let store = reopen(&image).unwrap();
    assert_eq!(store.stats().loose_bytes, 0);
    check(&store).unwrap();
    // Half of it dies, and compaction keeps what was gained.
    let volume = store.volume(PLAIN).unwrap();
    let half = BYTES as u64 / 2;
    volume.trim(0, half, Durability::Buffered).unwrap();
    let freed = store.reclaim_now().unwrap();
    assert!(freed > half / 2 - half / 10 && freed < half / 2 + half / 10);
    assert_eq!(store.stats().loose_bytes, 0);
}

#[test]
fn what_is_read_stays_as_it_is() {
    let (io, store) = packed();
    io.set_now_us(u64::from(COLD_S) * SECOND_US / 2);
    assert_eq!(recompress_all(&store), 0);
    // The first container of this volume.
    let mut found = [0; 4096];
    store.volume(PLAIN).unwrap().read(0, &mut found).unwrap();
    io.set_now_us(u64::from(COLD_S) * SECOND_US + 2 * SECOND_US);
    assert_eq!(recompress_all(&store), CONTAINERS - 1);
    assert!(store.stats().loose_bytes > 0);
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    assert_eq!(recompress_all(&store), 1);
    check(&store).unwrap();
}

#[test]
fn a_pool_with_work_to_do_is_left_alone() {
    let (io, store) = packed();
    let engine = store.engine_for_tests();
    let volume = store.volume(NOISE).unwrap();
    volume.write(0, &[1; 4096], Durability::Durable).unwrap();
    engine.journal.roll_now().unwrap();
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    assert_eq!(engine.recompress_step().unwrap(), Step::Busy);
    // Unless what it has to do may be waiting for room.
    make_space_short(&io);
    assert!(matches!(engine.recompress_step().unwrap(), Step::Done(_)));
    io.set_space_bytes(1 << 30);
    assert_eq!(engine.recompress_step().unwrap(), Step::Busy);
    store.reclaim_now().unwrap();
    assert!(recompress_all(&store) > 0);
}

/// Its containers stay in the index until a sweep, and nothing can be done with them: they must not
/// keep the thread busy.
#[test]
fn containers_of_an_erased_domain_are_passed_over() {
    let (io, store) = packed();
    let engine = store.engine_for_tests();
    store.delete_volume(SEALED).unwrap();
    let mut maintenance = engine.maintenance().unwrap();
    engine.checkpoint(&mut maintenance).unwrap();
    while engine.clean_up_step(&mut maintenance).unwrap() {
        engine.checkpoint(&mut maintenance).unwrap();
    }
    drop(maintenance);
    assert_eq!(engine.places.read().unwrap().iter().count(), CONTAINERS);
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    let steps = (0..=CONTAINERS).take_while(|_| engine.recompress_step().unwrap() != Step::Nothing);
    assert_eq!(steps.count(), CONTAINERS);
    assert!(store.stats().loose_bytes > 0, "the domain was not erased");
}

#[test]
fn a_rest_keeps_the_share_of_the_processor() {
    let (_io, store) = packed();
    let engine = store.engine_for_tests();
    let took = std::time::Duration::from_millis(30);
    assert_eq!(engine.recompressor.rest(Step::Done(took)), took);
    let io = SimIo::new(2);
    let off = Store::open(Arc::new(io), Path::new("/pool"), options()).unwrap();
    let off = off.engine_for_tests();
    assert!(!off.recompressor.is_on());
    assert_eq!(off.recompress_step().unwrap(), Step::Nothing);
}

#[test]
fn no_power_loss_during_recompression_loses_a_chunk() {
    let (io, store) = packed();
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    store.close().unwrap();
    io.forget_history();
    assert_eq!(recompress_all(&store), CONTAINERS);
    let mut rng = SplitMix64::new(3);
    let ops = io.op_count();
    for at in 0..=ops {
        for survive in [Survive::Nothing, Survive::Everything, Survive::Subset] {
            let image = io.crash(at, &Crash::new(survive), &mut rng);
            let checked = reopen(&image).and_then(|store| check(&store));
            checked.unwrap_or_else(|error| panic!("after {at} of {ops}, {survive:?}: {error}"));
        }
    }
}

#[test]
fn a_container_that_went_meanwhile_is_not_brought_back() {
    let (io, store) = packed();
    io.set_now_us(2 * u64::from(COLD_S) * SECOND_US);
    let engine = store.engine_for_tests();
    let id = engine.places.read().unwrap().iter().map(|(id, _)| id).min();
    let loaded = engine.load_container(id.unwrap()).unwrap().unwrap();
    for id in ALL {
        store.delete_volume(id).unwrap();
    }
    store.reclaim_now().unwrap();
    assert!(engine.places.read().unwrap().is_empty());
    engine.replace_if_smaller(id.unwrap(), &loaded).unwrap();
    assert!(engine.places.read().unwrap().is_empty());
    assert_eq!(store.stats().stored_bytes, 0);
}
