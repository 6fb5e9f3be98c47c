//! The engine against a model: random work, with and without crashes.
//!
//! One seed is one run. The model holds every disk as plain bytes; after each operation the contents
//! of all disks must be equal. For crashes the model also remembers a digest of everything after each
//! operation: what is found after a power loss must be one of those states, not older than the last
//! operation that was acknowledged as durable, and not newer than the last that was begun.

mod disks;

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::ZeroMode;
use crate::addr::CHUNK_BYTES;
use crate::disk::Io;
use crate::disk::sim::{SimIo, SplitMix64};
use crate::engine::Engine;
use crate::maintain::Maintenance;
use crate::{
    DomainId, Durability, Encryption, Extent, ExtentKind, OpenOptions, Packing, Result, SnapshotId,
    Store, VolumeId, VolumeSpec,
};
pub(crate) use disks::Model;

const DIR: &str = "/pool";
/// Chunks of the largest disk: two runs and a bit, so that runs are crossed.
const CHUNKS: u64 = 300;
const DISKS_MAX: usize = 4;
const DOMAIN: DomainId = DomainId(Uuid::from_u128(0xd0));

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        memory_bytes: 4 << 20,
        raw_tier_bytes: None,
        background: false,
        recompression: None,
        prefill_journal: true,
    }
}

/// A store on a simulated disk, its model, and what happened.
pub(crate) struct Run {
    pub(crate) io: SimIo,
    pub(crate) store: Store,
    pub(crate) model: Model,
    rng: SplitMix64,
    next_id: u128,
    /// Only operations that are one journal record each, so that every prefix is a state.
    atomic: bool,
    /// Digest after each operation, the disk operations before and after it, and whether it was
    /// acknowledged as durable.
    pub(crate) history: Vec<Step>,
}

/// One operation of a run.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) digest: blake3::Hash,
    pub(crate) ops_before: usize,
    pub(crate) ops_after: usize,
    pub(crate) durable: bool,
}

/// How an operation was acknowledged.
#[derive(PartialEq, Eq)]
enum Acked {
    Buffered,
    Durable,
}

/// The name of an operation and what came of it.
type Outcome = (&'static str, Result<Acked>);
type Work = fn(&Engine, &mut Maintenance) -> Result<()>;

impl Run {
    pub(crate) fn new(seed: u64, atomic: bool) -> Self {
        let io = SimIo::new(seed);
        Self::on(io.clone(), Arc::new(io), seed, atomic)
    }

    /// A run whose store sees the disk through `door`.
    pub(crate) fn on(io: SimIo, door: Arc<dyn Io>, seed: u64, atomic: bool) -> Self {
        io.set_space_bytes(1 << 30);
        let store = Store::open(door, Path::new(DIR), options()).unwrap();
        io.forget_history();
        let rng = SplitMix64::new(seed ^ 0x5eed);
        let model = Model::default();
        let first = Step {
            name: "open",
            digest: model.digest(),
            ops_before: 0,
            ops_after: 0,
            durable: true,
        };
        Self {
            io,
            store,
            model,
            rng,
            next_id: 1,
            atomic,
            history: vec![first],
        }
    }

    /// The store under test.
    pub(crate) fn store(&self) -> Store {
        self.store.clone()
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        self.store.engine_for_tests()
    }

    /// One random operation on both.
    pub(crate) fn step(&mut self) {
        self.try_step().unwrap();
    }

    /// One random operation on both. After an error the model is as if it had succeeded.
    pub(crate) fn try_step(&mut self) -> Result<()> {
        let ops_before = self.io.op_count();
        let (name, outcome) = self.random_operation();
        self.history.push(Step {
            name,
            digest: self.model.digest(),
            ops_before,
            ops_after: self.io.op_count(),
            durable: matches!(outcome, Ok(Acked::Durable)),
        });
        outcome.map(|_| ())
    }

    fn random_operation(&mut self) -> Outcome {
        if self.model.volumes.is_empty() {
            return self.create();
        }
        match self.rng.below(100) {
            0..40 => self.write(),
            40..50 => self.zero(),
            50..58 => {
                let flushed = self.any_volume().1.flush();
                ("flush", flushed.map(|()| Acked::Durable))
            }
            58..64 => self.snapshot(),
            64..67 => self.create(),
            67..70 => self.clone_disk(),
            70..74 => self.delete(),
            74..76 => self.grow(),
            76..84 => self.maintain("checkpoint", |_, _| Ok(())),
            84..89 => self.maintain("pack", |engine, maintenance| {
                engine.pack_round(maintenance).map(|_| ())
            }),
            89..93 => self.maintain("clean up", |engine, maintenance| {
                engine.clean_up_step(maintenance).map(|_| ())
            }),
            93..98 => self.maintain("mark", |engine, maintenance| {
                if maintenance.mark.is_none() {
                    engine.start_mark(maintenance);
                }
                engine.mark_step(maintenance).map(|_| ())
            }),
            _ => {
                let reclaimed = self.store.reclaim_now();
                ("reclaim", reclaimed.map(|_| Acked::Durable))
            }
        }
    }

    /// Background work, after a checkpoint unless a mark that is under way goes on.
    fn maintain(&self, name: &'static str, work: Work) -> Outcome {
        let engine = self.engine();
        let mut maintenance = engine.maintenance.lock().unwrap();
        let goes_on = name == "mark" && maintenance.mark.is_some();
        let mut done = Ok(());
        if name == "pack" {
            done = engine.journal.roll_now();
        }
        if !goes_on {
            done = done.and_then(|()| engine.checkpoint(&mut maintenance));
        }
        let acked = if name == "mark" {
            Acked::Buffered
        } else {
            Acked::Durable
        };
        let done = done.and_then(|()| work(&engine, &mut maintenance));
        (name, done.map(|()| acked))
    }

    fn new_id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn any_volume(&mut self) -> (VolumeId, crate::Volume) {
        let at = self.rng.below(self.model.volumes.len() as u64) as usize;
        let id = *self.model.volumes.keys().nth(at).unwrap();
        (id, self.store.volume(id).unwrap())
    }

    fn create(&mut self) -> Outcome {
        if self.model.volumes.len() >= DISKS_MAX {
            return self.write();
        }
        let id = VolumeId(self.new_id());
        let spec = spec((1 + self.rng.below(CHUNKS)) * CHUNK_BYTES as u64);
        let spec = if self.rng.coin() {
            sealed(spec, id)
        } else {
            spec
        };
        let size = spec.size_bytes as usize;
        self.model.volumes.insert(id, vec![0; size]);
        let created = self.store.create_volume(id, spec);
        ("create", created.map(|()| Acked::Durable))
    }

    /// A range of whole chunks, or of bytes when operations need not be atomic.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let whole = self.atomic || self.rng.coin();
        // A disk may have been cut down below a chunk.
        let unit = if whole && len >= CHUNK_BYTES {
            CHUNK_BYTES
        } else {
            1
        };
        let units = (len / unit) as u64;
        let start = self.rng.below(units);
        let most = if self.rng.below(8) == 0 {
            units
        } else {
            6 * CHUNK_BYTES as u64 / unit as u64
        };
        let count = 1 + self.rng.below((units - start).min(most).max(1));
        let count = count.min(units - start);
        start as usize * unit..(start + count) as usize * unit
    }

    fn write(&mut self) -> Outcome {
        let (id, volume) = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let durable = self.rng.below(8) == 0;
        let mut data = vec![0; range.len()];
        // Few different contents, so that equal chunks occur; never zero, so that a write is one
        // record.
        let kinds = if self.rng.coin() { 5 } else { 1 << 40 };
        for chunk in data.chunks_mut(CHUNK_BYTES) {
            let stamp = (self.rng.below(kinds) + 1).to_le_bytes();
            chunk
                .iter_mut()
                .zip(stamp.iter().cycle())
                .for_each(|(byte, from)| *byte = *from);
        }
        self.model.volumes.get_mut(&id).unwrap()[range.clone()].copy_from_slice(&data);
        let (durability, acked) = if durable {
            (Durability::Durable, Acked::Durable)
        } else {
            (Durability::Buffered, Acked::Buffered)
        };
        let written = volume.write(range.start as u64, &data, durability);
        ("write", written.map(|()| acked))
    }

    fn zero(&mut self) -> Outcome {
        let (id, volume) = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let mode = if self.rng.coin() {
            ZeroMode::Allocate
        } else {
            ZeroMode::Deallocate
        };
        let (offset, len) = (range.start as u64, range.len() as u64);
        self.model.volumes.get_mut(&id).unwrap()[range].fill(0);
        let zeroed = volume.write_zeroes(offset, len, mode, Durability::Buffered);
        ("zero", zeroed.map(|()| Acked::Buffered))
    }

    fn snapshot(&mut self) -> Outcome {
        if self.model.snapshots.len() >= 2 * DISKS_MAX {
            return self.delete();
        }
        let all = self.rng.below(4) == 0;
        let one = self.any_volume().0;
        let volumes: Vec<VolumeId> = self
            .model
            .volumes
            .keys()
            .copied()
            .filter(|id| all || *id == one)
            .collect();
        let pairs: Vec<_> = volumes
            .into_iter()
            .map(|volume| (SnapshotId(self.new_id()), volume))
            .collect();
        for (snapshot, volume) in &pairs {
            let bytes = self.model.volumes[volume].clone();
            self.model.snapshots.insert(*snapshot, bytes);
        }
        let created = self.store.create_snapshots(&pairs);
        ("snapshot", created.map(|()| Acked::Durable))
    }

    fn clone_disk(&mut self) -> Outcome {
        if self.model.volumes.len() >= DISKS_MAX {
            return self.write();
        }
        let id = VolumeId(self.new_id());
        let snapshot = self.model.snapshots.keys().next_back().copied();
        let cloned = match snapshot {
            Some(from) if self.rng.coin() => {
                let bytes = self.model.snapshots[&from].clone();
                let info = self.store.snapshot_info(from).unwrap();
                let spec = spec_in(info.domain, info.encryption, bytes.len() as u64);
                self.model.volumes.insert(id, bytes);
                self.store.clone_snapshot(id, from, spec)
            }
            _ => {
                let from = self.any_volume().0;
                let bytes = self.model.volumes[&from].clone();
                let info = self.store.volume_info(from).unwrap();
                let spec = spec_in(info.domain, info.encryption, bytes.len() as u64);
                self.model.volumes.insert(id, bytes);
                self.store.clone_volume(id, from, spec)
            }
        };
        ("clone", cloned.map(|()| Acked::Durable))
    }

    fn delete(&mut self) -> Outcome {
        let snapshots = self.model.snapshots.len() as u64;
        let deleted = if snapshots > 0 && self.rng.below(3) > 0 {
            let at = self.rng.below(snapshots) as usize;
            let id = *self.model.snapshots.keys().nth(at).unwrap();
            self.model.snapshots.remove(&id);
            self.store.delete_snapshot(id)
        } else {
            let id = self.any_volume().0;
            self.model.volumes.remove(&id);
            self.store.delete_volume(id)
        };
        ("delete", deleted.map(|()| Acked::Durable))
    }

    fn grow(&mut self) -> Outcome {
        let id = self.any_volume().0;
        let bytes = self.model.volumes.get_mut(&id).unwrap();
        let sectors = 1 + self.rng.below(30);
        let len = bytes.len() + sectors as usize * if self.atomic { CHUNK_BYTES } else { 512 };
        let len = if self.atomic || self.rng.coin() {
            len
        } else {
            bytes.len().div_ceil(1024) * 512
        };
        bytes.resize(len, 0);
        let resized = self.store.resize_volume(id, len as u64);
        ("resize", resized.map(|()| Acked::Durable))
    }

    /// Flushes or closes, ends the process as it were, and opens again.
    fn reopen(&mut self) {
        match self.model.volumes.keys().next() {
            Some(id) if self.rng.coin() => self.store.volume(*id).unwrap().flush().unwrap(),
            _ => self.store.close().unwrap(),
        }
        // The old pool must be gone before the file locks can be taken again.
        let spare = SimIo::new(0);
        self.store = open(&spare).unwrap();
        self.store = open(&self.io).unwrap();
    }

    fn check(&self) {
        let names: Vec<_> = self.history.iter().map(|step| step.name).collect();
        let found =
            Model::of(&self.store).unwrap_or_else(|error| panic!("{error} after {names:?}"));
        if let Some(difference) = self.model.difference(&found) {
            panic!("{difference} after {names:?}");
        }
        assert!(self.engine().state.read().unwrap().uses_are_right());
        assert!(self.engine().places.read().unwrap().held_is_right());
        let sizes = self.store.volumes().into_iter().map(|info| info.size_bytes);
        assert_eq!(self.store.space().logical_bytes, sizes.sum::<u64>());
        for (id, bytes) in &self.model.volumes {
            check_extents(&self.store.volume(*id).unwrap(), bytes);
        }
    }
}

/// The extents of a disk cover it, and what they call zeroes or holes reads as zeroes.
fn check_extents(volume: &crate::Volume, bytes: &[u8]) {
    let extents = volume.extents(0, bytes.len() as u64, usize::MAX).unwrap();
    let mut at = 0;
    for extent in &extents {
        let part = &bytes[at..at + extent.len as usize];
        assert!(extent.kind == ExtentKind::Data || part.iter().all(|byte| *byte == 0));
        at += part.len();
    }
    assert_eq!(at, bytes.len());
    let same = |pair: &[Extent]| pair[0].kind == pair[1].kind;
    assert!(!extents.windows(2).any(same), "not merged: {extents:?}");
}

fn spec_in(domain: DomainId, encryption: Encryption, size_bytes: u64) -> VolumeSpec {
    VolumeSpec {
        size_bytes,
        domain,
        packing: Packing::Background,
        encryption,
    }
}

pub(crate) fn spec(size_bytes: u64) -> VolumeSpec {
    spec_in(DOMAIN, Encryption::None, size_bytes)
}

/// The same, encrypted, in a domain of its own.
pub(crate) fn sealed(spec: VolumeSpec, id: VolumeId) -> VolumeSpec {
    spec_in(DomainId(id.0), Encryption::DomainKey, spec.size_bytes)
}

pub(crate) fn open(io: &SimIo) -> Result<Store> {
    Store::open(Arc::new(io.clone()), Path::new(DIR), options())
}

#[test]
fn random_work_matches_the_model() {
    for seed in 0..40 {
        let mut run = Run::new(seed, false);
        for step in 0..150 {
            run.step();
            if step % 5 == 0 {
                run.check();
            }
            if step % 29 == 28 {
                run.reopen();
                run.check();
            }
        }
        run.check();
    }
}
