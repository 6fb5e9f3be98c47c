//! Power loss at every operation of random work: the real journal, checkpoint, packing, clean-up and
//! recovery code on the simulated disk, against the model.
//!
//! A crash state is one disk that may be left after one operation. Each is opened, and read whole:
//! it must show exactly one of the model's states between the last operation acknowledged as durable
//! and the last one begun. Runs close and open their pool on the way, so that files are used for more
//! than one life. Of some states `check` must say that nothing is damaged. A kind of work that no run came
//! to would be explored by nobody, so that is a failure too. `CINDERBLOCK_CRASH_STATES` asks for more
//! states than the default; which states those are follows from the number of the run and of the state,
//! which a failure names.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::check;
use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Entry, File, Io, Space};
use crate::model::{Model, Run, number_from, on_all_cores, open};

/// Operations on disks in one run.
const STEPS: usize = 40;
/// Operations between two openings.
const STEPS_OF_A_LIFE: usize = 15;
/// Operations on disks between two dumps of the metadata.
const STEPS_OF_A_DUMP: usize = 10;
/// Crash states looked at unless more are asked for, and those of one run.
const STATES: u64 = 100_000;
const STATES_OF_A_RUN: u64 = 2_000;
/// One state of so many is checked as well, unless its disk has damaged something.
const CHECKED: u64 = 16;
/// What the runs must have done among them.
const WORK: [&str; 13] = [
    "checkpoint",
    "clean-up",
    "clone",
    "compaction",
    "create",
    "delete",
    "garbage collection",
    "packing",
    "packing of scattered chunks",
    "recompression",
    "resize",
    "snapshot",
    "write",
];
const MODES: [Survive; 4] = [
    Survive::Nothing,
    Survive::Everything,
    Survive::Subset,
    Survive::Prefix,
];

/// What the explorer has to say about one crash state.
fn judge(
    run: &Run,
    at: usize,
    crash: &Crash,
    checks: bool,
    rng: &mut SplitMix64,
) -> Result<(), String> {
    let image = run.io.crash(at, crash, rng);
    let place = || format!("after {at} operations, {:?} surviving", crash.survive);
    if checks {
        judge_soundness(&image).map_err(|error| format!("{}: {error}", place()))?;
    }
    let store = open(&image).map_err(|error| format!("{}: cannot open: {error}", place()))?;
    let found = Model::digest_of(&store);
    let found = found.map_err(|error| format!("{}: cannot read: {error}", place()))?;
    run.check_survived(at, &found)
        .map_err(|error| format!("{}: {error}", place()))
}

/// Whether the pool is whole, by what `check` says.
fn judge_soundness(image: &SimIo) -> Result<(), String> {
    let (io, dir): (Arc<dyn Io>, _) = (Arc::new(image.clone()), Path::new("/pool"));
    let report = check(&io, dir, dir.join("master.key"));
    let report = report.map_err(|error| format!("cannot check: {error}"))?;
    match report.damages.is_empty() {
        true => Ok(()),
        false => Err(format!("called damaged: {:#?}", report.damages)),
    }
}

/// Explores crash states of one run until it has judged `states` of them.
fn explore(run: &Run, seed: u64, states: u64) -> Result<(), String> {
    let mut rng = SplitMix64::new(seed ^ 0xc4a5);
    let is_journal: fn(&Path) -> bool =
        |path| path.extension().is_some_and(|extension| extension == "wal");
    let ops = run.io.op_count() as u64;
    for state in 0..states {
        // Every operation in turn, then again with other choices.
        let at = (state % (ops + 1)) as usize;
        let survive = MODES[(state / (ops + 1) + state) as usize % MODES.len()];
        let mut crash = Crash::new(survive);
        let damaged = rng.below(4) == 0;
        if damaged {
            crash = crash.damaging(is_journal);
        }
        let checks = state % CHECKED == 0 && !damaged;
        judge(run, at, &crash, checks, &mut rng)
            .map_err(|error| format!("seed {seed}, state {state}: {error}"))?;
    }
    Ok(())
}

fn worked(run: &mut Run) {
    for step in 1..=STEPS {
        run.step();
        if step % STEPS_OF_A_DUMP == 0 {
            run.store.dump_metadata().unwrap();
        }
        if step % STEPS_OF_A_LIFE == 0 {
            run.reopen();
        }
    }
    run.cycle();
}

#[test]
fn no_crash_state_loses_what_was_acknowledged() {
    let wanted = number_from("CINDERBLOCK_CRASH_STATES").unwrap_or(STATES);
    let done = Mutex::new(BTreeSet::new());
    on_all_cores(0..wanted.div_ceil(STATES_OF_A_RUN), |seed| {
        let mut run = Run::new(seed, seed.is_multiple_of(2));
        worked(&mut run);
        let named = run.history.iter().map(|step| step.name);
        done.lock()
            .unwrap()
            .extend(run.work_done.iter().copied().chain(named));
        explore(&run, seed, STATES_OF_A_RUN).unwrap();
    });
    let done = done.into_inner().unwrap();
    let missed: Vec<_> = WORK.iter().filter(|work| !done.contains(*work)).collect();
    assert!(missed.is_empty(), "no run has seen {missed:?}");
}

/// A door that swallows the syncs of some files: an engine with its ordering broken.
struct Forgetful {
    io: SimIo,
    forgets: fn(&Path) -> bool,
}

/// A file whose syncs do nothing.
struct NeverSynced(Arc<dyn File>);

impl Io for Forgetful {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let file = self.io.open(path, create, caching)?;
        Ok(if (self.forgets)(path) {
            Arc::new(NeverSynced(file))
        } else {
            file
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.io.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.io.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.io.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.io.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.io.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.io.space(path)
    }

    fn now_us(&self) -> u64 {
        self.io.now_us()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.io.random(buffer);
    }
}

impl File for NeverSynced {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.punch(offset, len)
    }

    fn lock(&self) -> io::Result<()> {
        self.0.lock()
    }
}

/// Whether the explorer finds fault with an engine that does not sync the files named.
fn caught(forgets: fn(&Path) -> bool) -> bool {
    (0..20).any(|seed| {
        let io = SimIo::new(seed);
        let door = Arc::new(Forgetful {
            io: io.clone(),
            forgets,
        });
        let mut run = Run::on(io, door, seed, true);
        for _ in 0..STEPS {
            run.step();
        }
        explore(&run, seed, 2_000).is_err()
    })
}

#[test]
fn acknowledging_before_the_journal_is_durable_is_caught() {
    assert!(caught(|path| path
        .extension()
        .is_some_and(|extension| extension == "wal")
        || path.to_string_lossy().contains("spare")));
}

#[test]
fn committing_rows_before_their_containers_is_caught() {
    assert!(caught(|path| path
        .extension()
        .is_some_and(|extension| extension == "pack")));
}

#[test]
fn forgetting_to_sync_the_index_is_caught() {
    assert!(caught(|path| path.ends_with("meta.redb")));
}
