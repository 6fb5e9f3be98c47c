//! The operations of a run: each is done to the store and to the model.
//!
//! What the engine does as several journal records, the model does in the same pieces, so that every
//! prefix of the journal is a state that the model has been in.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use uuid::Uuid;

use super::{CHUNKS, Run, sealed, spec, spec_in};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, ContainerId};
use crate::chunk::compress::Codec;
use crate::engine::Engine;
use crate::index::Location;
use crate::maintain::Maintenance;
use crate::recompress::Step;
use crate::{Durability, Result, SnapshotId, Volume, VolumeId, ZeroMode};

/// What random operations come to only now and then: packed data is recompressed, and partly and wholly
/// given back.
pub(super) const CYCLE: [fn(&mut Run) -> Outcome; 9] = [
    Run::write_digits,
    Run::reclaim,
    Run::recompress,
    Run::write,
    Run::snapshot,
    Run::zero,
    Run::delete,
    Run::delete,
    Run::reclaim,
];

const DISKS_MAX: usize = 4;

/// How an operation was acknowledged.
#[derive(PartialEq, Eq)]
pub(super) enum Acked {
    Buffered,
    Durable,
}

/// The name of an operation, the rest of the sentence, and what came of it.
pub(super) type Outcome = (&'static str, String, Result<Acked>);
type Work = fn(&Engine, &mut Maintenance) -> Result<()>;

/// A number for a disk that a reader can keep in mind.
fn short(id: Uuid) -> u128 {
    id.as_u128()
}

impl Run {
    pub(super) fn random_operation(&mut self) -> Outcome {
        if self.model.volumes.is_empty() {
            return self.create();
        }
        match self.rng.below(100) {
            0..38 => self.write(),
            38..48 => self.zero(),
            48..56 => self.flush(),
            56..62 => self.snapshot(),
            62..65 => self.create(),
            65..68 => self.clone_disk(),
            68..72 => self.delete(),
            72..74 => self.resize(),
            74..82 => self.maintain("checkpoint", |_, _| Ok(())),
            82..87 => self.maintain("pack", |engine, maintenance| {
                engine.pack_round(maintenance).map(|_| ())
            }),
            87..91 => self.maintain("clean up", |engine, maintenance| {
                engine.clean_up_step(maintenance).map(|_| ())
            }),
            91..94 => self.maintain("mark", |engine, maintenance| {
                if maintenance.mark.is_none() {
                    engine.start_mark(maintenance);
                }
                engine.mark_step(maintenance).map(|_| ())
            }),
            94 => self.maintain("compact", |engine, maintenance| {
                engine.compact_step(maintenance).map(|_| ())
            }),
            95 => self.maintain("turn", |engine, maintenance| {
                engine.step(maintenance).map(|_| ())
            }),
            96 | 97 => self.recompress(),
            _ => self.reclaim(),
        }
    }

    fn reclaim(&mut self) -> Outcome {
        self.watched(|run| {
            let reclaimed = run.store.reclaim_now();
            let acked = reclaimed.map(|_| Acked::Durable);
            ("reclaim", String::new(), acked)
        })
    }

    /// Recompresses all there is, if the pool is at rest.
    fn recompress(&mut self) -> Outcome {
        let before = self.containers();
        let done = self.recompress_all(before.len());
        let is_smaller = |(id, place): (&ContainerId, &Location)| {
            let old = before.get(id);
            old.is_some_and(|old| place.len() < old.len())
        };
        if self.containers().iter().any(is_smaller) {
            self.work_done.insert("recompression");
        }
        ("recompress", String::new(), done.map(|()| Acked::Buffered))
    }

    /// No container is done twice.
    fn recompress_all(&self, containers: usize) -> Result<()> {
        let engine = self.engine();
        let mut steps = 0;
        while let Step::Done(_) = engine.recompress_step()? {
            steps += 1;
            assert!(steps <= containers, "a container is done again and again");
        }
        Ok(())
    }

    fn containers(&self) -> BTreeMap<ContainerId, Location> {
        let engine = self.engine();
        let places = engine.places.read().unwrap();
        places.iter().map(|(id, row)| (id, row.location)).collect()
    }

    /// Whether its frames are chunks as they are.
    fn is_scattered(&self, id: ContainerId, place: &Location) -> bool {
        let directory = self.engine().reader.directory(id, place.local());
        directory.is_ok_and(|directory| {
            let header = &directory.header;
            header.codec == Codec::Raw && u32::from(header.frame_log2) == CHUNK_SHIFT
        })
    }

    fn layers(&self) -> usize {
        self.engine().state.read().unwrap().layers.len()
    }

    /// Does work and notes what it came to.
    fn watched(&mut self, work: impl FnOnce(&Self) -> Outcome) -> Outcome {
        let (before, layers) = (self.containers(), self.layers());
        let outcome = work(self);
        let after = self.containers();
        let differs = |id: &ContainerId, place: &Location| {
            let old = before.get(id);
            old.is_some_and(|old| old != place)
        };
        let seen = [
            ("packing", after.keys().any(|id| !before.contains_key(id))),
            (
                "packing of scattered chunks",
                after
                    .iter()
                    .any(|(id, place)| !before.contains_key(id) && self.is_scattered(*id, place)),
            ),
            (
                "garbage collection",
                before.keys().any(|id| !after.contains_key(id)),
            ),
            (
                "compaction",
                after.iter().any(|(id, place)| differs(id, place)),
            ),
            ("clean-up", self.layers() < layers),
        ];
        let seen = seen.into_iter().filter(|(_, is_so)| *is_so);
        self.work_done.extend(seen.map(|(name, _)| name));
        outcome
    }

    /// Background work, after a checkpoint unless a mark that is under way goes on.
    fn maintain(&mut self, name: &'static str, work: Work) -> Outcome {
        self.watched(|run| run.maintain_unwatched(name, work))
    }

    fn maintain_unwatched(&self, name: &'static str, work: Work) -> Outcome {
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
        (name, String::new(), done.map(|()| acked))
    }

    fn new_id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn any_volume(&mut self) -> VolumeId {
        let at = self.rng.below(self.model.volumes.len() as u64) as usize;
        *self.model.volumes.keys().nth(at).unwrap()
    }

    /// Does something with a volume; to open an encrypted one takes reading its key.
    fn with_volume<T>(&self, id: VolumeId, work: impl FnOnce(&Volume) -> Result<T>) -> Result<T> {
        self.store.volume(id).and_then(|volume| work(&volume))
    }

    /// The bytes of a disk of the model, for changing.
    fn bytes(&mut self, id: VolumeId) -> &mut Vec<u8> {
        Arc::make_mut(self.model.volumes.get_mut(&id).unwrap())
    }

    /// The model is between two journal records of one operation.
    fn between_records(&mut self) {
        self.between.push(self.model.digest());
    }

    fn flush(&mut self) -> Outcome {
        let id = self.any_volume();
        let flushed = self.with_volume(id, Volume::flush);
        let acked = flushed.map(|()| Acked::Durable);
        ("flush", format!("{}", short(id.0)), acked)
    }

    fn create(&mut self) -> Outcome {
        if self.model.volumes.len() >= DISKS_MAX {
            return self.write();
        }
        let id = VolumeId(self.new_id());
        // Few are so large that they cross runs: all of them are read whole in every crash state.
        let chunks = if self.rng.below(4) == 0 { CHUNKS } else { 40 };
        let spec = spec((1 + self.rng.below(chunks)) * CHUNK_BYTES as u64);
        let encrypted = self.rng.coin();
        let spec = if encrypted { sealed(spec, id) } else { spec };
        let size = spec.size_bytes as usize;
        self.model.volumes.insert(id, Arc::new(vec![0; size]));
        let created = self.store.create_volume(id, spec);
        let kind = if encrypted { "encrypted" } else { "plain" };
        let what = format!("{} of {size} bytes, {kind}", short(id.0));
        ("create", what, created.map(|()| Acked::Durable))
    }

    /// A range of whole chunks, or of bytes when operations need not be atomic.
    fn range(&mut self, len: usize) -> Range<usize> {
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
        let id = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let durability = match self.rng.below(8) {
            0 => Durability::Durable,
            _ => Durability::Buffered,
        };
        let data = self.content(range.len());
        self.write_data(id, range, &data, durability)
    }

    /// Writes what zstd stores in half of the space and LZ4 as it is.
    fn write_digits(&mut self) -> Outcome {
        let id = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let mut data = vec![0; range.len()];
        self.rng.fill(&mut data);
        let digit = |byte: &mut u8| *byte = b"0123456789abcdef"[usize::from(*byte % 16)];
        data.iter_mut().for_each(digit);
        self.write_data(id, range, &data, Durability::Buffered)
    }

    fn write_data(
        &mut self,
        id: VolumeId,
        range: Range<usize>,
        data: &[u8],
        durability: Durability,
    ) -> Outcome {
        self.write_to_model(id, range.start, data);
        let acked = match durability {
            Durability::Durable => Acked::Durable,
            Durability::Buffered => Acked::Buffered,
        };
        let offset = range.start as u64;
        let written = self.with_volume(id, |volume| volume.write(offset, data, durability));
        let what = format!("{} {range:?} {durability:?}", short(id.0));
        ("write", what, written.map(|()| acked))
    }

    /// Few different contents, so that equal chunks occur; some that do not compress, so that containers
    /// are large enough to be compacted. Whole chunks are never zero, so that a write of such is one
    /// record.
    fn content(&mut self, len: usize) -> Vec<u8> {
        let mut data = vec![0; len];
        if self.rng.below(4) == 0 {
            self.rng.fill(&mut data);
            return data;
        }
        let kinds = if self.rng.coin() { 5 } else { 1 << 40 };
        for chunk in data.chunks_mut(CHUNK_BYTES) {
            let stamp = (self.rng.below(kinds) + 1).to_le_bytes();
            chunk
                .iter_mut()
                .zip(stamp.iter().cycle())
                .for_each(|(byte, from)| *byte = *from);
        }
        data
    }

    /// The engine writes the part of a first chunk, whole chunks, and the part of a last one.
    fn write_to_model(&mut self, id: VolumeId, start: usize, data: &[u8]) {
        let (mut at, mut rest) = (start, data);
        while !rest.is_empty() {
            let skip = at % CHUNK_BYTES;
            let len = match (skip, rest.len() / CHUNK_BYTES) {
                (0, whole @ 1..) => whole.min(256) * CHUNK_BYTES,
                _ => rest.len().min(CHUNK_BYTES - skip),
            };
            let (piece, tail) = rest.split_at(len);
            self.bytes(id)[at..at + len].copy_from_slice(piece);
            if !tail.is_empty() {
                self.between_records();
            }
            (at, rest) = (at + len, tail);
        }
    }

    fn zero(&mut self) -> Outcome {
        let id = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let mode = if self.rng.coin() {
            ZeroMode::Allocate
        } else {
            ZeroMode::Deallocate
        };
        self.zero_in_model(id, range.clone());
        let (offset, len) = (range.start as u64, range.len() as u64);
        let zeroed = self.with_volume(id, |volume| {
            volume.write_zeroes(offset, len, mode, Durability::Buffered)
        });
        let what = format!("{} {range:?} {mode:?}", short(id.0));
        ("zero", what, zeroed.map(|()| Acked::Buffered))
    }

    /// The engine maps whole chunks first, then writes the ends.
    fn zero_in_model(&mut self, id: VolumeId, range: Range<usize>) {
        let size = self.model.volumes[&id].len();
        let first = range.start.next_multiple_of(CHUNK_BYTES);
        let last = match range.end {
            end if end == size => end,
            end => end - end % CHUNK_BYTES,
        };
        if first < last {
            self.bytes(id)[first..last].fill(0);
            self.between_records();
        }
        let head = first.min(range.end);
        self.bytes(id)[range.start..head].fill(0);
        self.between_records();
        self.bytes(id)[range].fill(0);
    }

    fn snapshot(&mut self) -> Outcome {
        if self.model.snapshots.len() >= 2 * DISKS_MAX {
            return self.delete();
        }
        let all = self.rng.below(4) == 0;
        let one = self.any_volume();
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
        let mut what = String::new();
        for (snapshot, volume) in &pairs {
            let bytes = Arc::clone(&self.model.volumes[volume]);
            self.model.snapshots.insert(*snapshot, bytes);
            what += &format!("{} of {} ", short(snapshot.0), short(volume.0));
        }
        let created = self.store.create_snapshots(&pairs);
        ("snapshot", what, created.map(|()| Acked::Durable))
    }

    fn clone_disk(&mut self) -> Outcome {
        if self.model.volumes.len() >= DISKS_MAX {
            return self.write();
        }
        let id = VolumeId(self.new_id());
        let snapshot = self.model.snapshots.keys().next_back().copied();
        let (from, cloned) = match snapshot {
            Some(from) if self.rng.coin() => {
                let bytes = Arc::clone(&self.model.snapshots[&from]);
                let info = self.store.snapshot_info(from).unwrap();
                let spec = spec_in(info.domain, info.encryption, bytes.len() as u64);
                self.model.volumes.insert(id, bytes);
                (from.0, self.store.clone_snapshot(id, from, spec))
            }
            _ => {
                let from = self.any_volume();
                let bytes = Arc::clone(&self.model.volumes[&from]);
                let info = self.store.volume_info(from).unwrap();
                let spec = spec_in(info.domain, info.encryption, bytes.len() as u64);
                self.model.volumes.insert(id, bytes);
                (from.0, self.store.clone_volume(id, from, spec))
            }
        };
        let what = format!("{} from {}", short(id.0), short(from));
        ("clone", what, cloned.map(|()| Acked::Durable))
    }

    fn delete(&mut self) -> Outcome {
        let snapshots = self.model.snapshots.len() as u64;
        let (id, deleted) = if snapshots > 0 && self.rng.below(3) > 0 {
            let at = self.rng.below(snapshots) as usize;
            let id = *self.model.snapshots.keys().nth(at).unwrap();
            self.model.snapshots.remove(&id);
            (id.0, self.store.delete_snapshot(id))
        } else {
            let id = self.any_volume();
            self.model.volumes.remove(&id);
            (id.0, self.store.delete_volume(id))
        };
        let what = format!("{}", short(id));
        ("delete", what, deleted.map(|()| Acked::Durable))
    }

    /// Grows a disk; or cuts it to half where operations need not be atomic.
    fn resize(&mut self) -> Outcome {
        let id = self.any_volume();
        let old = self.model.volumes[&id].len();
        let sectors = 1 + self.rng.below(30) as usize;
        let unit = if self.atomic { CHUNK_BYTES } else { 512 };
        let len = if self.atomic || self.rng.coin() {
            old + sectors * unit
        } else {
            old.div_ceil(1024) * 512
        };
        if len < old {
            let chunk_end = len.next_multiple_of(CHUNK_BYTES).min(old);
            self.bytes(id)[len..chunk_end].fill(0);
            self.between_records();
            self.bytes(id)[chunk_end..].fill(0);
            self.between_records();
        }
        self.bytes(id).resize(len, 0);
        let resized = self.store.resize_volume(id, len as u64);
        let what = format!("{} to {len} bytes", short(id.0));
        ("resize", what, resized.map(|()| Acked::Durable))
    }

    /// Reads some of a disk.
    ///
    /// # Errors
    /// Where the bytes are not those of the model; or that of the store, which is no difference.
    pub(crate) fn read_some(&mut self) -> std::result::Result<Result<()>, String> {
        if self.model.volumes.is_empty() {
            return Ok(Ok(()));
        }
        let id = self.any_volume();
        let range = self.range(self.model.volumes[&id].len());
        let mut found = vec![0; range.len()];
        let offset = range.start as u64;
        if let Err(error) = self.with_volume(id, |volume| volume.read(offset, &mut found)) {
            return Ok(Err(error));
        }
        if found == self.model.volumes[&id][range.clone()] {
            return Ok(Ok(()));
        }
        Err(format!("{} reads wrong within {range:?}", short(id.0)))
    }
}
