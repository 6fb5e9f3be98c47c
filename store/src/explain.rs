//! What a volume holds, what it shares with whom, and what deleting it or its snapshots gives back.
//!
//! The answer is worked out from the map: one checkpoint is written, then one view of the index is
//! walked, so it is exact as of that moment, whatever happens meanwhile. Nothing is locked while the
//! map is walked; the view keeps pages of the metadata file from being used again until it ends.
//!
//! **Cost.** All runs of all layers of the volume's side of the encryption border are read once, those
//! of the volume and its snapshots twice, and each of the former looks up the run that it hides: some
//! five microseconds a run of 512 KiB, so 10 seconds for each TiB that is mapped. Of each container
//! that is only partly concerned the directory is read. Memory is two bytes a chunk that the volume
//! and its snapshots hold; where that would be more than a sixteenth of the pool's memory setting, the
//! walk is repeated for one range of container ids after the other (of 128 GiB at the default).
//!
//! **What the figures mean.** Bytes on disk are those of the frames that a chunk's container really
//! has, divided among the chunks of each frame, with the container's own overhead. They come back when
//! reclaim has rewritten the containers concerned; a container that stays partly in use is rewritten
//! only when enough of it is dead. Chunks that are not packed yet count 4 KiB each, apart.

mod fates;
mod plan;
mod report;
mod slots;
#[cfg(test)]
mod tests;
mod walk;

use crate::engine::Engine;
use crate::index::IndexRead;
use crate::{Error, ErrorKind, Result, SnapshotId, Store, VolumeId};
use plan::Plan;
use report::Report;
use slots::Slots;
use walk::Walk;

/// Memory for each container under examination: two bytes a slot, and what the table itself takes.
const CONTAINER_COST_BYTES: u64 = 2200;

/// Bytes that chunks take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The chunks themselves, each once, before compression.
    pub plain_bytes: u64,
    /// In packs, after deduplication and compression.
    pub stored_bytes: u64,
    /// In the raw tier, of chunks that are not packed yet.
    pub raw_bytes: u64,
}

/// A disk that has chunks in common with the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disk {
    /// A volume.
    Volume(VolumeId),
    /// A snapshot, of this or another volume.
    Snapshot(SnapshotId),
}

/// How much of a disk is the same stored data as the volume's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The other disk.
    pub with: Disk,
    /// What it maps of the volume's chunks; one that it maps twice counts twice.
    pub bytes: u64,
}

/// A snapshot of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotCost {
    /// Its id.
    pub id: SnapshotId,
    /// Microseconds since 1970.
    pub created_us: u64,
    /// What it maps.
    pub referenced_bytes: u64,
    /// What deleting it alone gives back.
    pub frees: Taken,
}

/// What is to be said of a volume's space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The volume.
    pub id: VolumeId,
    /// The moment it is true of, in microseconds since 1970.
    pub as_of_us: u64,
    /// What the guest sees.
    pub logical_bytes: u64,
    /// What is mapped.
    pub referenced_bytes: u64,
    /// Distinct chunks among that.
    pub unique_bytes: u64,
    /// What those take, shared with others or not.
    pub holds: Taken,
    /// What deleting the volume gives back while its snapshots stay.
    pub frees: Taken,
    /// What deleting the volume and all its snapshots gives back.
    pub frees_with_snapshots: Taken,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotCost>,
    /// Other disks with chunks in common, most first. Its own snapshots are among them.
    pub shared: Vec<Shared>,
}

impl Store {
    /// Says what a volume holds, shares and would give back. Takes seconds for each TiB in the pool;
    /// see the module for what it costs. One call at a time is enough for anybody.
    ///
    /// # Errors
    /// `NotFound`, and those of writing a checkpoint and reading the index.
    pub fn explain(&self, id: VolumeId) -> Result<Explanation> {
        let engine = self.engine();
        let cap = (engine.shares.0 / 16 / CONTAINER_COST_BYTES).max(16);
        engine.explain(id, usize::try_from(cap).unwrap_or(usize::MAX))
    }
}

impl Engine {
    /// [`Store::explain`] with at most `cap` containers under examination at once.
    fn explain(&self, id: VolumeId, cap: usize) -> Result<Explanation> {
        self.state
            .read()
            .expect(crate::journal::poisoned!())
            .volume(id)?;
        // What the overlays hold gets into the index, where one view shows all of it.
        self.checkpoint(&mut *self.maintenance()?)?;
        let as_of_us = self.io.now_us();
        let reader = self.index.read()?;
        let volumes = reader.volumes()?;
        let row = volumes.iter().find(|(known, _)| *known == id);
        let gone = || Error::new(ErrorKind::NotFound, format!("volume {id} does not exist"));
        let row = row.map(|(_, row)| *row).ok_or_else(gone)?;
        let plan = Plan::new(&reader, id, &volumes)?;
        let mut report = Report::new(&plan);
        let mut slots = Slots::new(cap);
        loop {
            let mut walk = Walk::new(&reader, &plan, &mut slots);
            walk.candidates()?;
            walk.everything(&mut report)?;
            report.add(self, &plan, &slots);
            if !slots.next_range() {
                break;
            }
        }
        Ok(report.finish(&plan, row, as_of_us))
    }
}
