//! The plain bytes of all disks: what a store should hold, and what it holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::addr::CHUNK_BYTES;
use crate::chunk::is_zero;
use crate::{Result, SnapshotId, Store, VolumeId};

/// How much of a disk is read at once: a run.
const READ_BYTES: usize = 128 * CHUNK_BYTES;

/// What the engine should hold. Copies share the bytes of disks until they are changed.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(super) volumes: BTreeMap<VolumeId, Arc<Vec<u8>>>,
    pub(super) snapshots: BTreeMap<SnapshotId, Arc<Vec<u8>>>,
}

/// One number for the contents of disks. Zeroes are told by what is left out, which is most of a disk.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn disk(&mut self, id: Uuid, len: usize) {
        self.0.update(id.as_bytes()).update(&len.to_le_bytes());
    }

    /// Bytes of the disk from a chunk on; the last chunk may be short.
    fn part(&mut self, first_chunk: usize, bytes: &[u8]) {
        for (number, chunk) in (first_chunk..).zip(bytes.chunks(CHUNK_BYTES)) {
            if !is_zero(chunk) {
                self.0.update(&number.to_le_bytes()).update(chunk);
            }
        }
    }
}

impl Model {
    /// One number for the contents of all disks.
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut digest = Digest::default();
        let volumes = self.volumes.iter().map(|(id, bytes)| (id.0, bytes));
        let snapshots = self.snapshots.iter().map(|(id, bytes)| (id.0, bytes));
        for (id, bytes) in volumes.chain(snapshots) {
            digest.disk(id, bytes.len());
            digest.part(0, bytes);
        }
        digest.0.finalize()
    }

    /// [`Self::digest`] of what a store holds, which is read whole.
    pub(crate) fn digest_of(store: &Store) -> Result<blake3::Hash> {
        let mut digest = Digest::default();
        visit(store, |disk, first_chunk, bytes| match disk {
            Disk::Begins(id, len) => digest.disk(id, len),
            Disk::GoesOn => digest.part(first_chunk, bytes),
        })?;
        Ok(digest.0.finalize())
    }

    /// The volumes.
    pub(crate) fn names(&self) -> Vec<VolumeId> {
        self.volumes.keys().copied().collect()
    }

    /// Whether a volume has these bytes at an offset.
    pub(crate) fn has(&self, id: VolumeId, offset: u64, bytes: &[u8]) -> bool {
        let volume = self.volumes.get(&id);
        let there = volume.and_then(|all| all.get(offset as usize..)?.get(..bytes.len()));
        there == Some(bytes)
    }

    /// Reads everything a store holds.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let mut disks = Vec::new();
        visit(store, |disk, _, bytes| match (disk, disks.last_mut()) {
            (Disk::Begins(_, len), _) => disks.push(Vec::with_capacity(len)),
            (Disk::GoesOn, Some(all)) => all.extend_from_slice(bytes),
            (Disk::GoesOn, None) => unreachable!("a disk begins before it goes on"),
        })?;
        let mut disks = disks.into_iter().map(Arc::new);
        let volumes = store.volumes().into_iter().map(|info| info.id);
        let volumes = volumes.zip(disks.by_ref()).collect();
        let snapshots = store.snapshots().into_iter().map(|info| info.id);
        let snapshots = snapshots.zip(disks).collect();
        Ok(Self { volumes, snapshots })
    }

    /// Where the store differs, in words.
    pub(crate) fn difference(&self, found: &Self) -> Option<String> {
        let (ours, theirs) = (self.volumes.keys(), found.volumes.keys());
        if !ours.eq(theirs) || !self.snapshots.keys().eq(found.snapshots.keys()) {
            return Some("other disks".to_owned());
        }
        let volumes = self
            .volumes
            .iter()
            .map(|(id, bytes)| (id.0, bytes, &found.volumes[id]));
        let snapshots = self
            .snapshots
            .iter()
            .map(|(id, bytes)| (id.0, bytes, &found.snapshots[id]));
        volumes
            .chain(snapshots)
            .find_map(|(id, ours, theirs)| difference_of_disk(id, ours, theirs))
    }
}

fn difference_of_disk(id: Uuid, ours: &[u8], theirs: &[u8]) -> Option<String> {
    if ours.len() != theirs.len() {
        let (ours, theirs) = (ours.len(), theirs.len());
        return Some(format!("{id}: {ours} bytes, found {theirs}"));
    }
    let at = ours.iter().zip(theirs).position(|(a, b)| a != b)?;
    let wrong = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
    Some(format!(
        "{id} of {}: byte {at} (chunk {}) is {} instead of {}, {wrong} bytes in all",
        ours.len(),
        at / CHUNK_BYTES,
        theirs[at],
        ours[at]
    ))
}

/// What a visitor of a store's disks is shown.
enum Disk {
    /// Another disk, of a length.
    Begins(Uuid, usize),
    /// Bytes of it, from a chunk on.
    GoesOn,
}

/// Shows all volumes and then all snapshots, each by id, from their beginnings to their ends.
fn visit(store: &Store, mut show: impl FnMut(Disk, usize, &[u8])) -> Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let mut read = |id: Uuid, len: usize, at: &dyn Fn(u64, &mut [u8]) -> Result<()>| {
        show(Disk::Begins(id, len), 0, &[]);
        for start in (0..len).step_by(READ_BYTES) {
            let part = &mut buffer[..READ_BYTES.min(len - start)];
            at(start as u64, part)?;
            show(Disk::GoesOn, start / CHUNK_BYTES, part);
        }
        Ok(())
    };
    for info in store.volumes() {
        let volume = store.volume(info.id)?;
        read(info.id.0, info.size_bytes as usize, &|at, out| {
            volume.read(at, out)
        })?;
    }
    for info in store.snapshots() {
        let snapshot = store.snapshot(info.id)?;
        read(info.id.0, info.size_bytes as usize, &|at, out| {
            snapshot.read(at, out)
        })?;
    }
    Ok(())
}
