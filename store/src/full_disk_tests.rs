//! Disks that fill up: what was taken is kept, and freeing always leads out.

use uuid::Uuid;

use crate::disk::Io;
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::{open, spec};
use crate::{Durability, ErrorKind, Store, Volume, VolumeId};

/// Bytes that neither compress nor repeat.
fn noise(stamp: u64) -> Vec<u8> {
    let mut bytes = vec![0; 256 << 10];
    SplitMix64::new(stamp).fill(&mut bytes);
    bytes
}

/// A volume and what was written to it: the stamp of each piece of noise.
struct Filled {
    volume: Volume,
    stamps: Vec<u64>,
}

/// Writes noise until the disk is full, packing every so often. All that was accepted is flushed.
fn fill(store: &Store, id: VolumeId, stamp: &mut u64) -> Filled {
    store.create_volume(id, spec(1 << 30)).unwrap();
    let volume = store.volume(id).unwrap();
    let engine = store.engine_for_tests();
    let mut stamps = Vec::new();
    loop {
        *stamp += 1;
        let at = stamps.len() as u64 * (256 << 10);
        match volume.write(at, &noise(*stamp), Durability::Buffered) {
            Ok(()) => stamps.push(*stamp),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
                break;
            }
        }
        if stamps.len() % 32 == 0 {
            let mut maintenance = engine.maintenance.lock().unwrap();
            match engine.step(&mut maintenance) {
                Err(error) if error.kind() != ErrorKind::NoSpace => panic!("{error}"),
                _ => {}
            }
        }
    }
    volume.flush().unwrap();
    Filled { volume, stamps }
}

fn check_filled(volume: &Volume, stamps: &[u64]) {
    let mut found = vec![0; 256 << 10];
    for (index, stamp) in stamps.iter().enumerate() {
        volume.read(index as u64 * (256 << 10), &mut found).unwrap();
        assert!(found == noise(*stamp), "piece {index} of {}", stamps.len());
    }
}

#[test]
fn a_full_disk_keeps_what_it_took_and_goes_on_when_there_is_room() {
    for (seed, mib) in [(1, 48), (2, 100)] {
        let io = SimIo::new(seed);
        io.set_space_bytes(mib << 20);
        let mut store = open(&io).unwrap();
        let mut stamp = 0;
        let keep = VolumeId(Uuid::from_u128(1));
        store.create_volume(keep, spec(1 << 20)).unwrap();
        let kept = store.volume(keep).unwrap();
        kept.write(0, &noise(0), Durability::Durable).unwrap();
        drop(kept);
        for round in 0..2 {
            let id = VolumeId(Uuid::from_u128(10 + round));
            let filled = fill(&store, id, &mut stamp);
            let taken_mib = filled.stamps.len() as u64 / 4;
            assert!(
                taken_mib * 3 > mib,
                "round {round}: {taken_mib} of {mib} MiB"
            );
            check_filled(&filled.volume, &filled.stamps);
            let stamps = filled.stamps;
            drop(filled.volume);
            store = open(&SimIo::new(0)).unwrap();
            store = {
                drop(store);
                open(&io).unwrap()
            };
            check_filled(&store.volume(id).unwrap(), &stamps);
            store.delete_volume(id).unwrap();
            let freed = store.reclaim_now().unwrap();
            assert!(!store.stats().failed);
            println!(
                "{mib} MiB: {taken_mib} MiB taken, {} MiB given back",
                freed >> 20
            );
        }
        check_filled(&store.volume(keep).unwrap(), &[0]);
    }
}

fn volume_id(number: u128) -> VolumeId {
    VolumeId(Uuid::from_u128(number))
}

/// Leaves so much of the disk free.
fn leave_free(io: &SimIo, bytes: u64) {
    let space = io.space(std::path::Path::new("/pool")).unwrap();
    io.set_space_bytes(space.total_bytes - space.free_bytes + bytes);
}

#[test]
fn deleting_leads_out_of_a_full_disk_step_by_step() {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    let engine = store.engine_for_tests();
    let (packed, raw) = (volume_id(1), volume_id(2));
    store.create_volume(packed, spec(2 << 30)).unwrap();
    store.create_volume(raw, spec(2 << 30)).unwrap();
    let volume = store.volume(packed).unwrap();
    for at in 0..400_u64 {
        volume
            .write(at << 18, &noise(at), Durability::Buffered)
            .unwrap();
    }
    store.reclaim_now().unwrap();
    leave_free(&io, 80 << 20);
    let volume = store.volume(raw).unwrap();
    let mut at = 0;
    let refused = loop {
        match volume.write(at << 18, &noise(1000 + at), Durability::Buffered) {
            Ok(()) => at += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::NoSpace, "{refused}");
    store.delete_volume(packed).unwrap();
    // Enough time for a checkpoint of structural changes to be due.
    io.set_now_us(10_000_000);
    for _ in 0..40 {
        let _ = engine.step(&mut engine.maintenance().unwrap());
    }
    assert!(!store.stats().failed);
    volume
        .write(at << 18, &noise(1000 + at), Durability::Durable)
        .unwrap();
}

#[test]
fn a_checkpoint_of_what_was_taken_always_fits() {
    let io = SimIo::new(1);
    io.set_space_bytes(1 << 30);
    let store = open(&io).unwrap();
    let id = volume_id(1);
    store.create_volume(id, spec(64 << 30)).unwrap();
    let volume = store.volume(id).unwrap();
    leave_free(&io, 24 << 20);
    // Places far apart: a range, and a run of the index, for each. The journal has room for all.
    let bytes_at = |at: u64| [1 + (at % 250) as u8; 4096];
    let write = |at: u64| volume.write(at << 19, &bytes_at(at), Durability::Buffered);
    let taken = 1000;
    (0..taken).for_each(|at| write(at).unwrap());
    let trim = |at: u64| volume.trim((at << 19) + 8192, 4096, Durability::Buffered);
    let refused = (0..131_072).find_map(|at| trim(at).err());
    let refused = refused.expect("more was taken than a checkpoint has room for");
    assert_eq!(refused.kind(), ErrorKind::NoSpace, "{refused}");
    let refused = write(taken).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoSpace, "{refused}");
    let engine = store.engine_for_tests();
    engine
        .checkpoint(&mut engine.maintenance().unwrap())
        .unwrap();
    assert!(!store.stats().failed);
    write(taken).unwrap();
    let mut found = [0; 4096];
    for at in 0..=taken {
        volume.read(at << 19, &mut found).unwrap();
        assert_eq!(found, bytes_at(at));
    }
    store.delete_volume(id).unwrap();
    store.reclaim_now().unwrap();
    assert!(!store.stats().failed);
}
