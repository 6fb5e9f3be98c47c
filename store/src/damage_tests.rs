//! Files of a pool damaged while it was closed: bits flipped, blocks zeroed, ends cut off.
//!
//! Opening and reading then say so, or give the right data. They neither panic nor give wrong data,
//! and nothing vanishes silently. One limit cannot be removed: damage to the last batches of the
//! journal looks like a write that a power loss tore, so they may be taken for never acknowledged,
//! and an earlier state of the model is found. What a checkpoint holds is beyond that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Io};
use crate::model::{Model, Run, open, spec};
use crate::{Durability, ErrorKind, VolumeId};

/// What may be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// The last state, or an error.
    Last,
    /// Also an earlier one.
    Earlier,
}

#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    unread: usize,
    right: usize,
    earlier: usize,
}

/// The paths of all files below a folder.
pub(crate) fn files(io: &SimIo, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in io.list(dir).unwrap() {
        let path = dir.join(&entry.name);
        if entry.is_dir {
            files(io, &path, found);
        } else {
            found.push(path);
        }
    }
}

/// Changes a file a little; says how.
pub(crate) fn damage(io: &SimIo, path: &Path, rng: &mut SplitMix64) -> String {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let len = file.len().unwrap();
    if len == 0 {
        return "nothing, as it is empty".to_owned();
    }
    // The start of a file is where most of what is in it is said.
    let at = if rng.coin() {
        rng.below(len)
    } else {
        rng.below(len.min(20_000))
    };
    match rng.below(4) {
        0 => {
            file.set_len(at).unwrap();
            format!("cut off at {at}")
        }
        1 => {
            let block = at / 512 * 512;
            let zeroes = vec![0; (len - block).min(512) as usize];
            file.write_at(&zeroes, block).unwrap();
            format!("zeroed at {block}")
        }
        _ => {
            let mut byte = [0];
            file.read_at(&mut byte, at).unwrap();
            let bit = rng.below(8);
            file.write_at(&[byte[0] ^ 1 << bit], at).unwrap();
            format!("bit {bit} of byte {at} flipped")
        }
    }
}

/// Opens a damaged pool and reads all of it.
fn judge(io: &SimIo, run: &Run, allowed: Allowed, tally: &mut Tally) -> Result<(), String> {
    let named = |kind: ErrorKind| {
        matches!(
            kind,
            ErrorKind::Corrupt | ErrorKind::UnsupportedFormat | ErrorKind::Io
        )
    };
    let store = match open(io) {
        Ok(store) => store,
        Err(error) if named(error.kind()) => {
            tally.refused += 1;
            return Ok(());
        }
        Err(error) => return Err(format!("opening: {:?}: {error}", error.kind())),
    };
    match Model::of(&store) {
        Ok(found) => {
            if let Some(difference) = run.model.difference(&found) {
                let digest = found.digest();
                let known = run.history.iter().any(|step| step.digest == digest);
                if allowed == Allowed::Last || !known {
                    return Err(difference);
                }
                tally.earlier += 1;
            } else {
                tally.right += 1;
            }
            Ok(())
        }
        Err(error) if named(error.kind()) => {
            tally.unread += 1;
            Ok(())
        }
        Err(error) => Err(format!("reading: {:?}: {error}", error.kind())),
    }
}

/// Damages files of one kind in pools of many kinds.
fn explore(extension: &str, allowed: Allowed, packed: bool, times: usize) -> Tally {
    let mut tally = Tally::default();
    let mut failures = Vec::new();
    for seed in 0..6 {
        let mut run = Run::new(seed, true);
        for _ in 0..60 {
            run.step();
        }
        if packed {
            run.store.reclaim_now().unwrap();
        }
        if let Some(id) = run.model.names().first() {
            run.store.volume(*id).unwrap().flush().unwrap();
        }
        let mut rng = SplitMix64::new(seed ^ 0xda_4a6e);
        let all = Crash::new(Survive::Everything);
        let mut paths = Vec::new();
        files(&run.io, Path::new("/pool"), &mut paths);
        paths.retain(|path| path.to_string_lossy().ends_with(extension));
        if paths.is_empty() {
            continue;
        }
        for time in 0..times {
            let io = run.io.crash(usize::MAX, &all, &mut rng);
            let path = &paths[rng.below(paths.len() as u64) as usize];
            let what = damage(&io, path, &mut rng);
            let judged = catch_unwind(AssertUnwindSafe(|| judge(&io, &run, allowed, &mut tally)));
            let judged = judged.unwrap_or_else(|_| Err("a panic".to_owned()));
            if let Err(text) = judged {
                let path = path.display();
                failures.push(format!("seed {seed}, time {time}: {path} {what}: {text}"));
            }
        }
    }
    println!("{extension}: {tally:?}");
    assert!(failures.is_empty(), "{}: {failures:#?}", failures.len());
    tally
}

#[test]
fn damaged_packs_are_named() {
    let tally = explore(".pack", Allowed::Last, true, 40);
    assert!(tally.unread + tally.refused > 50 && tally.right > 50);
}

#[test]
fn damaged_journals_are_named_or_end_early() {
    let tally = explore(".wal", Allowed::Earlier, false, 40);
    assert!(tally.right > 50);
    // What a checkpoint holds is not taken from the journal's batches any more.
    explore(".wal", Allowed::Last, true, 20);
}

#[test]
fn a_damaged_pool_file_is_refused_or_harmless() {
    let tally = explore("pool.toml", Allowed::Last, true, 40);
    assert!(tally.refused > 50);
}

#[test]
fn damaged_metadata_is_noticed() {
    let tally = explore("meta.redb", Allowed::Earlier, true, 60);
    assert!(tally.refused > 100);
}

/// Gives the index more pages than its cache keeps: a disk beside those of the model, gone again at
/// the end but for what the index still says of it.
fn fill_index(run: &Run) {
    let id = VolumeId(Uuid::from_u128(u128::MAX));
    run.store.create_volume(id, spec(4 << 30)).unwrap();
    let volume = run.store.volume(id).unwrap();
    for at in 0..8192_u64 {
        for chunk in [0, 7, 100] {
            let bytes = [1 + (at % 200) as u8; 4096];
            let offset = (at << 19) + chunk * 4096;
            volume.write(offset, &bytes, Durability::Buffered).unwrap();
        }
    }
    let engine = run.engine();
    engine
        .checkpoint(&mut engine.maintenance().unwrap())
        .unwrap();
    run.store.delete_volume(id).unwrap();
}

/// Spoils pages of a file behind the back of whoever has it open.
fn spoil(io: &SimIo, path: &Path, rng: &mut SplitMix64) {
    let file = io.open(path, Create::Never, Caching::Buffered).unwrap();
    let pages = file.len().unwrap() / 4096;
    // The header stays: it is not read again.
    for page in 1..pages {
        if rng.coin() {
            let mut noise = vec![0; 4096];
            rng.fill(&mut noise);
            // What is left of the page's kind and counts leads further than noise.
            let from = if rng.coin() { 0 } else { 16 };
            file.write_at(&noise[from..], page * 4096 + from as u64)
                .unwrap();
        }
    }
}

#[test]
fn metadata_damaged_under_a_running_pool_stops_it_without_a_panic() {
    let (mut noticed, mut stopped) = (0, 0);
    for seed in 0..10 {
        let mut rng = SplitMix64::new(seed ^ 0x9a6e);
        let mut run = Run::new(seed, true);
        for _ in 0..60 {
            run.step();
        }
        fill_index(&run);
        spoil(&run.io, Path::new("/pool/meta.redb"), &mut rng);
        let work = catch_unwind(AssertUnwindSafe(|| {
            let read = Model::of(&run.store);
            let reclaimed = run.store.reclaim_now();
            (read, reclaimed)
        }));
        let (read, reclaimed) = work.unwrap_or_else(|_| panic!("seed {seed}: a panic"));
        // redb has no checksum that it looks at while reading: a row whose key is spoilt is not found,
        // so what reads well need not be right.
        if let Err(error) = read {
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Failed),
                "seed {seed}: {error}"
            );
        }
        noticed += usize::from(reclaimed.is_err());
        stopped += usize::from(run.store.stats().failed);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(run)));
        assert!(dropped.is_ok(), "seed {seed}: a panic in closing");
    }
    println!("{noticed} pools noticed, {stopped} stopped");
    assert!(noticed >= 8 && stopped >= 5);
}
