//! Every address of a new index, against what is there.

use std::collections::{BTreeMap, HashMap};

use super::RebuiltDisk;
use super::containers::Packs;
use super::segments::Segments;
use crate::addr::{Address, CHUNK_SHIFT, CONTAINER_SLOTS, ContainerId};
use crate::engine::Engine;
use crate::index::{ForwardRow, Index, IndexRead, IndexWriter, LayerId, Run};
use crate::journal::poisoned;
use crate::{Disk, Result};

/// Runs changed in one transaction.
const RUNS_AT_ONCE: usize = 4096;

/// What an address leads to.
struct Ground<'a> {
    packs: &'a Packs,
    segments: &'a Segments,
    forwards: HashMap<ContainerId, Option<ForwardRow>>,
}

/// Forwarding rows kept decoded, 8 KiB each.
const FORWARDS_MAX: usize = 256;

impl Ground<'_> {
    /// Whether a chunk is where its address says. One that was damaged when it was packed has an address
    /// that says so, and keeps it.
    fn has(&mut self, writer: &IndexWriter, address: Address) -> Result<bool> {
        let container = address.container();
        if !self.forwards.contains_key(&container) {
            if self.forwards.len() >= FORWARDS_MAX {
                self.forwards.clear();
            }
            self.forwards.insert(container, writer.forward(container)?);
        }
        if let Some(Some(row)) = self.forwards.get(&container) {
            let target = row.get(address.slot());
            return Ok(!target.is_data() || self.packs.has(target));
        }
        Ok(self.packs.has(address) || self.segments.has(container))
    }
}

/// Gives chunks that are nowhere addresses in container `lost`; says whether there are any.
pub(super) fn settle_runs(
    index: &Index,
    packs: &Packs,
    segments: &Segments,
    lost: ContainerId,
) -> Result<bool> {
    let forwards = HashMap::new();
    let mut ground = Ground {
        packs,
        segments,
        forwards,
    };
    let mut found = false;
    for (layer, _) in index.read()?.layers()? {
        let mut from = Some(0);
        while let Some(next) = from {
            let writer = index.write()?;
            let runs = writer.layer_runs(layer, next, RUNS_AT_ONCE)?;
            for (number, run) in &runs {
                if let Some(settled) = settle_run(&mut ground, &writer, run, lost)? {
                    writer.put_run(layer, *number, &settled)?;
                    found = true;
                }
            }
            let last = runs.last().filter(|_| runs.len() == RUNS_AT_ONCE);
            from = last.and_then(|(number, _)| number.checked_add(1));
            writer.commit()?;
        }
    }
    Ok(found)
}

fn settle_run(
    ground: &mut Ground<'_>,
    writer: &IndexWriter,
    run: &Run,
    lost: ContainerId,
) -> Result<Option<Run>> {
    let mut settled = None;
    for (at, address) in run.iter().enumerate() {
        if address.is_data() && !ground.has(writer, address)? {
            let slot = at as u32 % CONTAINER_SLOTS;
            let run = settled.get_or_insert_with(|| run.clone());
            run.set(at, Address::new(lost, slot));
        }
    }
    Ok(settled)
}

/// All disks of a rebuilt pool and how much of each is in container `lost`.
pub(super) fn disks(engine: &Engine, lost: Option<ContainerId>) -> Result<Vec<RebuiltDisk>> {
    let state = engine.state.read().expect(poisoned!());
    let volumes = state.volumes.values().map(|volume| {
        let disk = Disk::Volume(volume.id);
        (disk, volume.size_bytes(), volume.chain())
    });
    let snapshots = state.snapshots.values().map(|snapshot| {
        let disk = Disk::Snapshot(snapshot.id);
        (disk, snapshot.size_bytes, snapshot.chain())
    });
    let found: Vec<_> = volumes.chain(snapshots).collect();
    let parents: BTreeMap<LayerId, Option<LayerId>> = state
        .layers
        .iter()
        .map(|(id, entry)| (*id, entry.parent))
        .collect();
    drop(state);
    let of_layers = match lost {
        Some(lost) => lost_chunks(engine, &parents, lost)?,
        None => HashMap::new(),
    };
    let disk = |(disk, size_bytes, chain): (Disk, u64, std::sync::Arc<crate::layer::Chain>)| {
        let lost: i64 = chain.ids.iter().filter_map(|id| of_layers.get(id)).sum();
        RebuiltDisk {
            disk,
            size_bytes,
            lost_bytes: u64::try_from(lost).unwrap_or(0) << CHUNK_SHIFT,
        }
    };
    Ok(found.into_iter().map(disk).collect())
}

/// Chunks in container `lost` seen through each layer less those seen through its parent. What the
/// journal holds of them anew is not looked at: the figure is no less than what is lost.
fn lost_chunks(
    engine: &Engine,
    parents: &BTreeMap<LayerId, Option<LayerId>>,
    lost: ContainerId,
) -> Result<HashMap<LayerId, i64>> {
    let reader = engine.index.read()?;
    let is_lost = |address: &Address| address.is_data() && address.container() == lost;
    let count = |run: &Run| run.iter().filter(is_lost).count() as i64;
    let mut of_layers = HashMap::new();
    for layer in parents.keys() {
        let parent = |id: &LayerId| parents.get(id).copied().flatten();
        let below: Vec<LayerId> = std::iter::successors(parent(layer), parent).collect();
        let (mut chunks, mut from) = (0, Some(0));
        while let Some(next) = from {
            let runs = reader.layer_runs(*layer, next, RUNS_AT_ONCE)?;
            for (number, run) in &runs {
                let hidden = reader.find_run(&below, *number)?;
                chunks += count(run) - hidden.map_or(0, |(_, hidden)| count(&hidden));
            }
            let last = runs.last().filter(|_| runs.len() == RUNS_AT_ONCE);
            from = last.and_then(|(number, _)| number.checked_add(1));
        }
        of_layers.insert(*layer, chunks);
    }
    Ok(of_layers)
}
