//! Clean-up of layers that nobody names any more. Only metadata moves, never data.
//!
//! A layer without snapshot, volume or children is dropped: its runs go, then its row. A hidden layer
//! with one child left is merged into it: runs that the child does not have are relabelled, the
//! others go. Candidates are taken from the state of a checkpoint that holds every record that could
//! name them, so no replay can refer to a layer that is gone.

use crate::engine::Engine;
use crate::index::{IndexRead, LayerId, LayerRow, LayerState};
use crate::journal::poisoned;
use crate::maintain::Maintenance;
use crate::state::State;
use crate::{Error, ErrorKind, Result};

/// Runs moved or removed in one transaction.
const RUNS_AT_ONCE: usize = 8192;

/// What can be done about a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Drop(LayerId),
    Merge { layer: LayerId, into: LayerId },
}

impl Engine {
    /// Does one piece of clean-up; says whether there was any. A checkpoint must just have been
    /// written by the same holder of `maintenance`.
    pub(crate) fn clean_up_step(&self, maintenance: &mut Maintenance) -> Result<bool> {
        self.clean_up_upto(maintenance, LayerId(u32::MAX))
    }

    /// [`Self::clean_up_step`] of layers up to `newest`: of these no more come, so repeating it ends
    /// however fast others are made and deleted.
    pub(crate) fn clean_up_upto(
        &self,
        maintenance: &mut Maintenance,
        newest: LayerId,
    ) -> Result<bool> {
        let Some(work) = self.next_work(newest) else {
            return Ok(false);
        };
        let outcome = match work {
            Work::Drop(layer) => self.drop_runs(layer),
            Work::Merge { layer, into } => self.merge_runs(maintenance, layer, into),
        };
        match outcome {
            Ok(()) => {
                maintenance.garbage = true;
                Ok(true)
            }
            Err(error) => {
                self.journal.fail();
                Err(error)
            }
        }
    }

    /// Candidates must be clean: a dirty layer has records that no checkpoint holds yet.
    fn next_work(&self, newest: LayerId) -> Option<Work> {
        let state = self.state.read().expect(poisoned!());
        let roles = state.roles();
        let settled = |id: LayerId| !state.dirty.layers.contains(&id);
        state
            .layers
            .keys()
            .copied()
            .filter(|id| *id <= newest && settled(*id))
            .find_map(|id| match roles.of(id) {
                LayerState::Dropping => Some(Work::Drop(id)),
                LayerState::Hidden => match roles.children(id) {
                    // A child that is itself going will leave this layer to be dropped.
                    [child] if settled(*child) && roles.of(*child) != LayerState::Dropping => {
                        Some(Work::Merge {
                            layer: id,
                            into: *child,
                        })
                    }
                    _ => None,
                },
                LayerState::Open | LayerState::Frozen | LayerState::Merged => None,
            })
    }

    fn drop_runs(&self, layer: LayerId) -> Result<()> {
        let writer = self.index.write()?;
        let removed = writer.delete_layer_runs(layer, 0, RUNS_AT_ONCE)?;
        let done = removed < RUNS_AT_ONCE;
        if done {
            writer.delete_layer(layer)?;
        }
        self.commit_runs(writer, &[], || false)?;
        if done {
            self.state.write().expect(poisoned!()).layers.remove(&layer);
        }
        Ok(())
    }

    fn merge_runs(
        &self,
        maintenance: &mut Maintenance,
        layer: LayerId,
        into: LayerId,
    ) -> Result<()> {
        let writer = self.index.write()?;
        let runs = writer.layer_runs(layer, 0, RUNS_AT_ONCE)?;
        for (number, run) in &runs {
            if writer.run(into, *number)?.is_none() {
                maintenance.note_run(self, run)?;
                writer.put_run(into, *number, run)?;
            }
            writer.delete_run(layer, *number)?;
        }
        let done = runs.len() < RUNS_AT_ONCE;
        if done {
            self.finish_merge(&writer, layer, into)?;
        }
        // Who saw these runs as the layer's own must look again.
        self.commit_runs(writer, &[], || true)?;
        if done {
            let mut state = self.state.write().expect(poisoned!());
            unlink(&mut state, layer, into);
            state.rebuild_chains(layer)?;
            maintenance.merged.insert(layer, (into, self.journal.cut()));
        }
        Ok(())
    }

    /// Rows after a merge: the child takes the layer's place and its count of chunks.
    fn finish_merge(
        &self,
        writer: &crate::index::IndexWriter,
        layer: LayerId,
        into: LayerId,
    ) -> Result<()> {
        let row = |id: LayerId| {
            let missing = || Error::new(ErrorKind::Corrupt, format!("layer {} has no row", id.0));
            writer.layer(id)?.ok_or_else(missing)
        };
        let (old, child) = (row(layer)?, row(into)?);
        let delta_chunks = old.delta_chunks + child.delta_chunks;
        writer.put_layer(
            into,
            &LayerRow {
                parent: old.parent,
                delta_chunks,
                ..child
            },
        )?;
        writer.put_layer(
            layer,
            &LayerRow {
                parent: Some(into),
                state: LayerState::Merged,
                ..old
            },
        )
    }
}

fn unlink(state: &mut State, layer: LayerId, into: LayerId) {
    let Some(old) = state.layers.remove(&layer) else {
        return;
    };
    if let Some(child) = state.layers.get_mut(&into) {
        child.parent = old.parent;
        child.delta_chunks += old.delta_chunks;
    }
}
