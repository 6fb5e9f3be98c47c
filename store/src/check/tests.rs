//! Checking whole pools, and what a check leaves behind: nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::sim::{SimIo, SplitMix64};
use crate::disk::{Caching, Create, Io, RealIo};
use crate::model::{Run, options, spec};
use crate::{CheckReport, Durability, ErrorKind, Result, SnapshotId, Store, VolumeId, check};

const DIR: &str = "/pool";

fn checked(io: &SimIo) -> Result<CheckReport> {
    let io: Arc<dyn Io> = Arc::new(io.clone());
    check(&io, Path::new(DIR), Path::new(DIR).join("master.key"))
}

/// Closes the store and leaves its disk.
fn closed(run: Run) -> SimIo {
    let io = run.io.clone();
    drop(run);
    io
}

#[test]
fn whole_pools_are_found_to_be_whole_and_are_left_as_they_are() {
    for seed in 0..12 {
        let mut run = Run::new(seed, true);
        for _ in 0..80 {
            run.step();
        }
        if seed % 2 == 0 {
            run.store.reclaim_now().unwrap();
            run.store.close().unwrap();
        }
        let (volumes, snapshots) = (run.store.volumes().len(), run.store.snapshots().len());
        let io = closed(run);
        let before = io.op_count();
        let report = checked(&io).unwrap();
        assert_eq!(report.damages, [], "seed {seed}");
        assert_eq!(report.unchecked, [] as [String; 0]);
        assert!(report.opens && report.verified.metadata_pages > 0);
        assert_eq!(report.volumes, volumes as u64);
        assert_eq!(report.snapshots, snapshots as u64);
        assert_eq!(io.op_count(), before, "seed {seed}: the check has written");
    }
}

fn contents(dir: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            contents(&path, found);
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
}

#[test]
fn real_files_are_the_same_bytes_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("pool");
    let io: Arc<dyn Io> = Arc::new(RealIo);
    let store = Store::open(Arc::clone(&io), &pool, options()).unwrap();
    let id = VolumeId(uuid::Uuid::from_u128(1));
    store.create_volume(id, spec(8 << 20)).unwrap();
    let mut data = vec![0; 2 << 20];
    SplitMix64::new(1).fill(&mut data);
    let volume = store.volume(id).unwrap();
    volume.write(0, &data, Durability::Durable).unwrap();
    store.reclaim_now().unwrap();
    let snapshot = SnapshotId(uuid::Uuid::from_u128(2));
    store.create_snapshots(&[(snapshot, id)]).unwrap();
    volume
        .write(4096, &data[..8192], Durability::Durable)
        .unwrap();
    let busy = check(&io, &pool, pool.join("master.key")).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    drop((volume, store));
    let (mut before, mut after) = (Vec::new(), Vec::new());
    contents(&pool, &mut before);
    let report = check(&io, &pool, pool.join("master.key")).unwrap();
    contents(&pool, &mut after);
    assert_eq!(report.damages, []);
    assert_eq!((report.volumes, report.snapshots), (1, 1));
    assert!(report.verified.chunks >= 512 && report.verified.journal_blocks >= 2);
    assert!(before == after, "the check has changed the pool");
}

#[test]
fn a_folder_without_a_pool_is_none() {
    let io = SimIo::new(1);
    io.create_dir(Path::new(DIR)).unwrap();
    assert_eq!(checked(&io).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_missing_file_is_damage() {
    let mut run = Run::new(3, true);
    for _ in 0..60 {
        run.step();
    }
    run.store.reclaim_now().unwrap();
    let io = closed(run);
    io.remove(&Path::new(DIR).join("meta.redb")).unwrap();
    let report = checked(&io).unwrap();
    assert!(!report.opens && !report.damages.is_empty());
    // The containers are looked at all the same.
    assert!(report.verified.containers > 0 && !report.unchecked.is_empty());
}

#[test]
fn a_lost_file_of_sums_is_told_of_and_made_anew() {
    let mut run = Run::new(3, true);
    for _ in 0..60 {
        run.step();
    }
    let io = closed(run);
    let path = Path::new(DIR).join("meta.sums");
    io.remove(&path).unwrap();
    let report = checked(&io).unwrap();
    assert!(report.opens && report.damages.len() == 1);
    assert!(report.damages[0].message.contains("meta.sums"));
    drop(crate::model::open(&io).unwrap());
    io.open(&path, Create::Never, Caching::Buffered).unwrap();
    assert_eq!(checked(&io).unwrap().damages, []);
}
