//! Where one snapshot differs from another, found by comparing maps.
//!
//! Only layers that the two do not share are looked at, and no data is read: two snapshots of one
//! volume cost as much as was changed between them. A range that was written again with the bytes it
//! had is reported; a range that differs is never left out.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT};
use crate::engine::Engine;
use crate::extents::kind_of;
use crate::index::{IndexRead, LayerId, RUN_CHUNKS};
use crate::journal::poisoned;
use crate::layer::{Chain, Layer};
use crate::{Extent, ExtentKind, Result, SnapshotId, Store};

const RUN: usize = RUN_CHUNKS as usize;
const RUN_BYTES: u64 = RUN_CHUNKS << CHUNK_SHIFT;
/// Runs of one layer that a step takes in at most: 128 MiB of a densely changed disk.
const STEP_RUNS: usize = 256;

/// A range of a disk that differs from another disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, and what the newer disk has there.
    pub extent: Extent,
}

impl Difference {
    /// The first byte behind it.
    pub fn end(&self) -> u64 {
        self.offset + self.extent.len
    }
}

/// The differences of two snapshots in order of offset; made by [`Store::differences`]. Ends after
/// the first error.
pub struct Differences {
    store: Store,
    newer: SnapshotId,
    older: Option<SnapshotId>,
    size_bytes: u64,
    next_run: u64,
    found: VecDeque<Difference>,
}

impl Store {
    /// Walks the ranges in which `newer` differs from `older`, or from an empty disk. What lies
    /// beyond the end of a smaller `older` counts as empty there. Works for any two snapshots, and
    /// is fast for those of one volume or its clones.
    ///
    /// # Errors
    /// `NotFound` without one of them.
    pub fn differences(&self, newer: SnapshotId, older: Option<SnapshotId>) -> Result<Differences> {
        let size_bytes = self.snapshot(newer)?.size_bytes();
        if let Some(older) = older {
            self.snapshot(older)?;
        }
        Ok(Differences {
            store: self.clone(),
            newer,
            older,
            size_bytes,
            next_run: 0,
            found: VecDeque::new(),
        })
    }
}

impl Iterator for Differences {
    type Item = Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() && self.next_run < self.size_bytes.div_ceil(RUN_BYTES) {
            if let Err(error) = self.step() {
                self.next_run = u64::MAX;
                return Some(Err(error));
            }
        }
        self.found.pop_front().map(Ok)
    }
}

/// Two disks as they are stacked at one moment.
struct Pair {
    newer: Arc<Chain>,
    older: Option<Arc<Chain>>,
}

impl Pair {
    fn has(chain: &Chain, layer: LayerId) -> bool {
        chain.ids.contains(&layer)
    }

    /// The layers that only one of them has.
    fn own_layers(&self) -> Vec<&Layer> {
        let Some(older) = &self.older else {
            return self.newer.layers.iter().map(AsRef::as_ref).collect();
        };
        let of_newer = self.newer.layers.iter();
        let of_older = older.layers.iter();
        let only_newer = of_newer.filter(|layer| !Self::has(older, layer.id));
        let only_older = of_older.filter(|layer| !Self::has(&self.newer, layer.id));
        only_newer.chain(only_older).map(AsRef::as_ref).collect()
    }
}

impl Differences {
    /// Looks at the next stretch of runs that may differ.
    fn step(&mut self) -> Result<()> {
        let store = self.store.clone();
        let engine = store.engine();
        let pair = self.pair(engine)?;
        let own = pair.own_layers();
        let all = self.size_bytes.div_ceil(RUN_BYTES);
        let from = u32::try_from(self.next_run).unwrap_or(u32::MAX);
        let to = step_end(engine, &own, from)?.min(all);
        for run in candidates(engine, &own, from, to)? {
            self.compare(engine, &pair, u64::from(run))?;
        }
        // A snapshot that went while its layers were walked may have lost some of them on the way.
        self.pair(engine)?;
        self.next_run = to;
        Ok(())
    }

    fn pair(&self, engine: &Engine) -> Result<Pair> {
        let state = engine.state.read().expect(poisoned!());
        let chain = |id| Ok::<_, crate::Error>(state.snapshot(id)?.chain());
        Ok(Pair {
            newer: chain(self.newer)?,
            older: self.older.map(chain).transpose()?,
        })
    }

    /// Adds what differs within a run.
    fn compare(&mut self, engine: &Engine, pair: &Pair, run: u64) -> Result<()> {
        let _guard = engine.epochs.enter();
        let first = run * RUN_CHUNKS;
        let mut newer = [Address::HOLE; RUN];
        engine.resolve(&pair.newer, first, &mut newer)?;
        let mut older = [Address::HOLE; RUN];
        if let Some(chain) = &pair.older {
            engine.resolve(chain, first, &mut older)?;
            self.cut_older(run, &mut older);
        }
        for (index, (new, old)) in newer.iter().zip(&older).enumerate() {
            let offset = (first + index as u64) << CHUNK_SHIFT;
            if offset < self.size_bytes && differ(engine, *new, *old)? {
                self.push(offset, kind_of(*new));
            }
        }
        Ok(())
    }

    /// Takes out what lies behind the end of a smaller older disk.
    fn cut_older(&self, run: u64, older: &mut [Address; RUN]) {
        let Some(size) = self.older.and_then(|id| self.store.snapshot(id).ok()) else {
            return;
        };
        let chunks = size.size_bytes().div_ceil(CHUNK_BYTES as u64);
        let kept = chunks.saturating_sub(run * RUN_CHUNKS).min(RUN_CHUNKS) as usize;
        older[kept..].fill(Address::HOLE);
    }

    fn push(&mut self, offset: u64, kind: ExtentKind) {
        let len = (CHUNK_BYTES as u64).min(self.size_bytes - offset);
        if let Some(last) = self.found.back_mut()
            && last.end() == offset
            && last.extent.kind == kind
        {
            last.extent.len += len;
            return;
        }
        let extent = Extent { len, kind };
        self.found.push_back(Difference { offset, extent });
    }
}

/// Whether two addresses may stand for different bytes.
fn differ(engine: &Engine, new: Address, old: Address) -> Result<bool> {
    if new == old || !(new.is_data() || old.is_data()) {
        return Ok(false);
    }
    // A chunk may be named by its place in the journal in one map and by that in a pack in the other.
    Ok(engine.settled(new)? != engine.settled(old)?)
}

/// Where a step from `from` ends, so that no layer has more than [`STEP_RUNS`] runs in it.
fn step_end(engine: &Engine, layers: &[&Layer], from: u32) -> Result<u64> {
    let reader = engine.index.read()?;
    let mut end = u64::MAX;
    for layer in layers {
        let runs = reader.layer_run_numbers(layer.id, from, u32::MAX, STEP_RUNS)?;
        if runs.len() == STEP_RUNS
            && let Some(last) = runs.last()
        {
            end = end.min(u64::from(*last) + 1);
        }
    }
    Ok(end)
}

/// The runs of `from..to` that some of the layers have.
fn candidates(engine: &Engine, layers: &[&Layer], from: u32, to: u64) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    let (start, end) = (u64::from(from) * RUN_CHUNKS, to * RUN_CHUNKS);
    // The overlays first: what leaves one meanwhile is in the index by then.
    for layer in layers {
        layer.pieces(start, end - start, |piece| {
            let runs = piece.start / RUN_CHUNKS..piece.end().div_ceil(RUN_CHUNKS);
            found.extend(runs.filter_map(|run| u32::try_from(run).ok()));
        });
    }
    // One view of the index for all layers: runs move from one to another when layers merge. A layer
    // gains no more than it had in its overlay since the step was measured.
    let reader = engine.index.read()?;
    let to = u32::try_from(to).unwrap_or(u32::MAX);
    for layer in layers {
        found.extend(reader.layer_run_numbers(layer.id, from, to, usize::MAX)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
