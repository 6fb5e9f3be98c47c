//! Differences against a comparison of all bytes.

use uuid::Uuid;

use super::Difference;
use crate::disk::sim::SimIo;
use crate::model::{Run, open, spec};
use crate::{
    Durability, ErrorKind, ExtentKind, Result, Snapshot, SnapshotId, Store, VolumeId, ZeroMode,
};

const KIB: u64 = 1 << 10;
const RUN: u64 = 512 * KIB;

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn content(snapshot: &Snapshot) -> Vec<u8> {
    let mut bytes = vec![0; snapshot.size_bytes() as usize];
    snapshot.read(0, &mut bytes).unwrap();
    bytes
}

fn differences(store: &Store, newer: SnapshotId, older: Option<SnapshotId>) -> Vec<Difference> {
    let found: Result<Vec<Difference>> = store.differences(newer, older).unwrap().collect();
    found.unwrap()
}

/// Puts what differs onto the older bytes: the newer ones must come out, and zeroes where the newer
/// snapshot is said to have none.
fn check(store: &Store, newer: SnapshotId, older: Option<SnapshotId>) {
    let wanted = content(&store.snapshot(newer).unwrap());
    let mut bytes = older.map_or_else(Vec::new, |id| content(&store.snapshot(id).unwrap()));
    bytes.resize(wanted.len(), 0);
    let mut behind = 0;
    for found in differences(store, newer, older) {
        assert!(found.extent.len > 0 && found.offset >= behind);
        behind = found.end();
        let range = found.offset as usize..found.end() as usize;
        if found.extent.kind != ExtentKind::Data {
            assert!(wanted[range.clone()].iter().all(|byte| *byte == 0));
        }
        bytes[range.clone()].copy_from_slice(&wanted[range]);
    }
    assert!(bytes == wanted, "{newer} since {older:?}");
}

#[test]
fn random_disks_differ_as_their_bytes_do() {
    for seed in 0..12 {
        let mut run = Run::new(seed, false);
        for _ in 0..120 {
            run.step();
        }
        let store = run.store();
        let ids: Vec<SnapshotId> = store.snapshots().iter().map(|info| info.id).collect();
        for newer in &ids {
            check(&store, *newer, None);
            for older in &ids {
                check(&store, *newer, Some(*older));
            }
        }
    }
}

/// A volume of four runs, written here and there and frozen twice.
fn two_snapshots() -> (Store, [SnapshotId; 2]) {
    let store = open(&SimIo::new(7)).unwrap();
    let volume = VolumeId(id(1));
    let snapshots = [SnapshotId(id(2)), SnapshotId(id(3))];
    store.create_volume(volume, spec(4 * RUN)).unwrap();
    let disk = store.volume(volume).unwrap();
    let data = vec![7; 64 * KIB as usize];
    disk.write(0, &data, Durability::Buffered).unwrap();
    disk.write(RUN, &data, Durability::Buffered).unwrap();
    store.create_snapshots(&[(snapshots[0], volume)]).unwrap();
    disk.write(RUN + 8 * KIB, &[9; 4096], Durability::Buffered)
        .unwrap();
    disk.write_zeroes(0, 16 * KIB, ZeroMode::Deallocate, Durability::Buffered)
        .unwrap();
    disk.write(3 * RUN, &data, Durability::Buffered).unwrap();
    store.create_snapshots(&[(snapshots[1], volume)]).unwrap();
    (store, snapshots)
}

#[test]
fn only_what_was_changed_is_reported() {
    let (store, [older, newer]) = two_snapshots();
    let flat = |found: Vec<Difference>| -> Vec<(u64, u64, ExtentKind)> {
        let flat = found
            .iter()
            .map(|d| (d.offset, d.extent.len, d.extent.kind));
        flat.collect()
    };
    let expected = vec![
        (0, 16 * KIB, ExtentKind::Hole),
        (RUN + 8 * KIB, 4 * KIB, ExtentKind::Data),
        (3 * RUN, 64 * KIB, ExtentKind::Data),
    ];
    assert_eq!(flat(differences(&store, newer, Some(older))), expected);
    // The same from the index and after packing as from the overlays.
    store.reclaim_now().unwrap();
    assert_eq!(flat(differences(&store, newer, Some(older))), expected);
    assert!(differences(&store, newer, Some(newer)).is_empty());
    let whole = flat(differences(&store, older, None));
    assert_eq!(
        whole,
        [
            (0, 64 * KIB, ExtentKind::Data),
            (RUN, 64 * KIB, ExtentKind::Data)
        ]
    );
}

#[test]
fn what_lies_behind_a_smaller_disk_counts_as_new() {
    let (store, [_, older]) = two_snapshots();
    let (volume, newer) = (VolumeId(id(1)), SnapshotId(id(4)));
    // Shrinking and growing again leaves nothing of what was behind the end.
    store.resize_volume(volume, 3 * RUN).unwrap();
    store.create_snapshots(&[(newer, volume)]).unwrap();
    check(&store, older, Some(newer));
    check(&store, newer, Some(older));
}

#[test]
fn a_snapshot_that_goes_meanwhile_is_an_error() {
    let (store, [older, newer]) = two_snapshots();
    let mut walk = store.differences(newer, Some(older)).unwrap();
    store.delete_snapshot(older).unwrap();
    let error = walk.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(walk.next().is_none());
    assert!(store.differences(newer, Some(older)).is_err());
}
