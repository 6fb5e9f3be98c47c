//! Power loss at every operation of random work: the real journal, checkpoint, packing, clean-up and
//! recovery code on the simulated disk, against the model.
//!
//! A crash state is one disk that may be left after one operation. Each is opened, and read whole:
//! it must show exactly one of the model's states between the last operation acknowledged as durable
//! and the last one begun. `CINDERBLOCK_CRASH_STATES` asks for more states than the default.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Entry, File, Io, Space};
use crate::model::{Model, Run, open};

/// Operations on disks in one run.
const STEPS: usize = 40;
const MODES: [Survive; 4] = [
    Survive::Nothing,
    Survive::Everything,
    Survive::Subset,
    Survive::Prefix,
];

/// What the explorer has to say about one crash state.
fn judge(run: &Run, at: usize, crash: &Crash, rng: &mut SplitMix64) -> Result<(), String> {
    let image = run.io.crash(at, crash, rng);
    let place = || format!("after {at} operations, {:?} surviving", crash.survive);
    let store = open(&image).map_err(|error| format!("{}: cannot open: {error}", place()))?;
    let found = Model::of(&store).map_err(|error| format!("{}: cannot read: {error}", place()))?;
    let acknowledged = run
        .history
        .iter()
        .rposition(|step| step.durable && step.ops_after <= at)
        .unwrap_or(0);
    let begun = run
        .history
        .iter()
        .rposition(|step| step.ops_before <= at)
        .unwrap_or(0);
    let digest = found.digest();
    if run.history[acknowledged..=begun]
        .iter()
        .any(|step| step.digest == digest)
    {
        return Ok(());
    }
    let names: Vec<_> = run.history[acknowledged..=begun]
        .iter()
        .map(|step| step.name)
        .collect();
    Err(format!(
        "{}: none of the states of {names:?} (steps {acknowledged} to {begun})",
        place()
    ))
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
        if rng.below(4) == 0 {
            crash = crash.damaging(is_journal);
        }
        judge(run, at, &crash, &mut rng)
            .map_err(|error| format!("seed {seed}, state {state}: {error}"))?;
    }
    Ok(())
}

fn worked(run: &mut Run) {
    for _ in 0..STEPS {
        run.step();
    }
}

#[test]
fn no_crash_state_loses_what_was_acknowledged() {
    let wanted: u64 = std::env::var("CINDERBLOCK_CRASH_STATES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_000);
    const RUNS: u64 = 50;
    let next = AtomicU64::new(0);
    let judged = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= RUNS {
                        return;
                    }
                    let mut run = Run::new(seed, true);
                    worked(&mut run);
                    let states = wanted.div_ceil(RUNS);
                    explore(&run, seed, states).unwrap();
                    judged.fetch_add(states, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(judged.load(Ordering::Relaxed) >= wanted);
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
        worked(&mut run);
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
