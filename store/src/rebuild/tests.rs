//! Losing the index, in whole or with parts of what it is built from again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::{LogUse, Rebuilt, rebuild};
use crate::addr::CHUNK_BYTES;
use crate::disk::sim::{SimIo, SplitMix64};
use crate::disk::{Caching, Create, File, Io};
use crate::dump::format::{FILE_HEADER_BYTES, FileHeader};
use crate::model::{Model, Run, open, options};
use crate::{Disk, Durability, ErrorKind, Result, Store};

const DUMPS: &str = "/pool/dump";

/// A pool that worked before and after dumps, and was flushed.
fn worked(seed: u64, dumps: &[usize], steps: usize) -> Run {
    let mut run = Run::new(seed, false);
    for step in 0..steps {
        run.step();
        if dumps.contains(&step) {
            run.store.dump_metadata().unwrap();
        }
    }
    run.engine().journal.flush().unwrap();
    run
}

/// Ends the process, as it were.
fn leave(run: &mut Run) {
    // The files' locks go with the last handle.
    run.store = open(&SimIo::new(0)).unwrap();
}

fn again(io: &SimIo) -> Result<Rebuilt> {
    let io: Arc<dyn Io> = Arc::new(io.clone());
    rebuild(&io, Path::new("/pool"), options())
}

fn lose(io: &SimIo, path: &str) {
    io.remove(Path::new(path)).unwrap();
}

fn names(io: &SimIo, dir: &str) -> Vec<String> {
    let listed = io.list(Path::new(dir)).unwrap();
    listed.into_iter().map(|entry| entry.name).collect()
}

fn lose_logs(io: &SimIo) {
    let logs = names(io, DUMPS)
        .into_iter()
        .filter(|name| name.ends_with(".log"));
    logs.for_each(|name| lose(io, &format!("{DUMPS}/{name}")));
}

fn file(io: &SimIo, path: &str) -> Arc<dyn File> {
    io.open(Path::new(path), Create::Never, Caching::Buffered)
        .unwrap()
}

/// Flips a bit behind the header of a file, if there is anything.
fn damage(io: &SimIo, path: &str, rng: &mut SplitMix64) -> bool {
    let file = file(io, path);
    let len = file.len().unwrap();
    if len <= 64 {
        return false;
    }
    let at = 64 + rng.below(len - 64);
    let mut byte = [0];
    file.read_at(&mut byte, at).unwrap();
    byte[0] ^= 1 << rng.below(8);
    file.write_at(&byte, at).unwrap();
    true
}

/// Opens the pool and holds it against the model; it must be fit for work.
fn expect_whole(run: &mut Run, seed: u64) {
    run.store = open(&run.io).unwrap();
    let found = Model::of(&run.store).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(run.model.difference(&found), None, "seed {seed}");
    (0..20).for_each(|_| run.step());
    run.store.reclaim_now().unwrap();
    let found = Model::of(&run.store).unwrap();
    assert_eq!(
        run.model.difference(&found),
        None,
        "seed {seed}, after more work"
    );
}

#[test]
fn with_dump_log_and_journal_nothing_is_missing() {
    for seed in 0..30 {
        let mut run = worked(seed, &[20, 60], 100);
        leave(&mut run);
        lose(&run.io, "/pool/meta.redb");
        let rebuilt = again(&run.io).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_ne!(rebuilt.log, LogUse::SetAside, "seed {seed}");
        assert_eq!((rebuilt.containers_lost, &rebuilt.set_aside), (0, &None));
        assert!(
            rebuilt.disks.iter().all(|disk| disk.lost_bytes == 0),
            "seed {seed}"
        );
        expect_whole(&mut run, seed);
    }
}

#[test]
fn a_pool_without_its_index_is_refused_and_loses_nothing() {
    for seed in 0..10 {
        let mut run = worked(seed, &[20, 60], 100);
        leave(&mut run);
        lose(&run.io, "/pool/meta.redb");
        for _ in 0..2 {
            let error = open(&run.io).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "seed {seed}");
        }
        again(&run.io).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        expect_whole(&mut run, seed);
    }
}

#[test]
fn only_packs_and_dumps_are_as_good_as_a_journal() {
    let mut run = worked(1, &[20], 40);
    leave(&mut run);
    lose(&run.io, "/pool/meta.redb");
    for name in names(&run.io, "/pool/journal") {
        lose(&run.io, &format!("/pool/journal/{name}"));
    }
    let dumps = names(&run.io, DUMPS);
    let error = open(&run.io).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(names(&run.io, DUMPS), dumps);
}

#[test]
fn an_older_dump_and_both_logs_serve_where_the_newest_is_damaged() {
    for seed in 0..20 {
        let mut run = worked(seed, &[20, 60], 100);
        leave(&mut run);
        lose(&run.io, "/pool/meta.redb");
        let mut rng = SplitMix64::new(seed);
        assert!(damage(&run.io, &format!("{DUMPS}/00000002.full"), &mut rng));
        let rebuilt = again(&run.io).unwrap();
        assert_ne!(rebuilt.log, LogUse::SetAside, "seed {seed}");
        assert_eq!(rebuilt.notes.len(), 1, "seed {seed}");
        expect_whole(&mut run, seed);
    }
}

#[test]
fn a_log_that_lacks_its_end_is_not_gone_on_from() {
    let mut run = worked(1, &[20, 60], 100);
    let header = {
        let mut bytes = [0; FILE_HEADER_BYTES];
        file(&run.io, &format!("{DUMPS}/00000002.log"))
            .read_at(&mut bytes, 0)
            .unwrap();
        FileHeader::decode(&bytes).unwrap()
    };
    let first = file(&run.io, &format!("{DUMPS}/00000001.log"));
    assert!(header.continues && header.before_bytes == first.len().unwrap());
    leave(&mut run);
    lose(&run.io, "/pool/meta.redb");
    let mut rng = SplitMix64::new(1);
    assert!(damage(&run.io, &format!("{DUMPS}/00000002.full"), &mut rng));
    // What is left of it reads to its end.
    first.set_len(FILE_HEADER_BYTES as u64).unwrap();
    let rebuilt = again(&run.io).unwrap();
    let told = "the end of the log of metadata dump 1 is missing";
    assert!(
        rebuilt.notes.iter().any(|note| note == told),
        "{:?}",
        rebuilt.notes
    );
}

/// The bytes of every disk that can be opened.
fn contents(store: &Store) -> BTreeMap<Disk, Vec<u8>> {
    let volumes = store.volumes().into_iter().map(|info| {
        let (id, mut bytes) = (info.id, vec![0; info.size_bytes as usize]);
        store.volume(id).unwrap().read(0, &mut bytes).unwrap();
        (Disk::Volume(id), bytes)
    });
    let snapshots = store.snapshots().into_iter().map(|info| {
        let (id, mut bytes) = (info.id, vec![0; info.size_bytes as usize]);
        store.snapshot(id).unwrap().read(0, &mut bytes).unwrap();
        (Disk::Snapshot(id), bytes)
    });
    volumes.chain(snapshots).collect()
}

/// Reads a chunk of a disk; `None` where its key was destroyed with a later deletion.
fn read(store: &Store, disk: Disk, offset: u64, out: &mut [u8]) -> Option<Result<()>> {
    let outcome = match disk {
        Disk::Volume(id) => store.volume(id).and_then(|volume| volume.read(offset, out)),
        Disk::Snapshot(id) => store
            .snapshot(id)
            .and_then(|snapshot| snapshot.read(offset, out)),
    };
    match outcome {
        Err(error) if error.kind() == ErrorKind::KeyUnavailable => None,
        outcome => Some(outcome),
    }
}

/// Every chunk must be as it should be, or an error. Counts the errors, held against what was
/// said of each disk.
fn expect_state_or_error(store: &Store, state: &BTreeMap<Disk, Vec<u8>>, said: &Rebuilt) -> u64 {
    let found: Vec<Disk> = said.disks.iter().map(|disk| disk.disk).collect();
    let mut known: Vec<Disk> = state.keys().copied().collect();
    known.sort_unstable();
    assert_eq!(found, known);
    let mut all = 0;
    for disk in &said.disks {
        let mut lost = 0;
        for (at, chunk) in state[&disk.disk].chunks(CHUNK_BYTES).enumerate() {
            let mut bytes = vec![0; chunk.len()];
            match read(store, disk.disk, (at * CHUNK_BYTES) as u64, &mut bytes) {
                None => {}
                Some(Ok(())) => assert!(bytes == chunk, "chunk {at} of {disk:?} is another"),
                Some(Err(error)) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                    lost += CHUNK_BYTES as u64;
                }
            }
        }
        assert!(lost <= disk.lost_bytes, "{lost} bytes of {disk:?}");
        all += lost;
    }
    all
}

#[test]
fn without_the_log_each_chunk_is_as_it_was_or_an_error() {
    let (mut lost, mut set_aside) = (0, 0);
    for seed in 0..40 {
        let mut run = worked(seed, &[], 60);
        let engine = run.engine();
        engine
            .checkpoint(&mut engine.maintenance().unwrap())
            .unwrap();
        run.store.dump_metadata().unwrap();
        let old = contents(&run.store);
        (0..60).for_each(|_| run.step());
        engine.journal.flush().unwrap();
        let new = contents(&run.store);
        drop(engine);
        leave(&mut run);
        lose(&run.io, "/pool/meta.redb");
        lose_logs(&run.io);
        let rebuilt = again(&run.io).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let expected = match rebuilt.log {
            LogUse::Applied => &new,
            LogUse::SetAside | LogUse::Absent => &old,
        };
        set_aside += u64::from(rebuilt.log == LogUse::SetAside);
        let store = open(&run.io).unwrap();
        lost += expect_state_or_error(&store, expected, &rebuilt);
        store.reclaim_now().unwrap();
        expect_state_or_error(&store, expected, &rebuilt);
    }
    assert!(
        set_aside > 10 && lost > 0,
        "{set_aside} set aside, {lost} bytes lost"
    );
}

#[test]
fn damage_of_a_log_costs_what_follows_and_nothing_else() {
    let mut older = 0;
    for seed in 0..40 {
        let mut run = worked(seed, &[30], 100);
        let new = contents(&run.store);
        leave(&mut run);
        lose(&run.io, "/pool/meta.redb");
        let mut rng = SplitMix64::new(seed);
        if !damage(&run.io, &format!("{DUMPS}/00000001.log"), &mut rng) {
            continue;
        }
        let rebuilt = again(&run.io).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(!rebuilt.notes.is_empty(), "seed {seed}");
        let store = open(&run.io).unwrap();
        if rebuilt.log == LogUse::Applied {
            expect_state_or_error(&store, &new, &rebuilt);
            continue;
        }
        // Where all of it can be read, it is one of the states that there were.
        if let Ok(found) = Model::of(&store) {
            let digest = found.digest();
            assert!(
                run.history.iter().any(|step| step.digest == digest),
                "seed {seed}"
            );
            older += 1;
        }
    }
    assert!(older > 0);
}

#[test]
fn the_damaged_index_is_kept_and_nothing_is_touched_without_a_dump() {
    let mut run = worked(3, &[], 30);
    leave(&mut run);
    file(&run.io, "/pool/meta.redb")
        .write_at(&[0x55; 4096], 0)
        .unwrap();
    let before = names(&run.io, "/pool");
    assert_eq!(again(&run.io).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(
        before
            .iter()
            .all(|name| names(&run.io, "/pool").contains(name))
    );
    let mut run = worked(3, &[10], 30);
    leave(&mut run);
    file(&run.io, "/pool/meta.redb")
        .write_at(&[0x55; 4096], 0)
        .unwrap();
    assert_eq!(open(&run.io).err().unwrap().kind(), ErrorKind::Corrupt);
    let rebuilt = again(&run.io).unwrap();
    let aside = rebuilt.set_aside.unwrap();
    let mut start = [0; 8];
    let old = run
        .io
        .open(&aside.join("meta.redb"), Create::Never, Caching::Buffered);
    old.unwrap().read_at(&mut start, 0).unwrap();
    assert_eq!(start, [0x55; 8]);
    // The sums went with the pages that they are of, and the new pages have theirs.
    assert!(names(&run.io, aside.to_str().unwrap()).contains(&"meta.sums".to_owned()));
    let now = names(&run.io, "/pool");
    assert!(now.contains(&"meta.sums".to_owned()) && !now.contains(&"meta.redb.sums".to_owned()));
    let io: Arc<dyn Io> = Arc::new(run.io.clone());
    let checked = crate::check(&io, Path::new("/pool"), "/pool/master.key".into());
    assert_eq!(checked.unwrap().damages, []);
    expect_whole(&mut run, 3);
}

#[test]
fn an_open_pool_and_a_newer_dump_are_refused() {
    let mut run = worked(4, &[10], 30);
    assert_eq!(again(&run.io).unwrap_err().kind(), ErrorKind::Busy);
    leave(&mut run);
    let full = file(&run.io, &format!("{DUMPS}/00000001.full"));
    let mut header = [0; 64];
    full.read_at(&mut header, 0).unwrap();
    header[8] = 2;
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    full.write_at(&header, 0).unwrap();
    let refused = again(&run.io).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::UnsupportedFormat);
    assert!(refused.to_string().contains("version 2"), "{refused}");
}

#[test]
fn a_damaged_journal_leaves_everything_as_it_was() {
    let mut run = worked(5, &[10], 40);
    let written = run.store.volumes().first().map(|info| info.id).unwrap();
    let volume = run.store.volume(written).unwrap();
    for _ in 0..3 {
        volume.write(0, &[7; 512], Durability::Durable).unwrap();
    }
    drop(volume);
    leave(&mut run);
    let journal = names(&run.io, "/pool/journal");
    let newest = journal.iter().rfind(|name| name.ends_with(".wal")).unwrap();
    file(&run.io, &format!("/pool/journal/{newest}"))
        .write_at(&[1; 4096], 4096)
        .unwrap();
    let before = names(&run.io, "/pool");
    assert_eq!(again(&run.io).unwrap_err().kind(), ErrorKind::Corrupt);
    let after = names(&run.io, "/pool");
    assert!(before.iter().all(|name| after.contains(name)), "{after:?}");
}
