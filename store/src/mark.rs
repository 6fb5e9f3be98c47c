//! Reclaim: finding containers and forwarding rows that nothing refers to, and giving them back.
//!
//! A mark starts with a checkpoint and visits every run of every layer once, a batch at a time, in
//! transactions of the thread that alone changes runs. Whatever that thread writes into a run
//! meanwhile is noted too, so a chunk cannot slip from a place not yet visited to one visited before.
//! Containers and windows younger than the mark are exempt. Runs that still name a packed journal
//! window are rewritten on the way, which is what lets forwarding rows go. A mark that is cut off by
//! a crash starts again.

use std::collections::{HashMap, HashSet};

use crate::Result;
use crate::addr::{Address, ContainerId};
use crate::checkpoint::Stale;
use crate::compact::{Compaction, Effort};
use crate::engine::{Engine, Place};
use crate::index::{ContainerRow, IndexRead, LayerId, Run};
use crate::journal::poisoned;
use crate::maintain::Maintenance;
use crate::pack::format::{SlotBits, set};

/// Runs visited in one transaction.
const RUNS_AT_ONCE: usize = 4096;
/// The disk is tight when one of so many bytes is free, or less: more than 80 % are taken.
const TIGHT_SHARE: u64 = 5;

/// A mark under way.
pub(crate) struct Mark {
    /// Containers from this id on are exempt.
    epoch: u64,
    bits: HashMap<ContainerId, SlotBits>,
    /// Where to go on: the layers still to visit, and the next run of the first.
    layers: Vec<LayerId>,
    next_run: u32,
}

impl Mark {
    fn set(&mut self, address: Address) {
        let bits = self.bits.entry(address.container()).or_default();
        set(bits, address.slot());
    }

    fn live(&self, container: ContainerId) -> u32 {
        self.bits
            .get(&container)
            .map_or(0, |words| words.iter().map(|word| word.count_ones()).sum())
    }
}

impl Maintenance {
    /// Whether nobody wants to know what is referred to.
    fn takes_no_notes(&self) -> bool {
        self.mark.is_none() && self.compaction.is_empty()
    }

    /// Tells a mark under way, and compaction that waits, that an address is referred to.
    pub(crate) fn note_address(&mut self, engine: &Engine, address: Address) -> Result<()> {
        if self.takes_no_notes() || !address.is_data() {
            return Ok(());
        }
        let settled = engine.settled(address)?;
        if let Some(mark) = &mut self.mark {
            mark.set(address);
            if settled.is_data() {
                mark.set(settled);
            }
        }
        if settled.is_data() {
            self.compaction.keep(settled);
        }
        Ok(())
    }

    /// [`Self::note_address`] for all of a run.
    pub(crate) fn note_run(&mut self, engine: &Engine, run: &Run) -> Result<()> {
        if self.takes_no_notes() {
            return Ok(());
        }
        run.iter()
            .try_for_each(|address| self.note_address(engine, address))
    }
}

impl Engine {
    /// Begins a mark, in place of one under way, and says its number. A checkpoint must just have been
    /// written.
    pub(crate) fn start_mark(&self, maintenance: &mut Maintenance) -> u64 {
        let state = self.state.read().expect(poisoned!());
        maintenance.mark = Some(Mark {
            epoch: self.containers.next(),
            bits: HashMap::new(),
            layers: state.layers.keys().rev().copied().collect(),
            next_run: 0,
        });
        maintenance.garbage = false;
        maintenance.replaced_chunks = 0;
        maintenance.marks_begun += 1;
        maintenance.marks_begun
    }

    /// Visits some runs. At the end frees what was not met, and says how many bytes: `Some`.
    pub(crate) fn mark_step(&self, maintenance: &mut Maintenance) -> Result<Option<u64>> {
        self.check_usable()?;
        let Some(mark) = &mut maintenance.mark else {
            return Ok(Some(0));
        };
        let Some(layer) = mark.layers.last().copied() else {
            return self.sweep(maintenance).map(Some);
        };
        let from = mark.next_run;
        let writer = self.index.write()?;
        let runs = writer.layer_runs(layer, from, RUNS_AT_ONCE)?;
        let mut changed = HashSet::new();
        for (number, run) in &runs {
            let settled = self.settle_run(run)?;
            maintenance.note_run(self, settled.as_ref().unwrap_or(run))?;
            if let Some(settled) = settled {
                writer.put_run(layer, *number, &settled)?;
                changed.insert(*number);
            }
        }
        if changed.is_empty() {
            drop(writer);
        } else {
            self.commit_runs(writer, Stale::EveryStack(changed))?;
        }
        let Some(mark) = &mut maintenance.mark else {
            return Ok(Some(0));
        };
        match runs.last() {
            Some((last, _)) if runs.len() == RUNS_AT_ONCE => mark.next_run = last + 1,
            _ => {
                mark.layers.pop();
                mark.next_run = 0;
            }
        }
        Ok(None)
    }

    /// The run with every packed journal address replaced; `None` when there is none in it.
    fn settle_run(&self, run: &Run) -> Result<Option<Run>> {
        let mut settled = None;
        let mut known: Option<(ContainerId, bool)> = None;
        for (index, address) in run.iter().enumerate() {
            if !address.is_data() {
                continue;
            }
            let container = address.container();
            let forwarded = match known {
                Some((same, forwarded)) if same == container => forwarded,
                _ => matches!(self.place(container)?, Place::Forwarded(_)),
            };
            known = Some((container, forwarded));
            if forwarded {
                let new = self.settled(address)?;
                if !new.is_data() {
                    // It was damaged when its segment was packed: reading it says so for ever.
                    continue;
                }
                settled.get_or_insert_with(|| run.clone()).set(index, new);
            }
        }
        Ok(settled)
    }

    /// Removes the rows of what the mark has not met, then the bytes.
    fn sweep(&self, maintenance: &mut Maintenance) -> Result<u64> {
        let Some(mut mark) = maintenance.mark.take() else {
            return Ok(0);
        };
        // Segments that were given back must stay so, or they would be packed again; and reads that
        // looked up a packed journal address must have found where it went.
        self.journal.sync_names()?;
        self.epochs.wait();
        let writer = self.index.write()?;
        let rows: Vec<(ContainerId, ContainerRow)> = {
            let places = self.places.read().expect(poisoned!());
            places.iter().collect()
        };
        let mut dead = Vec::new();
        let mut changed = Vec::new();
        for (id, row) in rows.into_iter().filter(|(id, _)| id.0 < mark.epoch) {
            let live = mark.live(id);
            if live == 0 {
                writer.delete_container(id)?;
                dead.push((id, row));
            } else if live != u32::from(row.live) {
                let row = ContainerRow {
                    live: live as u16,
                    ..row
                };
                writer.put_container(id, &row)?;
                changed.push((id, row));
            }
        }
        let mut windows = HashSet::new();
        for id in writer.forwards()? {
            let passed = id.0 < mark.epoch && self.journal.segment_of(id).is_none();
            if passed && mark.live(id) == 0 {
                writer.delete_forward(id)?;
                windows.insert(id);
            }
        }
        self.commit_runs(writer, Stale::None)?;
        let freed = self.forget(maintenance, &dead, &changed, &windows);
        maintenance.marks_ended = maintenance.marks_begun;
        self.note_freed(freed);
        self.plan_compaction(maintenance, &mut mark);
        Ok(freed)
    }

    /// Chooses what is to be compacted. The reads that could still have known an address of a dead slot
    /// have been waited for.
    fn plan_compaction(&self, maintenance: &mut Maintenance, mark: &mut Mark) {
        if self.is_tight() {
            maintenance.effort = maintenance.effort.max(Effort::Tight);
        }
        let places = self.places.read().expect(poisoned!());
        let swept = places.iter().filter(|(id, _)| id.0 < mark.epoch);
        maintenance.compaction = Compaction::plan(swept, &mut mark.bits, maintenance.effort);
    }

    /// Whether space is short enough for more work to be worth what it frees.
    pub(crate) fn is_tight(&self) -> bool {
        let space = self.io.space(&self.dir);
        space.is_ok_and(|space| space.free_bytes < space.total_bytes / TIGHT_SHARE)
    }

    fn forget(
        &self,
        maintenance: &mut Maintenance,
        dead: &[(ContainerId, ContainerRow)],
        changed: &[(ContainerId, ContainerRow)],
        windows: &HashSet<ContainerId>,
    ) -> u64 {
        // Reads that looked an address up before may still be on their way.
        self.epochs.wait();
        {
            let mut places = self.places.write().expect(poisoned!());
            for (id, row) in changed {
                places.insert(*id, *row);
            }
            for (id, _) in dead {
                places.remove(*id);
                maintenance.dedup.forget_container(*id);
            }
        }
        for id in windows {
            self.forwards.remove(id);
        }
        let mut freed = 0;
        for (_, row) in dead {
            match self.packs.free(row.location.local()) {
                Ok(()) => freed += row.location.len(),
                Err(error) => {
                    tracing::warn!(%error, "a dead container stays until the next opening");
                }
            }
        }
        freed
    }
}
