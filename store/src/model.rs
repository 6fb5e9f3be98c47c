//! The engine against a model: random work, with and without crashes.
//!
//! One seed is one run. The model holds every disk as plain bytes; after each operation the contents
//! of all disks must be equal. For crashes the model also remembers a digest of everything after each
//! operation: what is found after a power loss must be one of those states, not older than the last
//! operation that was acknowledged as durable, and not newer than the last that was begun.

mod disks;
mod operations;

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use uuid::Uuid;

use crate::disk::sim::{SimIo, SplitMix64};
use crate::disk::{Caching, Create, Io};
use crate::engine::Engine;
use crate::{
    DomainId, Encryption, Extent, ExtentKind, OpenOptions, Packing, Recompression, Result, Store,
    VolumeId, VolumeSpec,
};
pub(crate) use disks::Model;
use operations::{Acked, CYCLE, Outcome};

const DIR: &str = "/pool";
/// Chunks of the largest disk: two runs and a bit, so that runs are crossed.
const CHUNKS: u64 = 300;
const DOMAIN: DomainId = DomainId(Uuid::from_u128(0xd0));

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        memory_bytes: 4 << 20,
        raw_tier_bytes: None,
        background: false,
        recompression: None,
        prefill_journal: true,
        scrub: crate::ScrubOptions::default(),
        fingerprints: crate::Fingerprints::default(),
    }
}

/// A store on a simulated disk, its model, and what happened.
pub(crate) struct Run {
    pub(crate) io: SimIo,
    pub(crate) store: Store,
    pub(crate) model: Model,
    rng: SplitMix64,
    next_id: u128,
    /// Only operations that are one journal record each.
    atomic: bool,
    /// States that the operation under way has gone through.
    between: Vec<blake3::Hash>,
    /// What happened since the pool was opened.
    pub(crate) history: Vec<Step>,
    /// Work in the background that had something to do, of all that the run asked for.
    pub(crate) work_done: BTreeSet<&'static str>,
}

/// One operation of a run.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// What it was done to.
    what: String,
    /// States of the disks on the way, and after it.
    between: Vec<blake3::Hash>,
    pub(crate) digest: blake3::Hash,
    /// Operations of the disk below, before and after it.
    pub(crate) ops_before: usize,
    pub(crate) ops_after: usize,
    /// Whether it was acknowledged as durable.
    pub(crate) durable: bool,
}

impl Step {
    /// The states that it has brought about.
    pub(crate) fn states(&self) -> impl Iterator<Item = blake3::Hash> {
        self.between.iter().copied().chain([self.digest])
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = (self.ops_before, self.ops_after);
        let durable = if self.durable { ", durable" } else { "" };
        write!(f, "{before}..{after}{durable}: {} {}", self.name, self.what)
    }
}

impl Run {
    pub(crate) fn new(seed: u64, atomic: bool) -> Self {
        let io = SimIo::new(seed);
        Self::on(io.clone(), Arc::new(io), seed, atomic)
    }

    /// A run whose store sees the disk through `door`.
    pub(crate) fn on(io: SimIo, door: Arc<dyn Io>, seed: u64, atomic: bool) -> Self {
        io.set_space_bytes(1 << 30);
        let store = Store::open(door, Path::new(DIR), options_by_hand()).unwrap();
        io.forget_history();
        let rng = SplitMix64::new(seed ^ 0x5eed);
        let mut run = Self {
            io,
            store,
            model: Model::default(),
            rng,
            next_id: 1,
            atomic,
            between: Vec::new(),
            history: Vec::new(),
            work_done: BTreeSet::new(),
        };
        run.begin_history();
        run
    }

    /// Starts the history here: all that there is counts as durable.
    fn begin_history(&mut self) {
        let ops = self.io.op_count();
        self.history = vec![Step {
            name: "open",
            what: String::new(),
            between: Vec::new(),
            digest: self.model.digest(),
            ops_before: ops,
            ops_after: ops,
            durable: true,
        }];
    }

    /// The store under test.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.store.engine_for_tests()
    }

    /// One random operation on both.
    pub(crate) fn step(&mut self) {
        self.try_step().unwrap();
    }

    /// One random operation on both. After an error the model is as if it had succeeded.
    pub(crate) fn try_step(&mut self) -> Result<()> {
        self.take(Self::random_operation)
    }

    /// The life of data, from its writing to the giving back of its space.
    pub(crate) fn cycle(&mut self) {
        for operation in CYCLE {
            if self.model.volumes.is_empty() {
                self.step();
            }
            self.take(operation).unwrap();
        }
    }

    fn take(&mut self, operation: fn(&mut Self) -> Outcome) -> Result<()> {
        let ops_before = self.io.op_count();
        let (name, what, outcome) = operation(self);
        self.history.push(Step {
            name,
            what,
            between: std::mem::take(&mut self.between),
            digest: self.model.digest(),
            ops_before,
            ops_after: self.io.op_count(),
            durable: matches!(outcome, Ok(Acked::Durable)),
        });
        outcome.map(|_| ())
    }

    /// Whether these disks are what a power loss after the first `at` operations of the disk below may
    /// leave: a prefix of what was done, no shorter than what had been acknowledged as durable.
    ///
    /// # Errors
    /// The steps of which none left such disks.
    pub(crate) fn check_survived(
        &self,
        at: usize,
        found: &blake3::Hash,
    ) -> std::result::Result<(), String> {
        let acknowledged = |step: &Step| step.durable && step.ops_after <= at;
        let from = self.history.iter().rposition(acknowledged).unwrap_or(0);
        let begun = |step: &Step| step.ops_before <= at;
        let to = self.history.iter().rposition(begun).unwrap_or(0);
        let (first, later) = (&self.history[from], &self.history[from + 1..to + 1]);
        let mut states = later.iter().flat_map(Step::states);
        if first.digest == *found || states.any(|digest| digest == *found) {
            return Ok(());
        }
        let steps: Vec<_> = self.history[from..=to]
            .iter()
            .map(Step::to_string)
            .collect();
        Err(format!(
            "none of the states of steps {from} to {to}: {steps:#?}"
        ))
    }

    /// Goes on with what is found on a disk that the run's own has become, as everything is there for
    /// good once it has been opened.
    pub(crate) fn go_on(&mut self, io: SimIo, store: Store, found: Model) {
        (self.io, self.store, self.model) = (io, store, found);
        self.begin_history();
    }

    /// Flushes or closes, ends the process as it were, and opens again.
    pub(crate) fn reopen(&mut self) {
        match self.model.volumes.keys().next() {
            Some(id) if self.rng.coin() => self.store.volume(*id).unwrap().flush().unwrap(),
            _ => self.store.close().unwrap(),
        }
        self.let_go();
        self.store = open(&self.io).unwrap();
    }

    /// Ends the process as it were. The pool must be gone before its file locks can be taken again.
    pub(crate) fn let_go(&mut self) {
        self.store = open(&SimIo::new(0)).unwrap();
    }

    /// Panics where the store and the model differ.
    pub(crate) fn check(&self) {
        let names: Vec<_> = self.history.iter().map(Step::to_string).collect();
        let found =
            Model::of(&self.store).unwrap_or_else(|error| panic!("{error} after {names:#?}"));
        if let Some(difference) = self.model.difference(&found) {
            panic!("{difference} after {names:#?}");
        }
        assert!(self.engine().state.read().unwrap().uses_are_right());
        assert!(self.engine().places.read().unwrap().held_is_right());
        let sizes = self.store.volumes().into_iter().map(|info| info.size_bytes);
        assert_eq!(self.store.space().logical_bytes, sizes.sum::<u64>());
        for (id, bytes) in &self.model.volumes {
            check_extents(&self.store.volume(*id).unwrap(), bytes);
        }
    }
}

/// The extents of a disk cover it, and what they call zeroes or holes reads as zeroes.
fn check_extents(volume: &crate::Volume, bytes: &[u8]) {
    let extents = volume.extents(0, bytes.len() as u64, usize::MAX).unwrap();
    let mut at = 0;
    for extent in &extents {
        let part = &bytes[at..at + extent.len as usize];
        assert!(extent.kind == ExtentKind::Data || part.iter().all(|byte| *byte == 0));
        at += part.len();
    }
    assert_eq!(at, bytes.len());
    let same = |pair: &[Extent]| pair[0].kind == pair[1].kind;
    assert!(!extents.windows(2).any(same), "not merged: {extents:?}");
}

fn spec_in(domain: DomainId, encryption: Encryption, size_bytes: u64) -> VolumeSpec {
    VolumeSpec {
        size_bytes,
        domain,
        packing: Packing::Background,
        encryption,
    }
}

pub(crate) fn spec(size_bytes: u64) -> VolumeSpec {
    spec_in(DOMAIN, Encryption::None, size_bytes)
}

/// The same, encrypted, in a domain of its own.
pub(crate) fn sealed(spec: VolumeSpec, id: VolumeId) -> VolumeSpec {
    spec_in(DomainId(id.0), Encryption::DomainKey, spec.size_bytes)
}

/// A number from the environment, for tests that can be asked for more.
pub(crate) fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Does something with every seed, on as many threads as there are cores.
pub(crate) fn on_all_cores(seeds: Range<u64>, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let threads = thread::available_parallelism().map_or(2, |count| count.get());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    work(seed);
                }
            });
        }
    });
}

pub(crate) fn open(io: &SimIo) -> Result<Store> {
    Store::open(Arc::new(io.clone()), Path::new(DIR), options_by_hand())
}

/// With recompression of everything, as far as it is asked for.
fn options_by_hand() -> OpenOptions {
    OpenOptions {
        recompression: Some(Recompression {
            cold_after_s: 0,
            cpu_percent: 100,
        }),
        ..options()
    }
}

/// Fills the disk with what is others', until less than a fifth of it is free.
pub(crate) fn make_space_short(io: &SimIo) {
    let others = io
        .open(Path::new("/others"), Create::New, Caching::Buffered)
        .unwrap();
    others.allocate(0, 256 << 20).unwrap();
    let space = io.space(Path::new(DIR)).unwrap();
    io.leave_free((space.total_bytes - space.free_bytes) / 5);
}

#[test]
fn random_work_matches_the_model() {
    for seed in 0..40 {
        let mut run = Run::new(seed, false);
        for step in 0..150 {
            run.step();
            if step % 5 == 0 {
                run.check();
            }
            if step % 29 == 28 {
                run.reopen();
                run.check();
            }
        }
        run.check();
    }
}
