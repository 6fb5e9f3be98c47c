//! Creating, cloning, freezing, resizing and deleting volumes: one journal record each.
//!
//! Every operation is one record, durable before the call returns, and idempotent by uuid. Nothing
//! here depends on the size of a volume or on what is in it.

use std::sync::Arc;

use crate::addr::{Address, CHUNK_BYTES};
use crate::encryption::check_same_domain;
use crate::engine::Engine;
use crate::index::LayerId;
use crate::journal::record::{Cut, Record};
use crate::journal::{Purpose, poisoned};
use crate::state::{State, VolumeState};
use crate::{Error, ErrorKind, Result, SnapshotId, VolumeId, VolumeSpec};

/// Snapshots of one volume at a time: reads walk at most so many layers.
const DEPTH_MAX: usize = 512;

impl Engine {
    pub(crate) fn create_volume(&self, id: VolumeId, spec: VolumeSpec) -> Result<()> {
        self.add_volume(id, spec, |_| Ok(None))
    }

    pub(crate) fn clone_snapshot(
        &self,
        id: VolumeId,
        from: SnapshotId,
        spec: VolumeSpec,
    ) -> Result<()> {
        self.add_volume(id, spec, |state| {
            let snapshot = state.snapshot(from)?;
            check_clone(spec, snapshot.size_bytes)?;
            check_depth(snapshot.chain().layers.len())?;
            check_same_domain(spec, snapshot.chain().head())?;
            Ok(Some(snapshot.layer))
        })
    }

    fn add_volume(
        &self,
        id: VolumeId,
        spec: VolumeSpec,
        parent: impl Fn(&State) -> Result<Option<LayerId>>,
    ) -> Result<()> {
        self.with_spare(|| self.try_add_volume(id, spec, &parent))
    }

    fn try_add_volume(
        &self,
        id: VolumeId,
        spec: VolumeSpec,
        parent: &impl Fn(&State) -> Result<Option<LayerId>>,
    ) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let record = {
            let state = self.state.read().expect(poisoned!());
            if let Some(volume) = state.volumes.get(&id) {
                let same = volume.spec() == spec;
                drop(state);
                return if same {
                    self.journal.flush()
                } else {
                    Err(taken(id))
                };
            }
            Record::CreateVolume {
                volume: id,
                head: state.next_layer(),
                parent: parent(&state)?,
                size_bytes: spec.size_bytes,
                domain: spec.domain,
                packing: spec.packing,
            }
        };
        self.ensure_domain(spec)?;
        self.carry_out(&record)?;
        self.journal.flush()
    }

    pub(crate) fn clone_volume(
        &self,
        id: VolumeId,
        from: VolumeId,
        spec: VolumeSpec,
    ) -> Result<()> {
        self.with_spare(|| self.try_clone_volume(id, from, spec))
    }

    fn try_clone_volume(&self, id: VolumeId, from: VolumeId, spec: VolumeSpec) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let (record, source) = {
            let state = self.state.read().expect(poisoned!());
            if let Some(volume) = state.volumes.get(&id) {
                let same = volume.spec() == spec;
                drop(state);
                return if same {
                    self.journal.flush()
                } else {
                    Err(taken(id))
                };
            }
            let source = Arc::clone(state.volume(from)?);
            check_clone(spec, source.size_bytes())?;
            check_depth(source.chain().layers.len())?;
            check_same_domain(spec, source.chain().head())?;
            let source_head = state.next_layer();
            let record = Record::CloneVolume {
                volume: id,
                head: LayerId(source_head.0 + 1),
                source: from,
                source_head,
                size_bytes: spec.size_bytes,
                domain: spec.domain,
                packing: spec.packing,
            };
            (record, source)
        };
        self.ensure_domain(spec)?;
        {
            let _alone = source.gate.write().expect(poisoned!());
            self.carry_out(&record)?;
        }
        self.journal.flush()
    }

    pub(crate) fn create_snapshots(&self, pairs: &[(SnapshotId, VolumeId)]) -> Result<()> {
        let mut sorted = pairs.to_vec();
        sorted.sort_by_key(|(_, volume)| *volume);
        let mut ids: Vec<SnapshotId> = pairs.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let repeated = ids.windows(2).any(|two| two[0] == two[1]);
        if repeated || sorted.windows(2).any(|two| two[0].1 == two[1].1) {
            let context = "a volume or a snapshot is named twice".to_owned();
            return Err(Error::new(ErrorKind::InvalidInput, context));
        }
        self.with_spare(|| self.try_create_snapshots(&sorted))
    }

    fn try_create_snapshots(&self, sorted: &[(SnapshotId, VolumeId)]) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let (cuts, volumes) = {
            let state = self.state.read().expect(poisoned!());
            match plan_cuts(&state, sorted)? {
                Some(plan) => plan,
                None => {
                    drop(state);
                    return self.journal.flush();
                }
            }
        };
        {
            // Every write answered before this call has passed its gate; none passes it until all
            // volumes are cut.
            let gates: Vec<_> = volumes
                .iter()
                .map(|volume| volume.gate.write().expect(poisoned!()))
                .collect();
            self.carry_out(&Record::Snapshot {
                created_us: self.io.now_us(),
                cuts,
            })?;
            drop(gates);
        }
        self.journal.flush()
    }

    pub(crate) fn delete_snapshot(&self, id: SnapshotId) -> Result<()> {
        self.with_spare(|| self.try_delete_snapshot(id))
    }

    fn try_delete_snapshot(&self, id: SnapshotId) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        if self
            .state
            .read()
            .expect(poisoned!())
            .snapshots
            .contains_key(&id)
        {
            self.carry_out(&Record::DeleteSnapshot { snapshot: id })?;
        }
        self.journal.flush()?;
        self.threads.wake();
        Ok(())
    }

    pub(crate) fn delete_volume(&self, id: VolumeId) -> Result<()> {
        self.with_spare(|| self.try_delete_volume(id))
    }

    fn try_delete_volume(&self, id: VolumeId) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let volume = self
            .state
            .read()
            .expect(poisoned!())
            .volumes
            .get(&id)
            .cloned();
        if let Some(volume) = volume {
            let _alone = volume.gate.write().expect(poisoned!());
            self.carry_out(&Record::DeleteVolume { volume: id })?;
        }
        self.journal.flush()?;
        self.threads.wake();
        Ok(())
    }

    pub(crate) fn resize_volume(&self, id: VolumeId, size_bytes: u64) -> Result<()> {
        let volume = Arc::clone(self.state.read().expect(poisoned!()).volume(id)?);
        let whole = |bytes: u64| bytes.div_ceil(CHUNK_BYTES as u64);
        // Most of what is cut off goes before anything is locked, since it may have to wait.
        let last = whole(volume.size_bytes());
        self.clear(&volume, whole(size_bytes), last, Address::HOLE)?;
        self.with_spare(|| self.try_resize_volume(id, size_bytes))
    }

    fn try_resize_volume(&self, id: VolumeId, size_bytes: u64) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let volume = Arc::clone(self.state.read().expect(poisoned!()).volume(id)?);
        let old = volume.size_bytes();
        if size_bytes != old {
            let _alone = volume.gate.write().expect(poisoned!());
            if size_bytes < old {
                // What is cut off must not come back when the volume grows again.
                self.cut_off(&volume, size_bytes)?;
            }
            self.carry_out(&Record::ResizeVolume {
                volume: id,
                size_bytes,
            })?;
        }
        self.journal.flush()
    }

    /// Appends a structural record and does what it says, in one step as seen by checkpoints.
    pub(crate) fn carry_out(&self, record: &Record) -> Result<()> {
        debug_assert!(record.is_structural());
        let _cut = self.cut.read().expect(poisoned!());
        let mut state = self.state.write().expect(poisoned!());
        self.journal.append_record(record, Purpose::Control)?;
        state.apply(record)
    }

    /// Does something that appends structural records, all of it again when the journal lacks room:
    /// making room waits for the disk, so neither gates nor `structure` may be held over it.
    fn with_spare(&self, change: impl Fn() -> Result<()>) -> Result<()> {
        match change() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                self.journal.prepare_spares()?;
                change()
            }
            outcome => outcome,
        }
    }
}

/// The cuts of new snapshots and the volumes they freeze.
type CutPlan = (Vec<Cut>, Vec<Arc<VolumeState>>);

/// `None` when all the snapshots exist already.
fn plan_cuts(state: &State, pairs: &[(SnapshotId, VolumeId)]) -> Result<Option<CutPlan>> {
    let existing = pairs
        .iter()
        .filter(|(id, _)| state.snapshots.contains_key(id))
        .count();
    let same = |(id, volume): &(SnapshotId, VolumeId)| {
        state
            .snapshots
            .get(id)
            .is_some_and(|snapshot| snapshot.volume == *volume)
    };
    if existing == pairs.len() && pairs.iter().all(same) {
        return Ok(None);
    }
    if existing > 0 {
        let context = "a snapshot of this id exists".to_owned();
        return Err(Error::new(ErrorKind::AlreadyExists, context));
    }
    let first = state.next_layer().0;
    let (mut cuts, mut volumes) = (Vec::new(), Vec::new());
    for (index, (snapshot, volume)) in pairs.iter().enumerate() {
        let state = Arc::clone(state.volume(*volume)?);
        check_depth(state.chain().layers.len())?;
        let new_head = LayerId(first + index as u32);
        cuts.push(Cut {
            snapshot: *snapshot,
            volume: *volume,
            new_head,
        });
        volumes.push(state);
    }
    Ok(Some((cuts, volumes)))
}

fn check_clone(spec: VolumeSpec, source_bytes: u64) -> Result<()> {
    if spec.size_bytes >= source_bytes {
        return Ok(());
    }
    let context = format!(
        "a clone of {} bytes is smaller than its source of {source_bytes} bytes",
        spec.size_bytes
    );
    Err(Error::new(ErrorKind::InvalidInput, context))
}

fn check_depth(layers: usize) -> Result<()> {
    if layers <= DEPTH_MAX {
        return Ok(());
    }
    let context = format!("a volume rests on at most {DEPTH_MAX} snapshots");
    Err(Error::new(ErrorKind::Busy, context))
}

fn taken(id: VolumeId) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("volume {id} exists and is another"),
    )
}
