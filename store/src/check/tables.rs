//! The tables of the index against one another.

use std::collections::{BTreeMap, HashSet};

use crate::engine::Engine;
use crate::index::{IndexRead, IndexReader, LayerId, LayerRow, LayerState, Run};
use crate::{DomainId, Result};

use super::CheckReport;

/// Runs read at once.
const RUNS_AT_ONCE: usize = 512;

/// Compares them.
pub(super) fn check(engine: &Engine, report: &mut CheckReport) -> Result<()> {
    let reader = engine.index.read()?;
    let layers = Layers::load(&reader)?;
    layers.check_tree(report);
    layers.check_users(&reader, report)?;
    for (id, row) in &layers.rows {
        if row.state != LayerState::Merged {
            layers.check_count(&reader, *id, row, report)?;
        }
    }
    check_forwards(&reader, report)?;
    check_numbers(&reader, report)
}

struct Layers {
    rows: BTreeMap<LayerId, LayerRow>,
    domains: HashSet<DomainId>,
}

impl Layers {
    fn load(reader: &IndexReader) -> Result<Self> {
        let rows = reader.layers()?.into_iter().collect();
        let domains = reader.domains()?.into_iter().map(|(id, _)| id).collect();
        Ok(Self { rows, domains })
    }

    /// Parents are there and older, which also rules out circles.
    fn check_tree(&self, report: &mut CheckReport) {
        for (id, row) in &self.rows {
            let id = id.0;
            // A merged one is no more than a name in the journal, and may outlive its domain.
            if row.state != LayerState::Merged && !self.domains.contains(&row.domain) {
                report.tell(format!("layer {id}: its domain {} is missing", row.domain));
            }
            let Some(parent) = row.parent else { continue };
            let known = self.rows.get(&parent);
            if row.state == LayerState::Merged {
                // Its parent is the child that has its runs.
                continue;
            }
            match known {
                None => report.tell(format!("layer {id}: its parent {} is missing", parent.0)),
                Some(_) if parent.0 >= id => {
                    report.tell(format!("layer {id}: its parent {} is younger", parent.0));
                }
                Some(found) if found.state == LayerState::Merged => {
                    report.tell(format!(
                        "layer {id}: its parent {} was merged away",
                        parent.0
                    ));
                }
                Some(_) => {}
            }
        }
    }

    fn check_users(&self, reader: &IndexReader, report: &mut CheckReport) -> Result<()> {
        for (id, row) in reader.volumes()? {
            match self.rows.get(&row.head) {
                None => report.tell(format!("volume {id}: its layer {} is missing", row.head.0)),
                Some(layer) if layer.domain != row.domain => {
                    report.tell(format!("volume {id}: its layer is of another domain"));
                }
                Some(_) => {}
            }
        }
        for (id, row) in reader.snapshots()? {
            if !self.rows.contains_key(&row.layer) {
                report.tell(format!(
                    "snapshot {id}: its layer {} is missing",
                    row.layer.0
                ));
            }
        }
        Ok(())
    }

    fn ancestors(&self, id: LayerId) -> Vec<LayerId> {
        let mut chain = Vec::new();
        let mut next = self.rows.get(&id).and_then(|row| row.parent);
        while let Some(id) = next.filter(|_| chain.len() < self.rows.len()) {
            chain.push(id);
            next = self.rows.get(&id).and_then(|row| row.parent);
        }
        chain
    }

    /// What a layer says it adds to what its parent shows is what its runs add.
    fn check_count(
        &self,
        reader: &IndexReader,
        id: LayerId,
        row: &LayerRow,
        report: &mut CheckReport,
    ) -> Result<()> {
        if matches!(row.state, LayerState::Dropping | LayerState::Hidden) {
            // Its runs may be on their way out, or to its child.
            return Ok(());
        }
        let ancestors = self.ancestors(id);
        let settled = |id: &LayerId| {
            let row = self.rows.get(id);
            row.is_some_and(|row| row.state == LayerState::Frozen)
        };
        if !ancestors.iter().all(settled) {
            return Ok(());
        }
        let (mut from, mut found) = (0, 0);
        loop {
            let runs = reader.layer_runs(id, from, RUNS_AT_ONCE)?;
            for (number, run) in &runs {
                let below = reader.find_run(&ancestors, *number)?;
                found += data_chunks(run) - below.map_or(0, |(_, run)| data_chunks(&run));
            }
            match runs.last() {
                Some((last, _)) if runs.len() == RUNS_AT_ONCE && *last < u32::MAX => {
                    from = last + 1;
                }
                _ => break,
            }
        }
        if found != row.delta_chunks {
            let (id, claimed) = (id.0, row.delta_chunks);
            let message =
                format!("layer {id}: its runs add {found} chunks, its row says {claimed}");
            report.tell(message);
        }
        Ok(())
    }
}

fn data_chunks(run: &Run) -> i64 {
    run.iter().filter(|address| address.is_data()).count() as i64
}

/// Every forwarding row reads. What it leads to is followed from the map: of a slot that the map does
/// not name any more, the chunk may be gone before the row is.
fn check_forwards(reader: &IndexReader, report: &mut CheckReport) -> Result<()> {
    for window in reader.forwards()? {
        match reader.forward(window)? {
            Some(_) => report.forwards += 1,
            None => report.tell(format!("window {}: its forwarding row is gone", window.0)),
        }
    }
    Ok(())
}

/// What was given out is below what comes next.
fn check_numbers(reader: &IndexReader, report: &mut CheckReport) -> Result<()> {
    let Some(checkpoint) = reader.checkpoint()? else {
        report.tell("the checkpoint row is missing".to_owned());
        return Ok(());
    };
    for (id, row) in reader.containers()? {
        if id.0 >= checkpoint.next_container {
            report.tell(format!("container {} was never given out", id.0));
        }
        if row.live > row.slots {
            report.tell(format!("container {}: its row makes no sense", id.0));
        }
    }
    Ok(())
}
