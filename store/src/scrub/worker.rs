//! The thread that scrubs: when a round begins, how fast it goes, and where it would go on.

use std::time::Duration;

use crate::Result;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::scrub::{Round, Scrub, ScrubFile};

/// How long the thread sleeps when there is nothing to do and nobody wakes it.
const NAP: Duration = Duration::from_secs(30);
/// Between two notes of how far a round came: so much is read again after a restart at most.
const SAVE_US: u64 = 60_000_000;
/// After something went wrong that is no damage.
const RETRY: Duration = Duration::from_secs(30);

/// Takes one step and waits as the pace wants it; or waits for a round to be due.
pub(crate) fn turn(engine: &Engine) {
    let wait = match engine.scrub_turn() {
        Ok(wait) => {
            engine.scrub.update(|status| status.stalled = None);
            wait
        }
        Err(error) => {
            let reason = error.to_string();
            if engine.scrub.status().stalled.as_ref() != Some(&reason) {
                tracing::error!(%error, "scrub cannot go on");
            }
            engine.scrub.update(|status| status.stalled = Some(reason));
            RETRY
        }
    };
    engine.scrub.wait(wait);
}

impl Scrub {
    /// Waits, unless the pool is to close.
    fn wait(&self, time: Duration) {
        let idle = self.round.lock().expect(poisoned!()).is_none();
        let asked = self.asked.lock().expect(poisoned!());
        let goes_on = |asked: &mut super::Asked| !(asked.stop || idle && asked.round);
        let waited = self.wake.wait_timeout_while(asked, time, goes_on);
        drop(waited.expect(poisoned!()));
    }

    fn is_asked(&self) -> bool {
        let mut asked = self.asked.lock().expect(poisoned!());
        std::mem::take(&mut asked.round)
    }

    /// How long to wait after having read so much.
    fn pace(&self, bytes: u64) -> Duration {
        let rate = self.options.bytes_per_s.max(1);
        Duration::from_micros(bytes.saturating_mul(1_000_000) / rate)
    }
}

impl Engine {
    /// One turn of the thread, and how long it is to wait then.
    pub(super) fn scrub_turn(&self) -> Result<Duration> {
        let mut slot = self.scrub.round.lock().expect(poisoned!());
        let Some(round) = slot.as_mut() else {
            *slot = self.next_round()?;
            return Ok(if slot.is_some() { Duration::ZERO } else { NAP });
        };
        let before = round.verified().bytes;
        let more = self.scrub_step(round)?;
        for damage in round.take_found() {
            self.scrub.note(&damage);
        }
        let verified = round.verified();
        self.scrub.update(|status| status.verified = verified);
        let now_us = self.io.now_us();
        if !more {
            *slot = None;
            self.end_round(now_us)?;
        } else if now_us.saturating_sub(round.saved_us) > SAVE_US {
            round.saved_us = now_us;
            let cursor = round.cursor();
            self.save_scrub(|file| file.stage = cursor)?;
        }
        Ok(self.scrub.pace(verified.bytes - before))
    }

    /// The round to go on with, or one that is due or asked for.
    fn next_round(&self) -> Result<Option<Round>> {
        let (file, _) = ScrubFile::load(&*self.io, &self.dir);
        let asked = self.scrub.is_asked();
        let now_us = self.io.now_us();
        if let Some((stage, position)) = file.stage {
            let mut round = Round::at(stage, position);
            round.saved_us = now_us;
            self.scrub.update(|status| status.running = true);
            return Ok(Some(round));
        }
        let interval_us = self.scrub.options.interval_s.saturating_mul(1_000_000);
        if file.due_us == 0 && interval_us > 0 && !asked {
            self.save_scrub(|file| file.due_us = now_us.saturating_add(interval_us))?;
            return Ok(None);
        }
        if !asked && (interval_us == 0 || now_us < file.due_us) {
            return Ok(None);
        }
        let mut round = Round::new();
        round.saved_us = now_us;
        self.scrub.update(|status| {
            status.running = true;
            status.begun_us = now_us;
            (status.damaged, status.repaired) = (0, 0);
            status.verified = round.verified();
        });
        let cursor = round.cursor();
        self.save_scrub(|file| {
            file.stage = cursor;
            file.begun_us = now_us;
        })?;
        Ok(Some(round))
    }

    fn end_round(&self, now_us: u64) -> Result<()> {
        let interval_us = self.scrub.options.interval_s.saturating_mul(1_000_000);
        self.scrub.update(|status| {
            status.running = false;
            status.finished_us = now_us;
            status.rounds += 1;
        });
        self.save_scrub(|file| {
            file.stage = None;
            file.finished_us = now_us;
            file.due_us = now_us.saturating_add(interval_us);
        })
    }

    /// Changes the file that says how far scrub came.
    fn save_scrub(&self, change: impl FnOnce(&mut ScrubFile)) -> Result<()> {
        let (mut file, _) = ScrubFile::load(&*self.io, &self.dir);
        let status = self.scrub.status();
        (file.damages, file.repairs) = (status.damaged, status.repaired);
        file.damaged = self.scrub.damaged_containers();
        change(&mut file);
        file.save(&*self.io, &self.dir)
    }

    /// Keeps where a round would go on, when the pool closes.
    pub(crate) fn park_scrub(&self) {
        let cursor = {
            let round = self.scrub.round.lock().expect(poisoned!());
            round.as_ref().and_then(Round::cursor)
        };
        if cursor.is_some()
            && let Err(error) = self.save_scrub(|file| file.stage = cursor)
        {
            tracing::warn!(%error, "scrub will go on from further back");
        }
    }
}
