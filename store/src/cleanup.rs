//! Clean-up of layers that nobody names any more. Only metadata moves, never data.
//!
//! A layer without snapshot, volume or children is dropped: its runs go, then its row. A hidden layer
//! with one child left is merged into it: runs that the child does not have are relabelled, the
//! others go. Candidates are taken from the state of a checkpoint that holds every record that could
//! name them, so no replay can refer to a layer that is gone.

use crate::checkpoint::Stale;
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

/// What is to be done about a layer that lost a use.
enum Outlook {
    Work(Work),
    /// Perhaps something, once a checkpoint has been written or another layer is gone.
    Later,
    /// Nothing before it loses another use.
    None,
}

fn outlook(state: &State, id: LayerId) -> Outlook {
    let settled = |id: LayerId| !state.dirty.layers.contains(&id);
    let Some(entry) = state.layers.get(&id) else {
        return Outlook::None;
    };
    let mut children = entry.children.iter().copied();
    match (entry.role(), children.next(), children.next()) {
        _ if !settled(id) => Outlook::Later,
        (LayerState::Dropping, ..) => Outlook::Work(Work::Drop(id)),
        (LayerState::Hidden, Some(into), None) => match state.layers.get(&into) {
            // A child that is itself going will leave this layer to be dropped.
            Some(child) if settled(into) && child.role() != LayerState::Dropping => {
                Outlook::Work(Work::Merge { layer: id, into })
            }
            _ => Outlook::Later,
        },
        _ => Outlook::None,
    }
}

impl Engine {
    /// Does one piece of clean-up; says whether there was any.
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
        self.check_usable()?;
        let Some(work) = self.next_work(newest) else {
            return Ok(false);
        };
        let outcome = match work {
            Work::Drop(layer) => self.drop_runs(maintenance, layer),
            Work::Merge { layer, into } => self.merge_runs(maintenance, layer, into),
        };
        match outcome {
            Ok(()) => {
                maintenance.garbage = true;
                maintenance.forget_locked();
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
        let mut state = self.state.write().expect(poisoned!());
        let candidates: Vec<LayerId> = state.loose.range(..=newest).copied().collect();
        for id in candidates {
            match outlook(&state, id) {
                Outlook::Work(work) => return Some(work),
                Outlook::Later => {}
                Outlook::None => {
                    state.loose.remove(&id);
                }
            }
        }
        None
    }

    fn drop_runs(&self, maintenance: &mut Maintenance, layer: LayerId) -> Result<()> {
        let writer = self.index.write()?;
        let removed = writer.delete_layer_runs(layer, 0, RUNS_AT_ONCE)?;
        let done = removed < RUNS_AT_ONCE;
        if done {
            writer.delete_layer(layer)?;
        }
        self.commit_runs(writer, Stale::None)?;
        if done {
            let unused = self.state.write().expect(poisoned!()).remove_layer(layer);
            if let Some(domain) = unused {
                maintenance.last_secrets = None;
                return self.erase_domain(domain);
            }
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
        let numbers = runs.iter().map(|(number, _)| *number).collect();
        self.commit_runs(writer, Stale::EveryStack(numbers))?;
        if done {
            let mut state = self.state.write().expect(poisoned!());
            state.merge_layer(layer, into);
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
