//! Background work: which step comes next, and the threads that take them.
//!
//! Packing, checkpoints, clean-up and reclaim share one state and run one at a time, so none of them
//! can see another half done. A second thread writes what appenders leave behind, so that streams
//! overlap with the disk.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::addr::ContainerId;
use crate::compact::{Compaction, Effort};
use crate::dedup::Dedup;
use crate::encryption::Secrets;
use crate::engine::Engine;
use crate::index::LayerId;
use crate::journal::poisoned;
use crate::journal::segment::Segment;
use crate::mark::Mark;
use crate::pace::Pace;
use crate::{Error, ErrorKind, Result, recompress, scrub};

/// Written bytes after which a checkpoint is due: bounds the time a restart takes to replay.
const CHECKPOINT_BYTES: u64 = 1 << 30;
/// Writes, trims and zeroings after which a checkpoint is due: each may be an overlay entry.
const CHECKPOINT_OPS: u64 = 1 << 20;
/// Overwritten chunks after which a mark may find something to free: 256 MiB.
const REPLACED_CHUNKS: u64 = 1 << 16;
/// Time after which a checkpoint is due when anything was written.
const CHECKPOINT_US: u64 = 60_000_000;
/// Time after which a checkpoint is due when volumes or layers have changed: many changes share one.
const STRUCTURAL_US: u64 = 1_000_000;
/// The raw tier is packed without an ended segment when nothing was written for so long.
const IDLE_US: u64 = 10_000_000;
/// Data in the current segment that makes packing an idle pool worthwhile.
const IDLE_BYTES: u64 = 16 << 20;
/// Containers whose fingerprints are read in one step after opening.
const HOOKS_AT_ONCE: usize = 64;
/// How much the background thread steps back where processors are short, as `nice` counts: a guest
/// waits for what it asked, and nobody for the packer until the raw tier is full.
const BACKGROUND_NICE: i32 = 10;
/// The same for recompression and scrub, for which nobody ever waits: as far as it goes.
const IDLE_NICE: i32 = 19;
/// Dumps of metadata wait for everybody else.
const DUMP_NICE: i32 = 19;
/// How long the threads sleep when there is nothing to do and nobody wakes them.
const NAP: Duration = Duration::from_millis(500);

/// State of background work.
pub(crate) struct Maintenance {
    /// Everything up to here is in the index.
    pub(crate) applied_sequence: u64,
    pub(crate) written_at_checkpoint: u64,
    pub(crate) ops_at_checkpoint: u64,
    pub(crate) checkpoint_us: u64,
    /// Layers merged away that journal segments may still name: into what, and the journal's last
    /// sequence when that happened.
    pub(crate) merged: HashMap<LayerId, (LayerId, u64)>,
    pub(crate) dedup: Dedup,
    /// Packed containers whose fingerprints were not read since the pool was opened.
    pub(crate) unhooked: Vec<ContainerId>,
    pub(crate) last_secrets: Option<(LayerId, Arc<Secrets>)>,
    /// Numbers of segments that hold chunks of which the key is not at hand, and how many keys had
    /// been found when that was noticed.
    locked: (u64, HashSet<u64>),
    pub(crate) mark: Option<Mark>,
    /// Number of the last mark begun, and of the last that went to its end.
    pub(crate) marks_begun: u64,
    pub(crate) marks_ended: u64,
    /// Whether something was dropped since the last mark began.
    pub(crate) garbage: bool,
    /// Mapped chunks that were overwritten or discarded since the last mark began.
    pub(crate) replaced_chunks: u64,
    /// What a mark has found worth writing anew.
    pub(crate) compaction: Compaction,
    /// How much is worth it.
    pub(crate) effort: Effort,
    /// Bytes written when the pool was last seen, and since when that has not changed.
    idle: (u64, u64),
    pub(crate) pace: Pace,
}

impl Maintenance {
    pub(crate) fn new(applied_sequence: u64, dedup: Dedup, now_us: u64) -> Self {
        Self {
            applied_sequence,
            written_at_checkpoint: 0,
            ops_at_checkpoint: 0,
            replaced_chunks: 0,
            checkpoint_us: now_us,
            merged: HashMap::new(),
            dedup,
            unhooked: Vec::new(),
            last_secrets: None,
            locked: (0, HashSet::new()),
            mark: None,
            marks_begun: 0,
            marks_ended: 0,
            garbage: false,
            compaction: Compaction::default(),
            effort: Effort::default(),
            idle: (0, now_us),
            pace: Pace::new(now_us),
        }
    }

    /// Passes a segment over until something has changed that may let it be packed.
    pub(crate) fn note_locked(&mut self, segment: &Segment) {
        self.locked.1.insert(segment.header.number);
    }

    /// Whether a segment is passed over.
    pub(crate) fn is_locked(&self, segment: &Segment) -> bool {
        self.locked.1.contains(&segment.header.number)
    }

    /// Stops passing segments over when more keys have been found than before.
    pub(crate) fn look_again_at_locked(&mut self, keys_loaded: u64) {
        if self.locked.0 != keys_loaded {
            self.locked = (keys_loaded, HashSet::new());
        }
    }

    /// Stops passing segments over: what locked them may be gone.
    pub(crate) fn forget_locked(&mut self) {
        self.locked.1.clear();
    }

    /// The layer that has a layer's runs now.
    pub(crate) fn merged_into(&self, layer: LayerId) -> LayerId {
        let mut layer = layer;
        while let Some((into, _)) = self.merged.get(&layer) {
            layer = *into;
        }
        layer
    }
}

/// Threads of an open pool, and how they are woken and stopped.
#[derive(Default)]
pub(crate) struct Threads {
    stop: AtomicBool,
    running: AtomicBool,
    woken: Mutex<bool>,
    wake: Condvar,
    handles: Mutex<Vec<JoinHandle<()>>>,
    /// Why background work cannot go on; cleared by the next step that succeeds.
    stalled: Mutex<Option<String>>,
}

impl Threads {
    /// Makes the background thread look for work now.
    pub(crate) fn wake(&self) {
        *self.woken.lock().expect(poisoned!()) = true;
        self.wake.notify_all();
    }

    /// Whether background work is going on in threads of its own.
    pub(crate) fn are_running(&self) -> bool {
        self.running.load(Ordering::Acquire)
    }

    /// Why background work cannot go on.
    pub(crate) fn stalled(&self) -> Option<String> {
        self.stalled.lock().expect(poisoned!()).clone()
    }

    fn nap(&self) {
        let woken = self.woken.lock().expect(poisoned!());
        let ready = self.wake.wait_timeout_while(woken, NAP, |woken| !*woken);
        *ready.expect(poisoned!()).0 = false;
    }

    /// Does nothing for a while, or until the threads are asked to end.
    pub(crate) fn rest(&self, time: Duration) {
        let woken = self.woken.lock().expect(poisoned!());
        let goes_on = |_: &mut bool| !self.stop.load(Ordering::Acquire);
        drop(self.wake.wait_timeout_while(woken, time, goes_on));
    }

    /// Asks all threads to end, and waits for them.
    pub(crate) fn join(&self, engine: &Engine) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        engine.journal.dismiss_writer();
        engine.dumps.dismiss();
        engine.scrub.stop();
        let handles = std::mem::take(&mut *self.handles.lock().expect(poisoned!()));
        for handle in handles {
            // The last owner of the pool may be one of the threads themselves.
            if handle.thread().id() != thread::current().id() {
                let _ = handle.join();
            }
        }
        engine.park_scrub();
        self.running.store(false, Ordering::Release);
    }
}

/// Starts the threads. They hold the pool only while they work, so it closes with its last user.
pub(crate) fn start(engine: &Arc<Engine>) -> std::io::Result<()> {
    let spawn = |name: &str, turn: fn(&Engine), nice: i32| {
        let weak = Arc::downgrade(engine);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            step_back(nice);
            run(&weak, turn);
        })
    };
    let mut handles = vec![
        spawn("store-background", background, BACKGROUND_NICE)?,
        spawn("store-writer", write_behind, 0)?,
        spawn("store-dump", crate::dump::turn, DUMP_NICE)?,
        spawn("store-scrub", scrub::turn, IDLE_NICE)?,
    ];
    if engine.recompressor.is_on() {
        handles.push(spawn("store-idle", recompress::turn, IDLE_NICE)?);
    }
    *engine.threads.handles.lock().expect(poisoned!()) = handles;
    engine.threads.running.store(true, Ordering::Release);
    Ok(())
}

/// Lowers the priority of the calling thread, which is what Linux takes "this process" to be.
fn step_back(nice: i32) {
    let own = rustix::process::getpriority_process(None);
    if let Ok(own) = own
        && nice > 0
    {
        // Without it the pool works as well, only less politely.
        let _ = rustix::process::setpriority_process(None, (own + nice).min(19));
    }
}

fn run(weak: &Weak<Engine>, turn: fn(&Engine)) {
    while let Some(engine) = weak.upgrade() {
        if engine.threads.stop.load(Ordering::Acquire) {
            return;
        }
        // What a panic leaves half done is behind locks that it poisons, and the pool stops.
        if catch_unwind(AssertUnwindSafe(|| turn(&engine))).is_err() {
            stop_after_panic(&engine);
            return;
        }
    }
}

/// Nobody may wait for work that a thread of the pool will not do any more.
fn stop_after_panic(engine: &Engine) {
    tracing::error!("a thread of the pool broke off: the pool takes no more writes");
    let stalled = engine.threads.stalled.lock();
    let reason = "a thread of the pool broke off".to_owned();
    *stalled.unwrap_or_else(PoisonError::into_inner) = Some(reason);
    engine.journal.fail();
}

fn write_behind(engine: &Engine) {
    engine.lend_memory();
    match engine.journal.write_behind() {
        Ok(true) => {}
        Ok(false) => engine.journal.wait_for_writing(NAP),
        Err(error) => {
            tracing::error!(%error, "writing the journal failed: the pool takes no more writes");
        }
    }
}

fn background(engine: &Engine) {
    let mut piece = engine.piece();
    let outcome = engine
        .maintenance()
        .and_then(|mut maintenance| engine.step(&mut maintenance));
    let mut stalled = engine.threads.stalled.lock().expect(poisoned!());
    match outcome {
        Ok(worked) => {
            *stalled = None;
            drop(stalled);
            if worked {
                engine.rest_after(&mut piece);
            } else {
                engine.threads.nap();
            }
        }
        Err(error) => {
            let reason = error.to_string();
            if stalled.as_ref() != Some(&reason) {
                tracing::error!(%error, "background work cannot go on");
            }
            *stalled = Some(reason);
            drop(stalled);
            engine.journal.wake_waiters();
            engine.threads.nap();
        }
    }
}

impl Engine {
    /// Takes one turn of everything that waits, so that nothing starves; says whether there was
    /// anything. A lack of space stops only what needs space: deleting and freeing go on.
    pub(crate) fn step(&self, maintenance: &mut Maintenance) -> Result<bool> {
        if self.journal.has_failed() {
            return Ok(false);
        }
        let mut blocked = None;
        if self.journal.wants_spares() && self.journal.bytes() < self.raw_quota_bytes {
            set_aside(&mut blocked, self.prepare_data_spares())?;
        }
        set_aside(&mut blocked, self.journal.shed_spares())?;
        set_aside(&mut blocked, self.note_idleness(maintenance))?;
        let mut worked = false;
        maintenance.look_again_at_locked(self.keys.loaded());
        let ended = self.packing_is_due(maintenance);
        if ended || self.checkpoint_due(maintenance) {
            let written = set_aside(&mut blocked, self.checkpoint(maintenance))?;
            worked = written.is_some() && !ended;
        }
        worked |= self.hook_step(maintenance);
        // Packing without the fingerprints of earlier runs would store again what is there.
        if ended && (maintenance.unhooked.is_empty() || self.raw_tier_is_tight()) {
            let packed = self.pack_round(maintenance);
            worked |= set_aside(&mut blocked, packed)?.unwrap_or(false);
        }
        worked |= self.clean_up_step(maintenance)?;
        worked |= set_aside(&mut blocked, self.reclaim_step(maintenance))?.unwrap_or(false);
        match blocked {
            Some(error) if !worked => Err(error),
            _ => {
                self.reserve.adjust();
                self.measure_room()?;
                Ok(worked)
            }
        }
    }

    fn reclaim_step(&self, maintenance: &mut Maintenance) -> Result<bool> {
        if maintenance.mark.is_some() {
            self.mark_step(maintenance)?;
            return Ok(true);
        }
        if self.compact_step(maintenance)? {
            return Ok(true);
        }
        let few = match self.is_tight() {
            true => REPLACED_CHUNKS / 16,
            false => REPLACED_CHUNKS,
        };
        if !maintenance.garbage && maintenance.replaced_chunks < few {
            return Ok(false);
        }
        self.checkpoint(maintenance)?;
        self.start_mark(maintenance);
        Ok(true)
    }

    fn checkpoint_due(&self, maintenance: &Maintenance) -> bool {
        let written = self.written_bytes() - maintenance.written_at_checkpoint;
        let ops = self.write_ops() - maintenance.ops_at_checkpoint;
        let structural = !self
            .state
            .read()
            .expect(poisoned!())
            .dirty
            .layers
            .is_empty();
        let since_us = self.io.now_us().saturating_sub(maintenance.checkpoint_us);
        let cleared = self.ranges.are_many() || self.cleared.are_many();
        let many = written >= CHECKPOINT_BYTES || ops >= CHECKPOINT_OPS || cleared;
        many || (structural && since_us > STRUCTURAL_US) || (since_us > CHECKPOINT_US && ops > 0)
    }

    /// Ends the current segment of a pool that has been quiet for a while, so that it gets packed.
    fn note_idleness(&self, maintenance: &mut Maintenance) -> Result<()> {
        let (written, now_us) = (self.written_bytes(), self.io.now_us());
        if maintenance.idle.0 != written {
            maintenance.idle = (written, now_us);
        } else if now_us > maintenance.idle.1 + IDLE_US && self.journal.current_bytes() > IDLE_BYTES
        {
            self.journal.roll_now()?;
        }
        Ok(())
    }

    /// Reads the fingerprints of some containers that an earlier run of the program packed. They only
    /// save space, so one that cannot be read is passed over.
    pub(crate) fn hook_step(&self, maintenance: &mut Maintenance) -> bool {
        for _ in 0..HOOKS_AT_ONCE {
            let Some(container) = maintenance.unhooked.pop() else {
                return false;
            };
            match self.fingerprints_of(container) {
                Ok(Some(prints)) => maintenance.dedup.insert_container(container, &prints),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "fingerprints cannot be read"),
            }
        }
        true
    }
}

/// Keeps a lack of space for later; other errors end the turn.
pub(crate) fn set_aside<T>(blocked: &mut Option<Error>, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NoSpace => {
            *blocked = Some(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
