//! Going through the runs: which chunks the volume maps, which runs name a chunk, and how much other
//! disks have of the volume's.

use std::collections::HashMap;

use super::plan::Plan;
use super::report::Report;
use super::slots::{Class, Slots};
use crate::Result;
use crate::addr::{Address, ContainerId};
use crate::index::{ForwardRow, IndexRead, IndexReader, LayerId, Run};

/// Runs read at once.
const RUNS_AT_ONCE: usize = 1024;
/// Forwarding rows kept decoded, 8 KiB each: neighbours in a map were mostly written together.
const FORWARDS_MAX: usize = 256;

/// One pass over the map.
pub(super) struct Walk<'a> {
    reader: &'a IndexReader,
    plan: &'a Plan,
    slots: &'a mut Slots,
    forwards: HashMap<ContainerId, Option<ForwardRow>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(reader: &'a IndexReader, plan: &'a Plan, slots: &'a mut Slots) -> Self {
        let forwards = HashMap::new();
        Self {
            reader,
            plan,
            slots,
            forwards,
        }
    }

    /// Notes what the volume maps, and the containers of everything that a deletion could free.
    pub(super) fn candidates(&mut self) -> Result<()> {
        let mut hidden = RunSet::default();
        for layer in &self.plan.chain {
            let mut own = Vec::new();
            self.runs(*layer, |walk, number, run| {
                if !hidden.has(number) {
                    own.push(number);
                    walk.addresses(run, |slots, address| slots.see(address))?;
                }
                Ok(())
            })?;
            own.into_iter().for_each(|number| hidden.insert(number));
        }
        for layer in &self.plan.layers {
            if self.plan.is_at_stake(*layer) {
                self.runs(*layer, |walk, _, run| walk.addresses(run, Slots::admit))?;
            }
        }
        Ok(())
    }

    /// Notes every run that names a chunk under examination, and counts what is shared.
    pub(super) fn everything(&mut self, report: &mut Report) -> Result<()> {
        for layer in &self.plan.layers {
            let below = self.plan.tree.chain(*layer).split_off(1);
            let mut shared = 0;
            self.runs(*layer, |walk, number, run| {
                shared += walk.seen_in(run)?;
                if let Some((_, hidden)) = walk.reader.find_run(&below, number)? {
                    shared -= walk.seen_in(&hidden)?;
                }
                walk.meet(*layer, number, run)
            })?;
            report.add_shared(*layer, shared);
        }
        Ok(())
    }

    fn meet(&mut self, layer: LayerId, number: u32, run: &Run) -> Result<()> {
        let Some(takers) = self.plan.takers(self.reader, layer, number)? else {
            return Ok(());
        };
        let class = match takers.is_empty() {
            true => Class::KEPT,
            false => self.slots.classes.number(takers),
        };
        self.addresses(run, |slots, address| slots.meet(address, class))
    }

    /// How many chunks of a run are the volume's.
    fn seen_in(&mut self, run: &Run) -> Result<i64> {
        let mut seen = 0;
        self.addresses(run, |slots, address| {
            seen += i64::from(slots.is_seen(address));
        })?;
        Ok(seen)
    }

    /// Calls `found` for all runs of a layer.
    fn runs(
        &mut self,
        layer: LayerId,
        mut found: impl FnMut(&mut Self, u32, &Run) -> Result<()>,
    ) -> Result<()> {
        let mut from = 0;
        loop {
            let runs = self.reader.layer_runs(layer, from, RUNS_AT_ONCE)?;
            for (number, run) in &runs {
                found(self, *number, run)?;
            }
            match runs.last() {
                Some((last, _)) if runs.len() == RUNS_AT_ONCE => from = last + 1,
                _ => return Ok(()),
            }
        }
    }

    /// Calls `found` for the data of a run, where it is now.
    fn addresses(&mut self, run: &Run, mut found: impl FnMut(&mut Slots, Address)) -> Result<()> {
        for address in run.iter().filter(|address| address.is_data()) {
            let settled = self.settled(address)?;
            if settled.is_data() {
                found(self.slots, settled);
            }
        }
        Ok(())
    }

    /// Follows an address through the packing of its window.
    fn settled(&mut self, address: Address) -> Result<Address> {
        let window = address.container();
        if !self.forwards.contains_key(&window) {
            if self.forwards.len() >= FORWARDS_MAX {
                self.forwards.clear();
            }
            self.forwards.insert(window, self.reader.forward(window)?);
        }
        let row = self.forwards.get(&window).and_then(Option::as_ref);
        Ok(row.map_or(address, |row| row.get(address.slot())))
    }
}

/// Numbers of runs: a bit each, 16 MiB for the largest volume.
#[derive(Default)]
struct RunSet(Vec<u64>);

impl RunSet {
    fn has(&self, run: u32) -> bool {
        let word = self.0.get(run as usize / 64).copied().unwrap_or(0);
        word >> (run % 64) & 1 == 1
    }

    fn insert(&mut self, run: u32) {
        let word = run as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (run % 64);
    }
}
