//! The plain bytes of all disks: what a store should hold, and what it holds.

use std::collections::BTreeMap;

use crate::addr::CHUNK_BYTES;
use crate::{Result, SnapshotId, Store, VolumeId};

/// What the engine should hold.
#[derive(Clone, Default)]
pub(crate) struct Model {
    pub(super) volumes: BTreeMap<VolumeId, Vec<u8>>,
    pub(super) snapshots: BTreeMap<SnapshotId, Vec<u8>>,
}

impl Model {
    /// One number for the contents of all disks.
    pub(crate) fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (id, bytes) in &self.volumes {
            hasher
                .update(id.0.as_bytes())
                .update(&bytes.len().to_le_bytes())
                .update(bytes);
        }
        for (id, bytes) in &self.snapshots {
            hasher
                .update(id.0.as_bytes())
                .update(&bytes.len().to_le_bytes())
                .update(bytes);
        }
        hasher.finalize()
    }

    /// The volumes.
    pub(crate) fn names(&self) -> Vec<VolumeId> {
        self.volumes.keys().copied().collect()
    }

    /// Reads everything a store holds.
    pub(crate) fn of(store: &Store) -> Result<Self> {
        let mut model = Self::default();
        for info in store.volumes() {
            let mut bytes = vec![0; info.size_bytes as usize];
            store.volume(info.id)?.read(0, &mut bytes)?;
            model.volumes.insert(info.id, bytes);
        }
        for info in store.snapshots() {
            let mut bytes = vec![0; info.size_bytes as usize];
            store.snapshot(info.id)?.read(0, &mut bytes)?;
            model.snapshots.insert(info.id, bytes);
        }
        Ok(model)
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
        for (id, ours, theirs) in volumes.chain(snapshots) {
            if ours.len() != theirs.len() {
                return Some(format!(
                    "{id}: {} bytes, found {}",
                    ours.len(),
                    theirs.len()
                ));
            }
            if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
                let wrong = ours.iter().zip(theirs).filter(|(a, b)| a != b).count();
                return Some(format!(
                    "{id} of {}: byte {at} (chunk {}) is {} instead of {}, {wrong} bytes in all",
                    ours.len(),
                    at / CHUNK_BYTES,
                    theirs[at],
                    ours[at]
                ));
            }
        }
        None
    }
}
