//! Creating, cloning, freezing, resizing and deleting volumes: one journal record each.
//!
//! Every operation is one record, durable before the call returns, and idempotent by uuid. Nothing
//! here depends on the size of a volume or on what is in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT};
use crate::engine::Engine;
use crate::index::LayerId;
use crate::journal::record::{Cut, Record};
use crate::journal::{Purpose, poisoned};
use crate::state::{State, VolumeState};
use crate::{
    DomainId, Error, ErrorKind, PoolStats, Result, SnapshotId, VolumeId, VolumeSpec, VolumeStats,
};

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
            Ok(Some(snapshot.layer))
        })
    }

    fn add_volume(
        &self,
        id: VolumeId,
        spec: VolumeSpec,
        parent: impl FnOnce(&State) -> Result<Option<LayerId>>,
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
        self.ensure_domain(spec.domain)?;
        self.carry_out(&record)?;
        self.journal.flush()
    }

    pub(crate) fn clone_volume(
        &self,
        id: VolumeId,
        from: VolumeId,
        spec: VolumeSpec,
    ) -> Result<()> {
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
        self.ensure_domain(spec.domain)?;
        {
            let _alone = source.gate.write().expect(poisoned!());
            self.carry_out(&record)?;
        }
        self.journal.flush()
    }

    pub(crate) fn create_snapshots(&self, pairs: &[(SnapshotId, VolumeId)]) -> Result<()> {
        let _structure = self.structure.lock().expect(poisoned!());
        let mut sorted = pairs.to_vec();
        sorted.sort_by_key(|(_, volume)| *volume);
        let mut ids: Vec<SnapshotId> = pairs.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        let repeated = ids.windows(2).any(|two| two[0] == two[1]);
        if repeated || sorted.windows(2).any(|two| two[0].1 == two[1].1) {
            let context = "a volume or a snapshot is named twice".to_owned();
            return Err(Error::new(ErrorKind::InvalidInput, context));
        }
        let (cuts, volumes) = {
            let state = self.state.read().expect(poisoned!());
            match plan_cuts(&state, &sorted)? {
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

    fn ensure_domain(&self, domain: DomainId) -> Result<()> {
        if self
            .state
            .read()
            .expect(poisoned!())
            .domains
            .contains_key(&domain)
        {
            return Ok(());
        }
        let mut key = [0; 32];
        self.io.random(&mut key);
        self.carry_out(&Record::Domain { domain, key })
    }

    /// Appends a structural record and does what it says, in one step as seen by checkpoints.
    fn carry_out(&self, record: &Record) -> Result<()> {
        debug_assert!(record.is_structural());
        let once = || {
            let _cut = self.cut.read().expect(poisoned!());
            let mut state = self.state.write().expect(poisoned!());
            self.journal.append_record(record, Purpose::Control)?;
            state.apply(record)
        };
        match once() {
            Err(error) if error.kind() == ErrorKind::NoSpace => {
                self.journal.prepare_spares()?;
                once()
            }
            outcome => outcome,
        }
    }

    /// Waits while the raw tier is full and packing can still make room.
    pub(crate) fn wait_for_room(&self) -> Result<()> {
        while self.threads.are_running() && self.journal.bytes() >= self.raw_quota_bytes {
            if let Some(reason) = self.threads.stalled() {
                let context = format!("the raw tier is full and cannot be packed: {reason}");
                return Err(Error::new(ErrorKind::NoSpace, context));
            }
            if self.journal.has_failed() {
                let context = "the journal stopped after a failed write or sync".to_owned();
                return Err(Error::new(ErrorKind::Failed, context));
            }
            self.threads.wake();
            self.journal.wait_for_change();
        }
        Ok(())
    }

    /// Writes, trims and zeroings since the pool was opened.
    pub(crate) fn write_ops(&self) -> u64 {
        self.counters.write_ops.load(Ordering::Relaxed)
    }

    /// Bytes written by guests since the pool was opened.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.counters.written_bytes.load(Ordering::Relaxed)
    }

    fn metadata_bytes(&self) -> u64 {
        self.meta.len().unwrap_or(0)
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let space = self.io.space(&self.dir).ok();
        let (mut unique_bytes, mut stored_bytes) = (0, 0);
        for row in self.places.read().expect(poisoned!()).values() {
            unique_bytes += u64::from(row.slots) * CHUNK_BYTES as u64;
            stored_bytes += row.location.len();
        }
        let state = self.state.read().expect(poisoned!());
        let mapped = |volume: &Arc<VolumeState>| state.mapped_chunks(&volume.chain());
        PoolStats {
            logical_bytes: state
                .volumes
                .values()
                .map(|volume| volume.size_bytes())
                .sum(),
            referenced_bytes: state.volumes.values().map(mapped).sum::<u64>() << CHUNK_SHIFT,
            unique_bytes,
            stored_bytes,
            dead_bytes: self.dead_bytes(),
            raw_tier_bytes: self.journal.used_bytes(),
            raw_tier_quota_bytes: self.raw_quota_bytes,
            metadata_bytes: self.metadata_bytes(),
            free_bytes: space.map_or(0, |space| space.free_bytes),
            total_bytes: space.map_or(0, |space| space.total_bytes),
            written_bytes: load(&self.counters.written_bytes),
            read_bytes: load(&self.counters.read_bytes),
            flushes: load(&self.counters.flushes),
            write_ops: load(&self.counters.write_ops),
            read_ops: load(&self.counters.read_ops),
            dedup_hit_bytes: load(&self.dedup_hit_bytes),
            volumes: state.volumes.len() as u64,
            snapshots: state.snapshots.len() as u64,
            failed: self.journal.has_failed(),
        }
    }

    pub(crate) fn volume_stats(&self, id: VolumeId) -> Result<VolumeStats> {
        let state = self.state.read().expect(poisoned!());
        let volume = state.volume(id)?;
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Ok(VolumeStats {
            logical_bytes: volume.size_bytes(),
            referenced_bytes: state.mapped_chunks(&volume.chain()) << CHUNK_SHIFT,
            written_bytes: load(&volume.counters.written_bytes),
            read_bytes: load(&volume.counters.read_bytes),
            write_ops: load(&volume.counters.write_ops),
            read_ops: load(&volume.counters.read_ops),
        })
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
