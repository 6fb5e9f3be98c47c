//! Who refers to chunks: the runs and forwarding rows that name them, and the disks that show them.
//!
//! A walk over all of the map, made when there is damage only. Memory is bounded: what goes beyond is
//! not listed, and that is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT, CONTAINER_SLOTS, ContainerId};
use crate::engine::Engine;
use crate::index::{IndexRead, LayerId, RUN_CHUNKS};
use crate::journal::poisoned;
use crate::layer::Chain;
use crate::scrub::{Affected, Damage, Round};
use crate::{Result, SnapshotId, VolumeId};

/// Chunks of the map listed at most.
const HITS_MAX: usize = 1 << 16;
/// Ranges listed at most.
const RANGES_MAX: usize = 256;
/// Runs read at once.
const RUNS_AT_ONCE: usize = 512;
/// Forwarding rows read at once.
const FORWARDS_AT_ONCE: usize = 64;
/// Chunks of the largest volume there can be.
const CHUNKS_MAX: u64 = crate::VOLUME_BYTES_MAX >> CHUNK_SHIFT;

/// Slots of containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(HashMap<ContainerId, [u64; CONTAINER_SLOTS as usize / 64]>);

impl Wanted {
    pub(super) fn add(&mut self, address: Address) {
        self.add_slot(address.container(), address.slot());
    }

    pub(super) fn add_slot(&mut self, container: ContainerId, slot: u32) {
        let words = self.0.entry(container).or_default();
        words[slot as usize / 64] |= 1 << (slot % 64);
    }

    pub(super) fn has(&self, address: Address) -> bool {
        address.is_data() && self.has_slot(address.container(), address.slot())
    }

    pub(super) fn has_slot(&self, container: ContainerId, slot: u32) -> bool {
        let words = self.0.get(&container);
        words.is_some_and(|words| words[slot as usize / 64] >> (slot % 64) & 1 == 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = |words: &[u64]| words.iter().map(|word| word.count_ones()).sum::<u32>();
        let sorted: BTreeMap<u64, u32> = self.0.iter().map(|(id, w)| (id.0, slots(w))).collect();
        for (index, (id, count)) in sorted.iter().take(8).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} slots of container {id}")?;
        }
        match sorted.len() {
            0..=8 => Ok(()),
            more => write!(f, " and {} more containers", more - 8),
        }
    }
}

/// What names some chunks.
#[derive(Default)]
pub(super) struct References {
    /// Chunks of layers, in overlays too.
    pub(super) chunks: BTreeSet<(LayerId, u64)>,
    /// Windows whose forwarding rows lead there.
    pub(super) windows: Vec<ContainerId>,
    /// Whether there are more than are listed.
    pub(super) more: bool,
}

impl References {
    fn add(&mut self, layer: LayerId, chunk: u64) {
        if self.chunks.len() < HITS_MAX {
            self.chunks.insert((layer, chunk));
        } else {
            self.more = true;
        }
    }

    /// The runs that the chunks are in.
    pub(super) fn runs(&self) -> BTreeSet<(LayerId, u32)> {
        let run = |(layer, chunk): &(LayerId, u64)| (*layer, (chunk / RUN_CHUNKS) as u32);
        self.chunks.iter().map(run).collect()
    }
}

/// A disk as far as its addresses are asked for.
struct Shown {
    volume: VolumeId,
    snapshot: Option<SnapshotId>,
    size_bytes: u64,
    chain: std::sync::Arc<Chain>,
}

impl Engine {
    /// Notes damage in a round together with the disks that cannot be read for it.
    pub(super) fn tell_of(
        &self,
        round: &mut Round,
        message: String,
        wanted: &Wanted,
    ) -> Result<()> {
        let references = self.references(wanted)?;
        let (affected, more) = self.affected(wanted, &references)?;
        round.found.push(Damage {
            message,
            affected,
            more,
            repaired: false,
        });
        Ok(())
    }

    /// The lowest layer from `from` on.
    pub(super) fn layer_from(&self, from: LayerId) -> Option<LayerId> {
        let state = self.state.read().expect(poisoned!());
        state.layers.range(from..).next().map(|(id, _)| *id)
    }

    /// Finds all that names some chunks, directly or through the packing of a window.
    pub(super) fn references(&self, wanted: &Wanted) -> Result<References> {
        let mut references = References::default();
        let mut wanted = wanted.clone();
        self.add_forwarded(&mut wanted, &mut references)?;
        let mut next = Some(LayerId(0));
        while let Some(layer) = next.and_then(|from| self.layer_from(from)) {
            self.in_overlay(layer, &wanted, &mut references);
            self.in_runs(layer, &wanted, &mut references)?;
            next = layer.0.checked_add(1).map(LayerId);
        }
        Ok(references)
    }

    /// Adds the slots of packed windows that lead to what is wanted.
    fn add_forwarded(&self, wanted: &mut Wanted, references: &mut References) -> Result<()> {
        let windows = self.index.read()?.forwards()?;
        for part in windows.chunks(FORWARDS_AT_ONCE) {
            let reader = self.index.read()?;
            for window in part {
                let Some(row) = reader.forward(*window)? else {
                    continue;
                };
                let slots = 0..CONTAINER_SLOTS;
                let hits: Vec<u32> = slots.filter(|slot| wanted.has(row.get(*slot))).collect();
                if !hits.is_empty() {
                    references.windows.push(*window);
                }
                for slot in hits {
                    wanted.add_slot(*window, slot);
                }
            }
        }
        Ok(())
    }

    fn in_overlay(&self, layer: LayerId, wanted: &Wanted, references: &mut References) {
        let found = {
            let state = self.state.read().expect(poisoned!());
            state.layers.get(&layer).map(|entry| entry.layer.clone())
        };
        let Some(found) = found else { return };
        found.pieces(0, CHUNKS_MAX, |piece| {
            if !piece.first.is_data() {
                return;
            }
            for index in 0..piece.len {
                if wanted.has(piece.first.advance(index)) {
                    references.add(layer, piece.start + index);
                }
            }
        });
    }

    fn in_runs(&self, layer: LayerId, wanted: &Wanted, references: &mut References) -> Result<()> {
        let mut from = 0;
        loop {
            let runs = self.index.read()?.layer_runs(layer, from, RUNS_AT_ONCE)?;
            for (number, run) in &runs {
                for (index, address) in (0..).zip(run.iter()) {
                    if wanted.has(address) {
                        references.add(layer, u64::from(*number) * RUN_CHUNKS + index);
                    }
                }
            }
            match runs.last() {
                Some((last, _)) if runs.len() == RUNS_AT_ONCE && *last < u32::MAX => {
                    from = last + 1;
                }
                _ => return Ok(()),
            }
        }
    }

    /// The ranges of disks that show some chunks, and whether there are more.
    fn affected(&self, wanted: &Wanted, references: &References) -> Result<(Vec<Affected>, bool)> {
        let mut affected: Vec<Affected> = Vec::new();
        let mut more = references.more;
        for disk in self.shown() {
            let mut chunks = BTreeSet::new();
            for layer in &disk.chain.ids {
                let of_layer = references.chunks.range((*layer, 0)..=(*layer, u64::MAX));
                chunks.extend(of_layer.map(|(_, chunk)| *chunk));
            }
            for chunk in chunks {
                if chunk << CHUNK_SHIFT >= disk.size_bytes || !self.shows(&disk, chunk, wanted)? {
                    continue;
                }
                more |= !push_range(&mut affected, &disk, chunk);
            }
        }
        Ok((affected, more))
    }

    /// All disks there are.
    fn shown(&self) -> Vec<Shown> {
        let state = self.state.read().expect(poisoned!());
        let volumes = state.volumes.values().map(|volume| Shown {
            volume: volume.id,
            snapshot: None,
            size_bytes: volume.size_bytes(),
            chain: volume.chain(),
        });
        let snapshots = state.snapshots.values().map(|snapshot| Shown {
            volume: snapshot.volume,
            snapshot: Some(snapshot.id),
            size_bytes: snapshot.size_bytes,
            chain: snapshot.chain(),
        });
        volumes.chain(snapshots).collect()
    }

    /// Whether a disk's chunk is one of those, and not hidden by a newer layer.
    fn shows(&self, disk: &Shown, chunk: u64, wanted: &Wanted) -> Result<bool> {
        let _guard = self.epochs.enter();
        let mut found = [Address::HOLE];
        self.resolve(&disk.chain, chunk, &mut found)?;
        let [address] = found;
        if wanted.has(address) {
            return Ok(true);
        }
        // One that leads to nothing is wanted as it is, if at all.
        Ok(address.is_data()
            && self
                .settled(address)
                .is_ok_and(|settled| wanted.has(settled)))
    }
}

/// Adds a chunk to the last range or behind it; `false` when there is no room for another.
fn push_range(affected: &mut Vec<Affected>, disk: &Shown, chunk: u64) -> bool {
    let offset = chunk << CHUNK_SHIFT;
    let len = (disk.size_bytes - offset).min(CHUNK_BYTES as u64);
    let same = |last: &&mut Affected| {
        (last.volume, last.snapshot) == (disk.volume, disk.snapshot)
            && last.offset + last.len == offset
    };
    if let Some(last) = affected.last_mut().filter(same) {
        last.len += len;
        return true;
    }
    if affected.len() == RANGES_MAX {
        return false;
    }
    affected.push(Affected {
        volume: disk.volume,
        snapshot: disk.snapshot,
        offset,
        len,
    });
    true
}
