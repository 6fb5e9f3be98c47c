//! Dumps of pools that work, and of those whose disk does not.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::RETRY_US;
use super::format::Kind;
use super::reader::DumpFile;
use crate::disk::sim::{Effect, Fault, OpKind, SimIo};
use crate::disk::{Io, RealIo};
use crate::index::ChangeSink;
use crate::model::{Run, open, options};
use crate::scrub::Round;
use crate::{OpenOptions, Store};

fn names(io: &dyn Io, dir: &Path) -> Vec<String> {
    let listed = io.list(dir).unwrap_or_default();
    listed.into_iter().map(|entry| entry.name).collect()
}

fn reopen(run: &mut Run) {
    // The old pool must be gone before its lock can be taken again.
    run.store = open(&SimIo::new(0)).unwrap();
    run.store = open(&run.io).unwrap();
}

#[test]
fn two_full_dumps_and_their_logs_are_kept() {
    let mut run = Run::new(1, false);
    for _ in 0..4 {
        run.step();
        run.store.dump_metadata().unwrap();
    }
    let kept = [
        "00000003.full",
        "00000003.log",
        "00000004.full",
        "00000004.log",
    ];
    assert_eq!(names(&run.io, Path::new("/pool/dump")), kept);
    reopen(&mut run);
    run.store.dump_metadata().unwrap();
    let kept = [
        "00000004.full",
        "00000004.log",
        "00000005.full",
        "00000005.log",
    ];
    assert_eq!(names(&run.io, Path::new("/pool/dump")), kept);
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody_and_makes_a_dump_due() {
    let mut run = Run::new(2, false);
    (0..10).for_each(|_| run.step());
    run.store.dump_metadata().unwrap();
    let engine = run.engine();
    assert!(!engine.dumps.is_due());
    let log = engine.dumps.state.lock().unwrap().log.clone().unwrap();
    for (kind, effect) in [
        (OpKind::Write, Effect::NoSpace),
        (OpKind::SyncData, Effect::Eio),
    ] {
        run.io.inject(Fault::once(Some(kind), 0, effect));
        log.begin();
        log.commit(b"not read again");
        run.io.heal();
        assert!(!log.is_whole() && engine.dumps.is_due());
    }
    (0..10).for_each(|_| run.step());
    assert!(!run.store.stats().failed);
    run.store.dump_metadata().unwrap();
    assert!(!engine.dumps.is_due());
}

#[test]
fn transactions_of_many_blocks_are_read_whole_or_not_at_all() {
    let run = Run::new(3, false);
    run.store.dump_metadata().unwrap();
    let engine = run.engine();
    let log = engine.dumps.state.lock().unwrap().log.clone().unwrap();
    let file = || {
        let (dir, pool) = (Path::new("/pool/dump"), engine.dumps.pool);
        DumpFile::open(&run.io, dir, Kind::Log, 1, pool).unwrap()
    };
    let before = file().whole_transactions();
    log.begin();
    log.add(&[1; 1 << 20]);
    log.add(&[2; 1 << 20]);
    log.begin();
    log.add(&[3; 1 << 20]);
    log.commit(&[4; 100]);
    let whole = &file().whole_transactions() - &before;
    assert_eq!(whole.len(), 1);
    let file = file();
    let blocks: Vec<_> = file.of_transactions(&whole).collect();
    let entries: Vec<_> = blocks
        .iter()
        .map(|block| (block.entries.len(), block.entries[0]))
        .collect();
    assert_eq!(entries, [(1 << 20, 3), (100, 4)]);
    assert!(file.is_read_to_its_end());
}

#[test]
fn an_open_pool_writes_dumps_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let background = OpenOptions {
        background: true,
        ..options()
    };
    let store = Store::open(Arc::clone(&io), dir.path(), background).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let dumps = dir.path().join("dump");
    while !names(&*io, &dumps).contains(&"00000001.full".to_owned()) {
        assert!(Instant::now() < deadline, "{:?}", names(&*io, &dumps));
        std::thread::yield_now();
    }
    store.close().unwrap();
}

fn log(run: &Run, number: u64) -> DumpFile {
    let pool = run.engine().dumps.pool;
    DumpFile::open(&run.io, Path::new("/pool/dump"), Kind::Log, number, pool).unwrap()
}

#[test]
fn a_log_that_cannot_be_begun_leaves_no_gap() {
    for fault in [
        Fault::once(Some(OpKind::Create), 0, Effect::NoSpace),
        Fault::once(Some(OpKind::Write), 0, Effect::NoSpace),
        Fault::once(Some(OpKind::SyncData), 0, Effect::Eio),
        Fault::once(Some(OpKind::SyncDir), 1, Effect::Eio),
    ] {
        let mut run = Run::new(6, false);
        (0..10).for_each(|_| run.step());
        run.store.dump_metadata().unwrap();
        (0..10).for_each(|_| run.step());
        run.io.inject(fault);
        assert!(run.store.dump_metadata().is_err(), "{fault:?}");
        run.io.heal();
        let kept = ["00000001.full", "00000001.log"];
        assert_eq!(names(&run.io, Path::new("/pool/dump")), kept, "{fault:?}");
        (0..10).for_each(|_| run.step());
        run.store.dump_metadata().unwrap();
        let (first, second) = (log(&run, 1), log(&run, 2).header);
        assert!(second.continues && second.before_bytes == first.len());
        let found = run.engine().scrub_through(&mut Round::new()).unwrap();
        assert_eq!(found, [], "{fault:?}");
    }
}

#[test]
fn a_dump_that_failed_is_due_again() {
    let mut run = Run::new(7, false);
    run.store.dump_metadata().unwrap();
    (0..10).for_each(|_| run.step());
    run.io
        .inject(Fault::once(Some(OpKind::Rename), 0, Effect::Eio));
    assert!(run.store.dump_metadata().is_err());
    run.io.heal();
    let engine = run.engine();
    assert!(!engine.dumps.is_due(), "not at once");
    run.io.set_now_us(run.io.now_us() + RETRY_US);
    assert!(engine.dumps.is_due());
    run.store.dump_metadata().unwrap();
    assert!(!engine.dumps.is_due());
    assert!(log(&run, 2).header.continues && log(&run, 3).header.continues);
}
