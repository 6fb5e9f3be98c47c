//! The reclaim that an operator asks for: packs what waits, and gives back all that nothing needs.
//!
//! It ends however busy guests are. What it packs was written before it began, the layers it cleans up
//! were there then, the mark visits each run once, and the compaction is that of this mark. Other
//! background work gets its turns in between, and takes ever longer ones while guests fill the raw tier; so
//! each turn here lasts as long as all that came between it and the one before. A reclaim under load has
//! half of the time: behind the packing it takes twice as long as it would alone, and a turn of the others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::Result;
use crate::compact::Effort;
use crate::engine::Engine;
use crate::index::LayerId;
use crate::journal::poisoned;
use crate::journal::segment::Segment;
use crate::maintain::{Maintenance, set_aside};

/// When the last turn ended.
struct Turns {
    ended_us: u64,
}

impl Engine {
    /// Packs all there is, cleans up and frees what nothing needs; the bytes given back meanwhile.
    /// Space that is lacking for packing may come from the freeing, so packing is tried again after
    /// it.
    pub(crate) fn reclaim_all(&self) -> Result<u64> {
        let before = self.freed_bytes.load(Ordering::Relaxed);
        while self.hook_step(&mut *self.maintenance()?) {}
        let mut blocked = None;
        set_aside(&mut blocked, self.pack_waiting())?;
        let mut turns = Turns {
            ended_us: self.io.now_us(),
        };
        let newest = LayerId(self.state.read().expect(poisoned!()).last_layer());
        while self.take_turn(&mut turns, |all| self.clean_up_asked(all, newest))? {}
        let number = {
            let mut maintenance = self.maintenance()?;
            self.checkpoint(&mut maintenance)?;
            maintenance.effort = Effort::Asked;
            self.start_mark(&mut maintenance)
        };
        while self.take_turn(&mut turns, |all| self.mark_asked(all, number))? {}
        while self.take_turn(&mut turns, |all| self.compact_asked(all))? {}
        if blocked.is_some() {
            self.pack_waiting()?;
        }
        Ok(self.freed_bytes.load(Ordering::Relaxed) - before)
    }

    /// Packs all that has been written so far.
    fn pack_waiting(&self) -> Result<()> {
        let rolled = self.journal.roll_now();
        let last = {
            let mut maintenance = self.maintenance()?;
            self.checkpoint(&mut maintenance)?;
            maintenance.applied_sequence
        };
        let waits = |segment: &Arc<Segment>| segment.last_sequence() <= last;
        while self.journal.ended_segments().iter().any(waits) {
            if !self.pack_round(&mut *self.maintenance()?)? {
                break;
            }
        }
        rolled
    }

    /// Takes steps while there are any, for as long as it has been since the last turn; says whether
    /// there may be more. Packing that writers wait for comes first.
    fn take_turn(
        &self,
        turns: &mut Turns,
        mut step: impl FnMut(&mut Maintenance) -> Result<bool>,
    ) -> Result<bool> {
        let mut maintenance = self.maintenance()?;
        // Where there is no room to pack into, what follows may make some.
        set_aside(&mut None, self.make_way(&mut maintenance))?;
        let began_us = self.io.now_us();
        let share_us = began_us.saturating_sub(turns.ended_us);
        loop {
            let goes_on = step(&mut maintenance)?;
            turns.ended_us = self.io.now_us();
            if !goes_on || turns.ended_us.saturating_sub(began_us) >= share_us {
                return Ok(goes_on);
            }
        }
    }

    /// One piece of clean-up and the checkpoint that others may wait for; says whether there was one.
    fn clean_up_asked(&self, maintenance: &mut Maintenance, newest: LayerId) -> Result<bool> {
        if !self.clean_up_upto(maintenance, newest)? {
            return Ok(false);
        }
        self.checkpoint(maintenance).map(|()| true)
    }

    /// Takes a step of a mark unless it has ended.
    fn mark_asked(&self, maintenance: &mut Maintenance, number: u64) -> Result<bool> {
        if maintenance.marks_ended >= number || maintenance.mark.is_none() {
            return Ok(false);
        }
        self.mark_step(maintenance).map(|_| true)
    }

    /// Takes a step of compaction unless it has ended.
    fn compact_asked(&self, maintenance: &mut Maintenance) -> Result<bool> {
        if maintenance.compaction.is_empty() {
            return Ok(false);
        }
        self.compact_step(maintenance)
    }

    /// Packs where writers wait for it.
    fn make_way(&self, maintenance: &mut Maintenance) -> Result<()> {
        if self.raw_tier_is_tight() && !self.journal.ended_segments().is_empty() {
            self.checkpoint(maintenance)?;
            self.pack_round(maintenance)?;
        }
        Ok(())
    }
}
