//! Volumes, snapshots and layers in memory, and how journal records change them.
//!
//! The same `apply` runs when a record is appended and when it is replayed, so recovery cannot differ
//! from what happened. Checkpoints copy what is marked dirty into the index.

mod objects;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::encryption::Domain;
use crate::index::{LayerId, LayerRow, SnapshotRow, VolumeRow};
use crate::journal::poisoned;
use crate::journal::record::{Cut, Record};
use crate::layer::{Chain, Layer};
use crate::{DomainId, Encryption, Error, ErrorKind, Packing, Result, SnapshotId, VolumeId};
pub(crate) use objects::{Counters, LayerEntry, SnapshotState, VolumeState};

/// What has changed since the last checkpoint.
#[derive(Default)]
pub(crate) struct Dirty {
    pub(crate) volumes: HashSet<VolumeId>,
    pub(crate) snapshots: HashSet<SnapshotId>,
    pub(crate) layers: HashSet<LayerId>,
    pub(crate) domains: HashSet<DomainId>,
}

/// Everything but the data.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) volumes: BTreeMap<VolumeId, Arc<VolumeState>>,
    pub(crate) snapshots: BTreeMap<SnapshotId, Arc<SnapshotState>>,
    pub(crate) layers: BTreeMap<LayerId, LayerEntry>,
    pub(crate) domains: HashMap<DomainId, Domain>,
    pub(crate) dirty: Dirty,
    /// Layers that may have become of no use; looked at, and forgotten if not, by the clean-up.
    pub(crate) loose: BTreeSet<LayerId>,
    last_layer: u32,
    /// Sizes of all volumes added up.
    logical_bytes: u64,
}

impl State {
    /// The state as a checkpoint left it.
    ///
    /// # Errors
    /// `Corrupt` when a row names a layer that is not there.
    pub(crate) fn load(
        layers: Vec<(LayerId, LayerRow)>,
        volumes: Vec<(VolumeId, VolumeRow)>,
        snapshots: Vec<(SnapshotId, SnapshotRow)>,
        domains: HashMap<DomainId, Domain>,
        last_layer: u32,
    ) -> Result<Self> {
        let mut state = Self {
            domains,
            last_layer,
            ..Self::default()
        };
        for (id, row) in layers {
            let layer = state.new_layer(id, row.domain)?;
            let entry = LayerEntry::new(layer, row.parent, row.delta_chunks);
            state.layers.insert(id, entry);
            state.loose.insert(id);
        }
        let parents: Vec<_> = state.layers.iter().map(|(id, e)| (*id, e.parent)).collect();
        for (id, parent) in parents {
            state.adopt(id, parent);
        }
        for (id, row) in volumes {
            state.add_volume(id, row.head, row.size_bytes, row.domain, row.packing)?;
        }
        for (id, row) in snapshots {
            state.add_snapshot(id, row.volume, row.layer, row.size_bytes, row.created_us)?;
        }
        state.dirty = Dirty::default();
        Ok(state)
    }

    /// A layer id that was never used.
    pub(crate) fn next_layer(&self) -> LayerId {
        LayerId(self.last_layer + 1)
    }

    /// The highest layer id ever used.
    pub(crate) fn last_layer(&self) -> u32 {
        self.last_layer
    }

    pub(crate) fn volume(&self, id: VolumeId) -> Result<&Arc<VolumeState>> {
        self.volumes
            .get(&id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("volume {id} does not exist")))
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> Result<&Arc<SnapshotState>> {
        self.snapshots
            .get(&id)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("snapshot {id} does not exist")))
    }

    /// Carries out a structural record.
    ///
    /// # Errors
    /// `Corrupt` when the record does not fit: live callers have checked before they append.
    pub(crate) fn apply(&mut self, record: &Record) -> Result<()> {
        match record {
            Record::Domain { domain, key } => {
                self.add_domain(*domain, Domain::plain(*key));
                Ok(())
            }
            Record::SealedDomain { domain, key_id } => {
                self.add_domain(*domain, Domain::sealed(*domain, *key_id));
                Ok(())
            }
            Record::CreateVolume {
                volume,
                head,
                parent,
                size_bytes,
                domain,
                packing,
            } => {
                self.add_layer(*head, *parent, *domain)?;
                self.add_volume(*volume, *head, *size_bytes, *domain, *packing)
            }
            Record::CloneVolume {
                volume,
                head,
                source,
                source_head,
                size_bytes,
                domain,
                packing,
            } => {
                let frozen = self.move_head(*source, *source_head)?;
                self.add_layer(*head, Some(frozen), *domain)?;
                self.add_volume(*volume, *head, *size_bytes, *domain, *packing)
            }
            Record::Snapshot { created_us, cuts } => cuts
                .iter()
                .try_for_each(|cut| self.apply_cut(*cut, *created_us)),
            Record::DeleteSnapshot { snapshot } => {
                if let Some(state) = self.snapshots.remove(snapshot) {
                    state.gone.store(true, Ordering::Release);
                    self.release(state.layer, |entry| entry.is_snapshot = false);
                }
                self.dirty.snapshots.insert(*snapshot);
                Ok(())
            }
            Record::DeleteVolume { volume } => {
                if let Some(state) = self.volumes.remove(volume) {
                    self.logical_bytes -= state.size_bytes();
                    state.gone.store(true, Ordering::Release);
                    self.release(state.chain().head().id, |entry| entry.is_head = false);
                }
                self.dirty.volumes.insert(*volume);
                Ok(())
            }
            Record::ResizeVolume { volume, size_bytes } => {
                let size = &self.volume(*volume)?.size_bytes;
                let old = size.swap(*size_bytes, Ordering::AcqRel);
                self.logical_bytes = self.logical_bytes - old + *size_bytes;
                self.dirty.volumes.insert(*volume);
                Ok(())
            }
            Record::Write { .. } | Record::Zero { .. } | Record::Trim { .. } => {
                Err(corrupt("a data record is not structural".to_owned()))
            }
        }
    }

    fn apply_cut(&mut self, cut: Cut, created_us: u64) -> Result<()> {
        let size_bytes = self.volume(cut.volume)?.size_bytes();
        let frozen = self.move_head(cut.volume, cut.new_head)?;
        self.add_snapshot(cut.snapshot, cut.volume, frozen, size_bytes, created_us)
    }

    /// Freezes a volume's head and opens a new one on it.
    fn move_head(&mut self, volume: VolumeId, new_head: LayerId) -> Result<LayerId> {
        let volume = Arc::clone(self.volume(volume)?);
        let frozen = volume.chain().head().id;
        self.add_layer(new_head, Some(frozen), volume.domain)?;
        *volume.chain.write().expect(poisoned!()) = self.chain(new_head)?;
        self.dirty.volumes.insert(volume.id);
        self.release(frozen, |entry| entry.is_head = false);
        self.mark_head(new_head);
        Ok(frozen)
    }

    fn add_domain(&mut self, id: DomainId, domain: Domain) {
        self.domains.entry(id).or_insert(domain);
        self.dirty.domains.insert(id);
    }

    /// A layer in memory, counted by its domain.
    fn new_layer(&mut self, id: LayerId, domain: DomainId) -> Result<Arc<Layer>> {
        let missing = || corrupt(format!("domain {domain} of layer {} is missing", id.0));
        let of = self.domains.get_mut(&domain).ok_or_else(missing)?;
        of.layers += 1;
        Ok(Layer::new(id, domain, of.sealing().cloned()))
    }

    fn add_layer(&mut self, id: LayerId, parent: Option<LayerId>, domain: DomainId) -> Result<()> {
        let entry = LayerEntry::new(self.new_layer(id, domain)?, parent, 0);
        self.layers.insert(id, entry);
        self.adopt(id, parent);
        self.last_layer = self.last_layer.max(id.0);
        self.dirty.layers.insert(id);
        Ok(())
    }

    fn add_volume(
        &mut self,
        id: VolumeId,
        head: LayerId,
        size_bytes: u64,
        domain: DomainId,
        packing: Packing,
    ) -> Result<()> {
        let volume = VolumeState {
            id,
            domain,
            encryption: self.encryption_of(domain),
            packing,
            size_bytes: AtomicU64::new(size_bytes),
            gate: RwLock::new(()),
            chain: RwLock::new(self.chain(head)?),
            gone: AtomicBool::new(false),
            counters: Counters::default(),
        };
        self.logical_bytes += size_bytes;
        if let Some(replaced) = self.volumes.insert(id, Arc::new(volume)) {
            self.logical_bytes -= replaced.size_bytes();
        }
        self.dirty.volumes.insert(id);
        self.mark_head(head);
        Ok(())
    }

    /// Sizes of all volumes added up.
    pub(crate) fn logical_bytes(&self) -> u64 {
        self.logical_bytes
    }

    /// Whether the data of a domain is encrypted.
    pub(crate) fn encryption_of(&self, domain: DomainId) -> Encryption {
        let known = self.domains.get(&domain);
        known.map_or(Encryption::None, Domain::encryption)
    }

    fn mark_head(&mut self, layer: LayerId) {
        if let Some(entry) = self.layers.get_mut(&layer) {
            entry.is_head = true;
        }
    }

    /// Notes that `parent` has a child more.
    fn adopt(&mut self, child: LayerId, parent: Option<LayerId>) {
        if let Some(entry) = parent.and_then(|parent| self.layers.get_mut(&parent)) {
            entry.children.insert(child);
        }
    }

    /// Ends a use of a layer, so that the clean-up looks at it.
    fn release(&mut self, layer: LayerId, end: impl FnOnce(&mut LayerEntry)) {
        if let Some(entry) = self.layers.get_mut(&layer) {
            end(entry);
        }
        self.dirty.layers.insert(layer);
        self.loose.insert(layer);
    }

    /// Takes a layer out that nothing uses, and names the encrypted domain that it was the last of.
    pub(crate) fn remove_layer(&mut self, layer: LayerId) -> Option<DomainId> {
        self.loose.remove(&layer);
        let removed = self.layers.remove(&layer)?;
        if let Some(parent) = removed.parent
            && let Some(entry) = self.layers.get_mut(&parent)
        {
            entry.children.remove(&layer);
            self.loose.insert(parent);
        }
        let id = removed.layer.domain;
        let domain = self.domains.get_mut(&id)?;
        domain.layers -= 1;
        domain.is_to_be_erased().then_some(id)
    }

    /// Takes a layer out whose only child has its runs now.
    pub(crate) fn merge_layer(&mut self, layer: LayerId, into: LayerId) {
        let Some(old) = self.layers.get(&layer) else {
            return;
        };
        let (parent, delta_chunks) = (old.parent, old.delta_chunks);
        self.remove_layer(layer);
        if let Some(child) = self.layers.get_mut(&into) {
            child.parent = parent;
            child.delta_chunks += delta_chunks;
        }
        self.adopt(into, parent);
        self.loose.insert(into);
    }

    fn add_snapshot(
        &mut self,
        id: SnapshotId,
        volume: VolumeId,
        layer: LayerId,
        size_bytes: u64,
        created_us: u64,
    ) -> Result<()> {
        let (chain, gone) = (RwLock::new(self.chain(layer)?), AtomicBool::new(false));
        let snapshot = SnapshotState {
            id,
            volume,
            layer,
            size_bytes,
            created_us,
            chain,
            gone,
        };
        self.snapshots.insert(id, Arc::new(snapshot));
        self.dirty.snapshots.insert(id);
        if let Some(entry) = self.layers.get_mut(&layer) {
            entry.is_snapshot = true;
        }
        Ok(())
    }

    /// The stack from `head` down.
    pub(crate) fn chain(&self, head: LayerId) -> Result<Arc<Chain>> {
        let (mut layers, mut next) = (Vec::new(), Some(head));
        while let Some(id) = next {
            let entry = self
                .layers
                .get(&id)
                .ok_or_else(|| corrupt(format!("layer {} is missing", id.0)))?;
            if layers.len() > self.layers.len() {
                return Err(corrupt(format!("layer {} is its own ancestor", id.0)));
            }
            layers.push(Arc::clone(&entry.layer));
            next = entry.parent;
        }
        Ok(Chain::new(layers))
    }

    /// Rebuilds the stacks that a layer was merged away from.
    pub(crate) fn rebuild_chains(&self, gone: LayerId) -> Result<()> {
        for volume in self.volumes.values() {
            let chain = volume.chain();
            if chain.ids.contains(&gone) {
                *volume.chain.write().expect(poisoned!()) = self.chain(chain.head().id)?;
            }
        }
        for snapshot in self.snapshots.values() {
            if snapshot.chain().ids.contains(&gone) {
                *snapshot.chain.write().expect(poisoned!()) = self.chain(snapshot.layer)?;
            }
        }
        Ok(())
    }

    /// What the index holds of a layer; `None` for one that is gone.
    pub(crate) fn layer_row(&self, id: LayerId) -> Option<LayerRow> {
        let entry = self.layers.get(&id)?;
        Some(LayerRow {
            parent: entry.parent,
            state: entry.role(),
            domain: entry.layer.domain,
            delta_chunks: entry.delta_chunks,
        })
    }

    /// Whether the uses noted with each layer are those that volumes, snapshots and layers have of it.
    #[cfg(test)]
    pub(crate) fn uses_are_right(&self) -> bool {
        let heads: Vec<LayerId> = self.volumes.values().map(|v| v.chain().head().id).collect();
        let frozen: Vec<LayerId> = self.snapshots.values().map(|s| s.layer).collect();
        self.layers.iter().all(|(id, entry)| {
            let on_top = |(_, other): &(&LayerId, &LayerEntry)| other.parent == Some(*id);
            let children = self.layers.iter().filter(on_top).map(|(child, _)| *child);
            entry.is_head == heads.contains(id)
                && entry.is_snapshot == frozen.contains(id)
                && entry.children == children.collect::<BTreeSet<_>>()
        })
    }

    /// Data chunks mapped through a layer's stack.
    pub(crate) fn mapped_chunks(&self, chain: &Chain) -> u64 {
        let delta = |id| self.layers.get(id).map_or(0, |entry| entry.delta_chunks);
        u64::try_from(chain.ids.iter().map(delta).sum::<i64>()).unwrap_or(0)
    }
}

fn corrupt(context: String) -> Error {
    Error::new(ErrorKind::Corrupt, context)
}
