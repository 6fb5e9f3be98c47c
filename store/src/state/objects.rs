//! What the state is made of: volumes, snapshots and layers, each by itself.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::index::{LayerId, LayerState};
use crate::journal::poisoned;
use crate::layer::{Chain, Layer};
use crate::read::Source;
use crate::{DomainId, Encryption, Packing, SnapshotId, VolumeId, VolumeSpec};

/// Traffic since the pool was opened.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) read_bytes: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) read_ops: AtomicU64,
    pub(crate) write_ops: AtomicU64,
    pub(crate) flushes: AtomicU64,
    /// Reads for which the disk had to be waited for.
    pub(crate) disk_reads: AtomicU64,
}

impl Counters {
    /// Counts a read by where its bytes came from.
    pub(crate) fn note_source(&self, source: Source) {
        if source == Source::Disk {
            self.disk_reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A writable disk.
pub(crate) struct VolumeState {
    pub(crate) id: VolumeId,
    pub(crate) domain: DomainId,
    pub(crate) encryption: Encryption,
    pub(crate) packing: Packing,
    pub(super) size_bytes: AtomicU64,
    /// Shared by writes of whole chunks; alone for writes that read first, and for cuts.
    pub(crate) gate: RwLock<()>,
    pub(super) chain: RwLock<Arc<Chain>>,
    pub(super) gone: AtomicBool,
    pub(crate) counters: Counters,
}

impl VolumeState {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.chain.read().expect(poisoned!()))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(crate) fn spec(&self) -> VolumeSpec {
        VolumeSpec {
            size_bytes: self.size_bytes(),
            domain: self.domain,
            packing: self.packing,
            encryption: self.encryption,
        }
    }
}

/// A frozen disk.
pub(crate) struct SnapshotState {
    pub(crate) id: SnapshotId,
    pub(crate) volume: VolumeId,
    pub(crate) layer: LayerId,
    pub(crate) size_bytes: u64,
    pub(crate) created_us: u64,
    pub(super) chain: RwLock<Arc<Chain>>,
    pub(super) gone: AtomicBool,
}

impl SnapshotState {
    pub(crate) fn chain(&self) -> Arc<Chain> {
        Arc::clone(&self.chain.read().expect(poisoned!()))
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }
}

/// A layer and its place in the tree.
pub(crate) struct LayerEntry {
    pub(crate) layer: Arc<Layer>,
    pub(crate) parent: Option<LayerId>,
    /// Data chunks seen through this layer less those seen through its parent.
    pub(crate) delta_chunks: i64,
    /// The layers on top of it.
    pub(crate) children: BTreeSet<LayerId>,
    pub(super) is_head: bool,
    pub(super) is_snapshot: bool,
}

impl LayerEntry {
    pub(super) fn new(layer: Arc<Layer>, parent: Option<LayerId>, delta_chunks: i64) -> Self {
        Self {
            layer,
            parent,
            delta_chunks,
            children: BTreeSet::new(),
            is_head: false,
            is_snapshot: false,
        }
    }

    /// What the layer is to the outside.
    pub(crate) fn role(&self) -> LayerState {
        if self.is_head {
            LayerState::Open
        } else if self.is_snapshot {
            LayerState::Frozen
        } else if self.children.is_empty() {
            LayerState::Dropping
        } else {
            LayerState::Hidden
        }
    }
}
