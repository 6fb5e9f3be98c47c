//! Checkpoints: moving what the journal says into the index, in one transaction.
//!
//! The cut takes an instant; writing happens while guests go on. The transaction names the last
//! sequence it contains, and the journal is durable that far before it commits, so that recovery
//! replays exactly the rest. This is the only place, with the packer and the clean-up that run on the
//! same thread, that changes runs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::addr::Address;
use crate::engine::Engine;
use crate::extent_map::{ExtentMap, Piece};
use crate::index::{
    CheckpointRow, DomainRow, IndexRead, IndexWriter, LayerId, LayerRow, RUN_CHUNKS, Run,
    SnapshotRow, VolumeRow,
};
use crate::journal::poisoned;
use crate::layer::Layer;
use crate::maintain::Maintenance;
use crate::state::Dirty;
use crate::{DomainId, Result, SnapshotId, VolumeId};

/// Container ids reserved ahead of use: 256 GiB of writes between two checkpoints.
const CONTAINER_RESERVE: u64 = 1 << 16;
/// Run numbers looked up at once when a long range is trimmed.
const KEYS_AT_ONCE: usize = 4096;

/// The overlay of one layer at the cut.
struct Frozen {
    layer: Arc<Layer>,
    map: Arc<ExtentMap>,
    /// The layer and its ancestors, newest first.
    chain: Vec<LayerId>,
    has_children: bool,
}

/// Cached runs that a commit makes stale.
pub(crate) enum Stale {
    /// None: runs went that nobody can ask for.
    None,
    /// Runs of layers that had nothing on top when this was the last layer.
    Own(Vec<(LayerId, u32)>, u32),
    /// Runs of these numbers, through whatever layer they were looked up.
    EveryStack(HashSet<u32>),
}

impl Stale {
    pub(crate) fn every_stack(touched: &[(LayerId, u32)]) -> Self {
        Self::EveryStack(touched.iter().map(|(_, number)| *number).collect())
    }
}

/// All that a checkpoint writes.
pub(crate) struct Cut {
    sequence: u64,
    frozen: Vec<Frozen>,
    volumes: Vec<(VolumeId, Option<VolumeRow>)>,
    snapshots: Vec<(SnapshotId, Option<SnapshotRow>)>,
    layers: Vec<(LayerId, Option<LayerRow>)>,
    domains: Vec<(DomainId, Option<DomainRow>)>,
    last_layer: u32,
    dirty: Dirty,
}

impl Engine {
    /// Writes a checkpoint of everything appended before the call.
    ///
    /// # Errors
    /// `NoSpace` when the disk has too little room to begin; nothing has changed then. Any failure to
    /// commit stops the journal: what the index holds is then unknown.
    pub(crate) fn checkpoint(&self, maintenance: &mut Maintenance) -> Result<()> {
        self.check_usable()?;
        self.check_room_for_checkpoint()?;
        let cut = self.take_cut()?;
        self.finish_checkpoint(maintenance, &cut)
    }

    /// Writes what was cut.
    pub(crate) fn finish_checkpoint(&self, maintenance: &mut Maintenance, cut: &Cut) -> Result<()> {
        let outcome = self
            .journal
            .flush()
            .and_then(|()| self.commit_cut(maintenance, cut));
        if outcome.is_err() {
            self.journal.fail();
            return outcome;
        }
        for frozen in &cut.frozen {
            frozen.layer.thaw();
        }
        self.ranges.settle();
        maintenance.applied_sequence = cut.sequence;
        maintenance.written_at_checkpoint = self.written_bytes();
        maintenance.ops_at_checkpoint = self.write_ops();
        maintenance.checkpoint_us = self.io.now_us();
        self.measure_room()?;
        self.journal.wake_waiters();
        Ok(())
    }

    /// Sets aside all changes since the last cut. No append is half done meanwhile.
    pub(crate) fn take_cut(&self) -> Result<Cut> {
        let _cut = self.cut.write().expect(poisoned!());
        let mut state = self.state.write().expect(poisoned!());
        self.ranges.restart();
        self.cleared.restart();
        let mut frozen = Vec::new();
        for (id, entry) in &state.layers {
            if let Some(map) = entry.layer.freeze() {
                let chain = state.chain(*id)?.ids.clone();
                let has_children = !entry.children.is_empty();
                frozen.push(Frozen {
                    layer: Arc::clone(&entry.layer),
                    map,
                    chain,
                    has_children,
                });
            }
        }
        let dirty = std::mem::take(&mut state.dirty);
        let volume = |id: &VolumeId| (*id, state.volumes.get(id).map(|v| volume_row(v)));
        let snapshot = |id: &SnapshotId| (*id, state.snapshots.get(id).map(|s| snapshot_row(s)));
        let layer = |id: &LayerId| (*id, state.layer_row(*id));
        let domain = |id: &DomainId| (*id, state.domains.get(id).map(|domain| domain.row()));
        Ok(Cut {
            sequence: self.journal.cut(),
            volumes: dirty.volumes.iter().map(volume).collect(),
            snapshots: dirty.snapshots.iter().map(snapshot).collect(),
            layers: dirty.layers.iter().map(layer).collect(),
            domains: dirty.domains.iter().map(domain).collect(),
            last_layer: state.last_layer(),
            frozen,
            dirty,
        })
    }

    fn commit_cut(&self, maintenance: &mut Maintenance, cut: &Cut) -> Result<()> {
        let writer = self.index.write()?;
        for (id, row) in &cut.domains {
            match row {
                Some(row) => writer.put_domain(*id, row)?,
                None => writer.delete_domain(*id)?,
            }
        }
        for (id, row) in &cut.volumes {
            match row {
                Some(row) => writer.put_volume(*id, row)?,
                None => writer.delete_volume(*id)?,
            }
        }
        for (id, row) in &cut.snapshots {
            match row {
                Some(row) => writer.put_snapshot(*id, row)?,
                None => writer.delete_snapshot(*id)?,
            }
        }
        let mut deltas: HashMap<LayerId, i64> = HashMap::new();
        let mut touched = Vec::new();
        // Parents have lower ids than their children, so a child copies runs that are complete.
        for frozen in &cut.frozen {
            let mut applier = Applier {
                engine: self,
                maintenance,
                writer: &writer,
                chain: &frozen.chain,
                current: None,
                delta: 0,
                touched: &mut touched,
            };
            applier.apply(&frozen.map)?;
            deltas.insert(frozen.layer.id, applier.delta);
        }
        self.put_layers(&writer, cut, &deltas)?;
        let limit = self.put_checkpoint(&writer, cut.sequence, cut.last_layer)?;
        let has_children = cut.frozen.iter().any(|frozen| frozen.has_children);
        self.commit_runs(
            writer,
            match has_children {
                true => Stale::every_stack(&touched),
                false => Stale::Own(touched, cut.last_layer),
            },
        )?;
        self.containers.reserve(limit);
        let mut state = self.state.write().expect(poisoned!());
        for (id, delta) in deltas {
            if let Some(entry) = state.layers.get_mut(&id) {
                entry.delta_chunks += delta;
            }
        }
        Ok(())
    }

    /// Writes the rows of changed layers and of those whose count of mapped chunks changed.
    fn put_layers(
        &self,
        writer: &IndexWriter,
        cut: &Cut,
        deltas: &HashMap<LayerId, i64>,
    ) -> Result<()> {
        for (id, row) in &cut.layers {
            match row {
                Some(row) => {
                    let delta_chunks = row.delta_chunks + deltas.get(id).unwrap_or(&0);
                    writer.put_layer(
                        *id,
                        &LayerRow {
                            delta_chunks,
                            ..*row
                        },
                    )?;
                }
                None => writer.delete_layer(*id)?,
            }
        }
        for (id, delta) in deltas {
            if *delta != 0
                && !cut.dirty.layers.contains(id)
                && let Some(mut row) = writer.layer(*id)?
            {
                row.delta_chunks += delta;
                writer.put_layer(*id, &row)?;
            }
        }
        Ok(())
    }

    /// Writes the checkpoint row and says the container ids that are reserved once it is durable.
    pub(crate) fn put_checkpoint(
        &self,
        writer: &IndexWriter,
        applied_sequence: u64,
        last_layer: u32,
    ) -> Result<u64> {
        let limit = self.containers.next() + CONTAINER_RESERVE;
        writer.put_checkpoint(&CheckpointRow {
            applied_sequence,
            next_container: limit,
            next_layer: last_layer + 1,
            next_pack: self.packs.next_pack(),
            clean: false,
        })?;
        Ok(limit)
    }

    /// Commits and makes the run cache forget what changed, so that it is never older than the index.
    ///
    /// # Errors
    /// Those of the commit, which stop the pool: what the index holds is then unknown.
    pub(crate) fn commit_runs(&self, writer: IndexWriter, stale: Stale) -> Result<()> {
        writer.commit().inspect_err(|_| self.journal.fail())?;
        let mut version = self.run_cache.version.write().expect(poisoned!());
        *version += 1;
        let stale = match stale {
            // A layer begun since the cut may have looked up the old runs. To be asked after the
            // commit: what begins later sees the new ones.
            Stale::Own(touched, last_layer)
                if self.state.read().expect(poisoned!()).last_layer() > last_layer =>
            {
                Stale::every_stack(&touched)
            }
            stale => stale,
        };
        match stale {
            Stale::None => {}
            Stale::Own(touched, _) => {
                for key in touched {
                    self.run_cache.runs.remove(&key);
                }
            }
            Stale::EveryStack(numbers) => {
                let keep = |key: &(LayerId, u32)| !numbers.contains(&key.1);
                self.run_cache.runs.retain(|key, _| keep(key));
            }
        }
        Ok(())
    }
}

fn volume_row(volume: &crate::state::VolumeState) -> VolumeRow {
    VolumeRow {
        head: volume.chain().head().id,
        size_bytes: volume.size_bytes(),
        domain: volume.domain,
        packing: volume.packing,
    }
}

fn snapshot_row(snapshot: &crate::state::SnapshotState) -> SnapshotRow {
    SnapshotRow {
        layer: snapshot.layer,
        volume: snapshot.volume,
        size_bytes: snapshot.size_bytes,
        created_us: snapshot.created_us,
    }
}

/// Puts one layer's overlay into its runs.
struct Applier<'a> {
    engine: &'a Engine,
    maintenance: &'a mut Maintenance,
    writer: &'a IndexWriter,
    chain: &'a [LayerId],
    /// The run being changed: its number, what it was, what it becomes.
    current: Option<(u32, Run, bool)>,
    delta: i64,
    touched: &'a mut Vec<(LayerId, u32)>,
}

impl Applier<'_> {
    fn apply(&mut self, map: &ExtentMap) -> Result<()> {
        for piece in map.iter() {
            self.apply_piece(piece)?;
        }
        self.store_current()
    }

    fn apply_piece(&mut self, piece: Piece) -> Result<()> {
        let (mut at, end) = (piece.start, piece.end());
        while at < end {
            let run = (at / RUN_CHUNKS) as u32;
            let run_start = at - at % RUN_CHUNKS;
            let whole_runs = (end - at) / RUN_CHUNKS;
            if at == run_start && whole_runs > 0 && piece.first == Address::HOLE {
                self.store_current()?;
                self.trim_runs(run, run + whole_runs as u32)?;
                at += whole_runs * RUN_CHUNKS;
                continue;
            }
            let until = end.min(run_start + RUN_CHUNKS);
            self.load(run)?;
            if let Some((_, current, _)) = &mut self.current {
                for chunk in at..until {
                    let address = piece.first.advance(chunk - piece.start);
                    let index = (chunk - run_start) as usize;
                    self.maintenance.replaced_chunks += u64::from(current.get(index).is_data());
                    current.set(index, address);
                }
            }
            at = until;
        }
        Ok(())
    }

    /// Turns whole runs into holes, touching only those that exist somewhere in the stack.
    fn trim_runs(&mut self, from: u32, to: u32) -> Result<()> {
        for layer in self.chain.iter().copied() {
            let mut next = from;
            while next < to {
                let numbers = self
                    .writer
                    .layer_run_numbers(layer, next, to, KEYS_AT_ONCE)?;
                let Some(last) = numbers.last() else { break };
                next = last + 1;
                for run in numbers {
                    self.load(run)?;
                    if let Some((_, current, _)) = &mut self.current {
                        self.maintenance.replaced_chunks += data_chunks(current) as u64;
                        *current = Run::holes();
                    }
                }
            }
        }
        self.store_current()
    }

    /// Makes `run` the current one, as the stack shows it.
    fn load(&mut self, run: u32) -> Result<()> {
        if self
            .current
            .as_ref()
            .is_some_and(|(number, _, _)| *number == run)
        {
            return Ok(());
        }
        self.store_current()?;
        let (seen, inherits) = match self.writer.find_run(self.chain, run)? {
            Some((owner, seen)) if owner == self.chain[0] => {
                (seen, self.writer.find_run(&self.chain[1..], run)?.is_some())
            }
            Some((_, seen)) => (seen, true),
            None => (Run::holes(), false),
        };
        self.delta -= data_chunks(&seen);
        self.current = Some((run, seen, inherits));
        Ok(())
    }

    fn store_current(&mut self) -> Result<()> {
        let Some((number, run, inherits)) = self.current.take() else {
            return Ok(());
        };
        self.delta += data_chunks(&run);
        let layer = self.chain[0];
        if run.is_all_holes() && !inherits {
            self.writer.delete_run(layer, number)?;
        } else {
            self.maintenance.note_run(self.engine, &run)?;
            self.writer.put_run(layer, number, &run)?;
        }
        self.touched.push((layer, number));
        Ok(())
    }
}

fn data_chunks(run: &Run) -> i64 {
    run.iter().filter(|address| address.is_data()).count() as i64
}
