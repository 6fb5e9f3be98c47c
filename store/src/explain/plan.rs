//! Which deletions are weighed, and which layers' runs each of them takes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Disk;
use super::fates::{Fate, Tree};
use crate::index::{DomainRow, IndexRead, IndexReader, LayerId, SnapshotRow, VolumeRow};
use crate::{DomainId, Result, SnapshotId, VolumeId};

/// The number of a deletion that is weighed.
pub(super) type Case = u16;
/// The volume alone goes.
pub(super) const VOLUME: Case = 0;
/// The volume and its snapshots go. Those alone, oldest first, follow.
pub(super) const TOGETHER: Case = 1;
/// The first of the snapshots.
pub(super) const SNAPSHOTS: Case = 2;

/// Everything about layers and disks that the walk needs to know.
pub(super) struct Plan {
    pub(super) id: VolumeId,
    pub(super) tree: Tree,
    /// The volume's stack, newest first.
    pub(super) chain: Vec<LayerId>,
    /// Its snapshots, oldest first.
    pub(super) snapshots: Vec<(SnapshotId, SnapshotRow)>,
    /// All disks and the topmost layer of each.
    pub(super) disks: BTreeMap<Disk, LayerId>,
    /// Data chunks seen through a layer less those seen through its parent.
    pub(super) deltas: HashMap<LayerId, i64>,
    /// Layers that may hold chunks of the volume or its snapshots.
    pub(super) layers: Vec<LayerId>,
    /// What goes by itself, without any deletion.
    settled: HashMap<LayerId, Fate>,
    /// Of the layers that a deletion touches: which, and how.
    losses: HashMap<LayerId, Vec<(Case, Fate)>>,
}

impl Plan {
    pub(super) fn new(
        reader: &IndexReader,
        id: VolumeId,
        volumes: &[(VolumeId, VolumeRow)],
    ) -> Result<Self> {
        let rows = reader.layers()?;
        let tree = Tree::new(&rows);
        let all = reader.snapshots()?;
        let mut disks: BTreeMap<Disk, LayerId> = BTreeMap::new();
        disks.extend(
            volumes
                .iter()
                .map(|(id, row)| (Disk::Volume(*id), row.head)),
        );
        disks.extend(all.iter().map(|(id, row)| (Disk::Snapshot(*id), row.layer)));
        let own = all.into_iter().filter(|(_, row)| row.volume == id);
        let mut snapshots: Vec<_> = own.collect();
        snapshots.sort_by_key(|(id, row)| (row.created_us, *id));
        // More than a disk can have snapshots, and than a class can name.
        snapshots.truncate(usize::from(Case::MAX / 4));
        let head = disks.get(&Disk::Volume(id)).copied();
        let chain = head.map_or(Vec::new(), |head| tree.chain(head));
        let domains: HashMap<LayerId, DomainId> =
            rows.iter().map(|(id, row)| (*id, row.domain)).collect();
        let reachable = reachable(reader, head.and_then(|head| domains.get(&head).copied()))?;
        let shares = |layer: &LayerId| domains.get(layer).is_some_and(|id| reachable(*id));
        let mut plan = Self {
            id,
            chain,
            snapshots,
            disks,
            deltas: rows
                .iter()
                .map(|(id, row)| (*id, row.delta_chunks))
                .collect(),
            layers: tree.layers().filter(shares).collect(),
            tree,
            settled: HashMap::new(),
            losses: HashMap::new(),
        };
        plan.weigh();
        Ok(plan)
    }

    /// Works out what every deletion does.
    fn weigh(&mut self) {
        let volume = Disk::Volume(self.id);
        let single = |(id, _): &(SnapshotId, SnapshotRow)| vec![Disk::Snapshot(*id)];
        let mut together: Vec<Disk> = self.snapshots.iter().flat_map(single).collect();
        together.push(volume);
        let mut cases = vec![vec![volume], together.clone()];
        cases.extend(self.snapshots.iter().map(single));
        let own = together.iter().filter_map(|disk| self.disks.get(disk));
        let family = self.tree.family(own.copied());
        let used: HashSet<LayerId> = self.disks.values().copied().collect();
        let everything: BTreeSet<LayerId> = self.tree.layers().collect();
        self.settled = self.tree.fates(&everything, |id| used.contains(&id));
        for (case, gone) in (0..).zip(cases) {
            let gone: HashSet<LayerId> = gone
                .iter()
                .filter_map(|disk| self.disks.get(disk).copied())
                .collect();
            let used = |id: LayerId| used.contains(&id) && !gone.contains(&id);
            for (layer, fate) in self.tree.fates(&family, used) {
                if self.settled.get(&layer) != Some(&fate) {
                    self.losses.entry(layer).or_default().push((case, fate));
                }
            }
        }
    }

    /// Whether some deletion takes runs of a layer.
    pub(super) fn is_at_stake(&self, layer: LayerId) -> bool {
        self.losses.contains_key(&layer)
    }

    /// The deletions that take a run of a layer, in order; `None` when it goes anyway.
    pub(super) fn takers(
        &self,
        reader: &IndexReader,
        layer: LayerId,
        run: u32,
    ) -> Result<Option<Vec<Case>>> {
        if self
            .settled
            .get(&layer)
            .map_or(Ok(false), |fate| takes(reader, fate, run))?
        {
            return Ok(None);
        }
        let mut takers = Vec::new();
        for (case, fate) in self.losses.get(&layer).into_iter().flatten() {
            if takes(reader, fate, run)? {
                takers.push(*case);
            }
        }
        Ok(Some(takers))
    }

    /// Adds what each layer has of something up over a disk's stack.
    pub(super) fn seen_through(&self, layer: LayerId, of_layer: &HashMap<LayerId, i64>) -> u64 {
        let chain = self.tree.chain(layer);
        let sum: i64 = chain.iter().filter_map(|id| of_layer.get(id)).sum();
        u64::try_from(sum).unwrap_or(0)
    }
}

/// Whether a run goes with its layer's fate.
fn takes(reader: &IndexReader, fate: &Fate, run: u32) -> Result<bool> {
    match fate {
        Fate::Keep => Ok(false),
        Fate::Drop => Ok(true),
        Fate::Merge(path) => Ok(reader.find_run(path, run)?.is_some()),
    }
}

/// Whether a domain may hold chunks of another: nothing crosses the border of an encrypted one.
fn reachable(
    reader: &IndexReader,
    of: Option<DomainId>,
) -> Result<impl Fn(DomainId) -> bool + use<>> {
    let sealed = |(_, row): &(DomainId, DomainRow)| matches!(row, DomainRow::Sealed(_));
    let sealed: HashSet<DomainId> = reader
        .domains()?
        .into_iter()
        .filter(sealed)
        .map(|(id, _)| id)
        .collect();
    Ok(move |domain: DomainId| {
        Some(domain) == of || {
            let plain = |id: &DomainId| !sealed.contains(id);
            of.as_ref().is_some_and(plain) && plain(&domain)
        }
    })
}
