//! Recompression: cold containers, compressed again with zstd while nobody needs the processor.
//!
//! A container is cold when it was neither packed nor read for a while. It is read and encoded without
//! any lock, by a thread of its own at the lowest priority, which then rests so that its share of one
//! processor is kept; only putting the result in place takes a turn of `maintenance`. Nothing is begun
//! while there is anything to mark or to compact, or to pack unless space is short: packing may be waiting
//! for what is freed here.
//!
//! Every container is done once: its row says so afterwards, also where zstd gains too little and it
//! stays as it was.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::addr::ContainerId;
use crate::chunk::compress::Codec;
use crate::engine::Engine;
use crate::index::ContainerRow;
use crate::journal::poisoned;
use crate::pack::writer::{FrameOptions, SealedContainer};
use crate::relocate::{Loaded, concerns_one_container};
use crate::{ErrorKind, Recompression, Result};

/// Containers that times are kept of; two of a number share one, and are taken for the warmer.
const TIMES: usize = 1 << 16;
/// What it must save, as one of so many bytes, to be worth writing.
const GAIN: u64 = 16;
/// How long to wait before looking again whether anything has become cold.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long to leave a pool alone that is busy.
const BUSY: Duration = Duration::from_millis(500);

/// When containers were last used, in seconds since the pool was opened. Counts all as used then.
pub(crate) struct Warmth {
    now_s: AtomicU32,
    used_s: Box<[AtomicU32]>,
}

impl Default for Warmth {
    fn default() -> Self {
        Self {
            now_s: AtomicU32::new(0),
            used_s: (0..TIMES).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl Warmth {
    fn slot(&self, id: ContainerId) -> &AtomicU32 {
        &self.used_s[id.0 as usize % TIMES]
    }

    /// Notes that a container is being read, or was just packed.
    pub(crate) fn touch(&self, id: ContainerId) {
        let (slot, now_s) = (self.slot(id), self.now_s.load(Ordering::Relaxed));
        // Readers of one container need not pass its cache line round more than once a second.
        if slot.load(Ordering::Relaxed) != now_s {
            slot.store(now_s, Ordering::Relaxed);
        }
    }

    /// For how long a container was not used.
    fn idle_s(&self, id: ContainerId) -> u32 {
        let used_s = self.slot(id).load(Ordering::Relaxed);
        self.now_s.load(Ordering::Relaxed).saturating_sub(used_s)
    }
}

/// What is to be recompressed.
pub(crate) struct Recompressor {
    /// `None` when it is turned off.
    settings: Option<Recompression>,
    opened_us: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Cold containers not yet looked at, the newest first.
    cold: Vec<ContainerId>,
    /// Damaged ones, and those without their key or their domain: left alone until the next opening.
    passed_over: HashSet<ContainerId>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A container was done in this time.
    Done(Duration),
    /// There is none.
    Nothing,
    /// The pool has other things to do.
    Busy,
}

impl Recompressor {
    pub(crate) fn new(settings: Option<Recompression>, now_us: u64) -> Self {
        Self {
            settings,
            opened_us: now_us,
            waiting: Mutex::default(),
        }
    }

    /// Whether there is ever anything to do.
    pub(crate) fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// Leaves a container alone from now on.
    fn pass_over(&self, id: ContainerId) {
        let mut waiting = self.waiting.lock().expect(poisoned!());
        waiting.passed_over.insert(id);
    }

    /// How long to rest after a step, so that the share of a processor is kept.
    fn rest(&self, step: Step) -> Duration {
        let percent = self.settings.map_or(100, |settings| settings.cpu_percent);
        let percent = u32::from(percent.clamp(1, 100));
        match step {
            Step::Done(took) => took * (100 - percent) / percent,
            Step::Nothing => LOOK_AGAIN,
            Step::Busy => BUSY,
        }
    }
}

/// One turn of the thread.
pub(crate) fn turn(engine: &Engine) {
    let step = engine.recompress_step().unwrap_or_else(|error| {
        // Nobody waits for this, so that a full disk is no news here.
        if error.kind() != ErrorKind::NoSpace {
            tracing::warn!(%error, "recompression rests");
        }
        Step::Nothing
    });
    engine.threads.rest(engine.recompressor.rest(step));
}

impl Engine {
    /// Recompresses one container, if there is a cold one and the pool has nothing else to do.
    ///
    /// # Errors
    /// `NoSpace` when there is no room for its second place.
    pub(crate) fn recompress_step(&self) -> Result<Step> {
        let Some(settings) = self.recompressor.settings else {
            return Ok(Step::Nothing);
        };
        let begun_us = self.io.now_us();
        let age_s = begun_us.saturating_sub(self.recompressor.opened_us) / 1_000_000;
        let age_s = u32::try_from(age_s).unwrap_or(u32::MAX);
        self.reader.warmth.now_s.store(age_s, Ordering::Relaxed);
        if !self.is_at_rest()? {
            return Ok(Step::Busy);
        }
        let Some(id) = self.next_cold(settings.cold_after_s) else {
            return Ok(Step::Nothing);
        };
        match self.recompress(id) {
            Err(error) if concerns_one_container(&error) => {
                tracing::warn!(%error, "a container is not recompressed");
                self.recompressor.pass_over(id);
            }
            outcome => outcome?,
        }
        let took_us = self.io.now_us().saturating_sub(begun_us);
        Ok(Step::Done(Duration::from_micros(took_us)))
    }

    /// Whether nothing is to be marked or compacted, or to be packed where there is room for it.
    fn is_at_rest(&self) -> Result<bool> {
        if self.journal.has_failed() {
            return Ok(false);
        }
        let maintenance = self.maintenance()?;
        let mut segments = self.journal.ended_segments().into_iter();
        Ok(maintenance.mark.is_none()
            && maintenance.compaction.is_empty()
            && maintenance.unhooked.is_empty()
            && (segments.all(|segment| maintenance.is_locked(&segment)) || self.is_tight()))
    }

    /// The next container that is cold, oldest first.
    fn next_cold(&self, cold_after_s: u32) -> Option<ContainerId> {
        let is_cold = |id: &ContainerId| self.reader.warmth.idle_s(*id) >= cold_after_s;
        let mut waiting = self.recompressor.waiting.lock().expect(poisoned!());
        if waiting.cold.is_empty() {
            let places = self.places.read().expect(poisoned!());
            if places.held().loose == 0 {
                return None;
            }
            let wanted = |(id, row): &(ContainerId, ContainerRow)| {
                !row.tight && is_cold(id) && !waiting.passed_over.contains(id)
            };
            let mut cold: Vec<_> = places.iter().filter(wanted).map(|(id, _)| id).collect();
            cold.sort_unstable_by(|a, b| b.cmp(a));
            waiting.cold = cold;
        }
        std::iter::from_fn(|| waiting.cold.pop()).find(is_cold)
    }

    fn recompress(&self, id: ContainerId) -> Result<()> {
        match self.load_container(id)? {
            Some(loaded) if !loaded.row.tight => self.replace_if_smaller(id, &loaded),
            Some(_) => Ok(()),
            // Its domain is gone, and it stays until it is swept.
            None => {
                self.recompressor.pass_over(id);
                Ok(())
            }
        }
    }

    fn replace_if_smaller(&self, id: ContainerId, loaded: &Loaded) -> Result<()> {
        let smaller = self.encode_smaller(loaded)?;
        let mut maintenance = self.maintenance()?;
        self.check_usable()?;
        let row = self.places.read().expect(poisoned!()).get(id);
        // It may have been moved or removed while it was being encoded.
        let Some(row) = row.filter(|row| row.location == loaded.row.location) else {
            return Ok(());
        };
        let row = ContainerRow { tight: true, ..row };
        let Some(sealed) = smaller else {
            let committed = self.commit_rows(&maintenance, &[(id, row)]);
            return committed.inspect_err(|_| self.journal.fail());
        };
        let len = sealed.bytes.len() as u64;
        self.reserve.check_room(len, self.ranges.bytes())?;
        let moved = self.place_anew(row, &sealed, u32::from(row.live))?;
        self.commit_moved(&mut maintenance, &[moved]).map(drop)
    }

    /// All slots that the container holds, if zstd makes enough of a difference.
    fn encode_smaller(&self, loaded: &Loaded) -> Result<Option<SealedContainer>> {
        let directory = &loaded.directory;
        if directory.header.codec == Codec::Zstd {
            return Ok(None);
        }
        let usual = FrameOptions::default().frame_log2;
        let options = FrameOptions {
            frame_log2: directory.header.frame_log2.max(usual),
            codec: Codec::Zstd,
        };
        let sealed = self.encode_anew(loaded, &directory.live, options)?;
        let old_len = loaded.row.location.len();
        let len_max = old_len - old_len / GAIN;
        Ok(sealed.filter(|sealed| sealed.bytes.len() as u64 <= len_max))
    }
}

#[cfg(test)]
mod tests;
