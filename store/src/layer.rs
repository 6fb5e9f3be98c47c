//! Layers in memory: what was written since the last checkpoint, and the stack a disk is made of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::DomainId;
use crate::addr::Address;
use crate::extent_map::{ExtentMap, Piece};
use crate::index::LayerId;
use crate::journal::poisoned;
use crate::keys::Sealing;

/// How often a quiet layer of this process was changed: whatever was found quiet is so while this is
/// what it was.
static AWOKEN: AtomicU64 = AtomicU64::new(0);

/// Changes of one layer that are in the journal and not yet in the index.
#[derive(Default)]
struct Overlay {
    /// Since the last cut.
    active: ExtentMap,
    /// Up to the last cut, while its checkpoint is being written.
    frozen: Option<Arc<ExtentMap>>,
}

/// What changed between two snapshots of a volume, or since the last.
pub(crate) struct Layer {
    pub(crate) id: LayerId,
    pub(crate) domain: DomainId,
    /// Of an encrypted domain: what its data is sealed with.
    pub(crate) sealing: Option<Arc<Sealing>>,
    overlay: RwLock<Overlay>,
    /// Whether the overlay may hold anything: lets reads pass quiet layers without the lock.
    touched: AtomicBool,
}

impl Layer {
    pub(crate) fn new(id: LayerId, domain: DomainId, sealing: Option<Arc<Sealing>>) -> Arc<Self> {
        let (overlay, touched) = (RwLock::default(), AtomicBool::new(false));
        Arc::new(Self {
            id,
            domain,
            sealing,
            overlay,
            touched,
        })
    }

    /// Runs `append` and maps the chunks to the address it gives, in one step as seen by others, so
    /// that the order in the journal and the order in memory are the same. Says by how many ranges the
    /// overlay grew.
    pub(crate) fn change<E>(
        &self,
        first_chunk: u64,
        chunks: u64,
        append: impl FnOnce() -> Result<Address, E>,
    ) -> Result<i64, E> {
        let mut overlay = self.overlay.write().expect(poisoned!());
        let first = append()?;
        let before = overlay.active.len() as i64;
        overlay.active.insert(first_chunk, chunks, first);
        if !self.touched.load(Ordering::Relaxed) {
            self.touched.store(true, Ordering::Release);
            // Whoever sees this sees the layer touched.
            AWOKEN.fetch_add(1, Ordering::Release);
        }
        Ok(overlay.active.len() as i64 - before)
    }

    /// Whether the overlay may hold anything.
    fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }

    /// Calls `found` for the parts of a range that the overlay covers, newest first: a later call
    /// must not replace what an earlier one gave.
    pub(crate) fn pieces(&self, start: u64, len: u64, mut found: impl FnMut(Piece)) {
        if !self.is_touched() {
            return;
        }
        let overlay = self.overlay.read().expect(poisoned!());
        overlay.active.pieces(start, len).for_each(&mut found);
        if let Some(frozen) = &overlay.frozen {
            frozen.pieces(start, len).for_each(&mut found);
        }
    }

    /// As [`Self::pieces`], but only what comes first since the last cut, and before it: enough to
    /// tell what the start of the range is and how far.
    pub(crate) fn first_pieces(&self, start: u64, len: u64, mut found: impl FnMut(Piece)) {
        if !self.is_touched() {
            return;
        }
        let overlay = self.overlay.read().expect(poisoned!());
        overlay
            .active
            .pieces(start, len)
            .take(1)
            .for_each(&mut found);
        if let Some(frozen) = &overlay.frozen {
            frozen.pieces(start, len).take(1).for_each(&mut found);
        }
    }

    /// The end of `first..last`, or of its part that meets no more than so many ranges changed since
    /// the last cut.
    pub(crate) fn end_of_ranges(&self, first: u64, last: u64, ranges: usize) -> u64 {
        let overlay = self.overlay.read().expect(poisoned!());
        let beyond = overlay.active.pieces(first, last - first).nth(ranges);
        beyond.map_or(last, |piece| piece.start)
    }

    /// Ranges changed since the last cut.
    pub(crate) fn ranges(&self) -> usize {
        self.overlay.read().expect(poisoned!()).active.len()
    }

    /// Sets aside all changes for a checkpoint; `None` when there are none.
    pub(crate) fn freeze(&self) -> Option<Arc<ExtentMap>> {
        if !self.is_touched() {
            return None;
        }
        let mut overlay = self.overlay.write().expect(poisoned!());
        debug_assert!(overlay.frozen.is_none(), "one checkpoint at a time");
        if overlay.active.is_empty() {
            return None;
        }
        let frozen = Arc::new(std::mem::take(&mut overlay.active));
        overlay.frozen = Some(Arc::clone(&frozen));
        Some(frozen)
    }

    /// Drops what a checkpoint has put into the index.
    pub(crate) fn thaw(&self) {
        let mut overlay = self.overlay.write().expect(poisoned!());
        overlay.frozen = None;
        self.touched
            .store(!overlay.active.is_empty(), Ordering::Release);
    }
}

/// The layers of a disk, newest first.
pub(crate) struct Chain {
    pub(crate) layers: Vec<Arc<Layer>>,
    pub(crate) ids: Vec<LayerId>,
    /// From which layer on all were quiet, below [`QUIET_BITS`] of how often one was awoken by then.
    quiet: AtomicU64,
}

/// Bits of the depth of a chain.
const QUIET_BITS: u32 = 24;

impl Chain {
    pub(crate) fn new(layers: Vec<Arc<Layer>>) -> Arc<Self> {
        let ids = layers.iter().map(|layer| layer.id).collect();
        // Not a count that is: nothing is known of its layers.
        let quiet = AtomicU64::new(u64::MAX);
        Arc::new(Self { layers, ids, quiet })
    }

    /// The layers down to the last whose overlay may hold anything. Below a volume there may be
    /// hundreds of snapshots, which nobody changes.
    pub(crate) fn restless(&self) -> &[Arc<Layer>] {
        let awoken = AWOKEN.load(Ordering::Acquire) << QUIET_BITS >> QUIET_BITS;
        let seen = self.quiet.load(Ordering::Acquire);
        if seen >> QUIET_BITS == awoken {
            let depth = (seen & ((1 << QUIET_BITS) - 1)) as usize;
            return self.layers.get(..depth).unwrap_or(&self.layers);
        }
        let last = self.layers.iter().rposition(|layer| layer.is_touched());
        let depth = last.map_or(0, |last| last + 1);
        if depth >> QUIET_BITS == 0 {
            let now = (awoken << QUIET_BITS) | depth as u64;
            self.quiet.store(now, Ordering::Release);
        }
        &self.layers[..depth]
    }

    /// The layer that takes writes.
    pub(crate) fn head(&self) -> &Arc<Layer> {
        self.layers.first().expect("a chain has a head")
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::{Chain, Layer};
    use crate::DomainId;
    use crate::addr::{Address, ContainerId};
    use crate::index::LayerId;

    fn change(layer: &Layer) {
        let append = || Ok::<_, Infallible>(Address::new(ContainerId(1), 0));
        layer.change(7, 1, append).unwrap();
    }

    #[test]
    fn a_chain_is_looked_at_down_to_its_last_restless_layer() {
        let layer = |id| Layer::new(LayerId(id), DomainId(Uuid::nil()), None);
        let layers: Vec<Arc<Layer>> = (0..300).rev().map(layer).collect();
        let chain = Chain::new(layers.clone());
        let depth = |expected: usize| {
            // What is known by now included.
            for _ in 0..2 {
                assert_eq!(chain.restless().len(), expected);
            }
        };
        depth(0);
        change(&layers[0]);
        depth(1);
        // By another chain that shares it.
        change(&layers[200]);
        depth(201);
        let cut = layers[200].freeze();
        assert!(cut.is_some());
        depth(201);
        layers[200].thaw();
        // It may be noticed late that one is quiet, but never that one is not.
        assert!([1, 201].contains(&chain.restless().len()));
        change(&layers[0]);
        change(&layers[2]);
        depth(3);
        layers[0].freeze();
        change(&layers[0]);
        layers[0].thaw();
        change(&layers[1]);
        depth(3);
    }
}
