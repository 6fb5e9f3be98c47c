//! Adding up what the passes found.

use std::collections::{BTreeMap, HashMap};

use super::plan::{Case, Plan, SNAPSHOTS, TOGETHER, VOLUME};
use super::slots::{Class, ContainerSlots, Slots};
use super::{Disk, Explanation, Shared, SnapshotCost, Taken};
use crate::addr::{CHUNK_BYTES, CHUNK_SHIFT, ContainerId};
use crate::engine::Engine;
use crate::index::{LayerId, SnapshotRow, VolumeRow};
use crate::journal::poisoned;
use crate::pack::format::Directory;

/// Parts of a byte that shares are counted in, so that rounding does not add up.
const PARTS: u64 = 1024;

/// The sums.
pub(super) struct Report {
    frees: Vec<Sum>,
    holds: Sum,
    /// Chunks of the volume seen through a layer less those seen through its parent.
    shared: HashMap<LayerId, i64>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    chunks: u64,
    stored_parts: u64,
    raw_bytes: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.stored_parts += other.stored_parts;
        self.raw_bytes += other.raw_bytes;
    }

    fn taken(self) -> Taken {
        Taken {
            plain_bytes: self.chunks << CHUNK_SHIFT,
            stored_bytes: self.stored_parts / PARTS,
            raw_bytes: self.raw_bytes,
        }
    }
}

/// What the slots of a container take.
enum Sizes {
    /// It is not packed.
    Raw,
    /// All the same.
    Even(u64),
    /// Each its own, in parts.
    Each(Vec<u64>),
}

impl Sizes {
    fn of(&self, slot: u32) -> Sum {
        let stored = |stored_parts| Sum {
            chunks: 1,
            stored_parts,
            raw_bytes: 0,
        };
        match self {
            Self::Raw => Sum {
                chunks: 1,
                stored_parts: 0,
                raw_bytes: CHUNK_BYTES as u64,
            },
            Self::Even(parts) => stored(*parts),
            Self::Each(parts) => stored(parts.get(slot as usize).copied().unwrap_or(0)),
        }
    }
}

/// Divides a container of `len` bytes among its live slots: to each a part of its frame and of what
/// there is besides frames.
fn shares(directory: &Directory, len: u64) -> Vec<u64> {
    let live: u32 = directory.live.iter().map(|word| word.count_ones()).sum();
    let frames: u64 = directory
        .frames
        .iter()
        .map(|frame| u64::from(frame.len))
        .sum();
    let overhead = len.saturating_sub(frames) * PARTS / u64::from(live.max(1));
    let shift = u32::from(directory.header.frame_log2) - CHUNK_SHIFT;
    let mut shares = vec![0; directory.header.slots as usize];
    for (number, frame) in (0..).zip(&directory.frames) {
        let slots = number << shift..((number + 1) << shift).min(directory.header.slots);
        let live: Vec<u32> = slots.filter(|slot| directory.is_live(*slot)).collect();
        for slot in &live {
            shares[*slot as usize] = overhead + u64::from(frame.len) * PARTS / live.len() as u64;
        }
    }
    shares
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        let cases = usize::from(SNAPSHOTS) + plan.snapshots.len();
        Self {
            frees: vec![Sum::default(); cases],
            holds: Sum::default(),
            shared: HashMap::new(),
        }
    }

    pub(super) fn add_shared(&mut self, layer: LayerId, chunks: i64) {
        *self.shared.entry(layer).or_default() += chunks;
    }

    /// Adds what one pass found.
    pub(super) fn add(&mut self, engine: &Engine, plan: &Plan, slots: &Slots) {
        debug_assert_eq!(
            self.frees.len(),
            plan.snapshots.len() + usize::from(SNAPSHOTS)
        );
        for (id, container) in slots.iter() {
            let sizes = sizes(engine, id, container);
            for (slot, class, seen) in container.concerned() {
                let size = sizes.of(slot);
                if seen {
                    self.holds.add(size);
                }
                for case in slots.classes.set(class) {
                    self.frees[usize::from(*case)].add(size);
                }
            }
        }
    }

    fn frees(&self, case: Case) -> Taken {
        self.frees[usize::from(case)].taken()
    }

    pub(super) fn finish(self, plan: &Plan, row: VolumeRow, as_of_us: u64) -> Explanation {
        let bytes = |chunks: u64| chunks << CHUNK_SHIFT;
        let cost = |(case, (id, row)): (Case, &(_, SnapshotRow))| SnapshotCost {
            id: *id,
            created_us: row.created_us,
            referenced_bytes: bytes(plan.seen_through(row.layer, &plan.deltas)),
            frees: self.frees(case),
        };
        Explanation {
            id: plan.id,
            as_of_us,
            logical_bytes: row.size_bytes,
            referenced_bytes: bytes(plan.seen_through(row.head, &plan.deltas)),
            unique_bytes: self.holds.taken().plain_bytes,
            holds: self.holds.taken(),
            frees: self.frees(VOLUME),
            frees_with_snapshots: self.frees(TOGETHER),
            snapshots: (SNAPSHOTS..).zip(&plan.snapshots).map(cost).collect(),
            shared: self.shared_with(plan),
        }
    }

    fn shared_with(&self, plan: &Plan) -> Vec<Shared> {
        // Disks may rest on the same layer: each is worked out once.
        let mut of_layer: BTreeMap<LayerId, u64> = BTreeMap::new();
        let others = plan
            .disks
            .iter()
            .filter(|(disk, _)| **disk != Disk::Volume(plan.id));
        let mut shared: Vec<Shared> = others
            .map(|(disk, layer)| {
                let seen = || plan.seen_through(*layer, &self.shared);
                let chunks = *of_layer.entry(*layer).or_insert_with(seen);
                Shared {
                    with: *disk,
                    bytes: chunks << CHUNK_SHIFT,
                }
            })
            .filter(|shared| shared.bytes > 0)
            .collect();
        shared.sort_by_key(|shared| (std::cmp::Reverse(shared.bytes), shared.with));
        shared
    }
}

/// What the slots of a container take. One that is concerned as a whole needs no look into it.
fn sizes(engine: &Engine, id: ContainerId, container: &ContainerSlots) -> Sizes {
    let row = engine.places.read().expect(poisoned!()).get(id);
    let Some(row) = row else {
        return Sizes::Raw;
    };
    let met = container.met();
    let even = Sizes::Even(row.location.len() * PARTS / u64::from(met.max(1)));
    let mut classes = container.concerned().map(|(_, class, _)| class);
    let first = classes.next().unwrap_or(Class::UNMET);
    let whole = container.concerned().count() as u32 == u32::from(row.slots);
    if whole && classes.all(|class| class == first) {
        return even;
    }
    match engine.reader.directory(id, row.location.local()) {
        Ok(directory) => Sizes::Each(shares(&directory, row.location.len())),
        // It was moved or freed since the view was taken, or is damaged: an even share serves.
        Err(_) => even,
    }
}
