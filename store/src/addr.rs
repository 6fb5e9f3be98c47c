//! Stable addresses of chunks: a container id and a slot, six bytes in a map.
//!
//! A container is logical: 1024 slots of 4 KiB. It lives in a pack file, or it is a 4 MiB window of
//! a journal segment. Ids are never used twice, so an address means the same bytes for ever.

use std::fmt;

/// Unit of deduplication and of the volume map, in bytes.
pub(crate) const CHUNK_BYTES: usize = 4096;
/// [`CHUNK_BYTES`] as a shift.
pub(crate) const CHUNK_SHIFT: u32 = 12;
/// Slots of a container.
pub(crate) const CONTAINER_SLOTS: u32 = 1024;
/// Largest container id that fits an address (38 bits).
pub(crate) const CONTAINER_ID_MAX: u64 = (1 << 38) - 1;

const SLOT_BITS: u32 = 10;

/// Name of a logical container; 0 is never given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContainerId(pub(crate) u64);

/// Where a chunk is, or that there is none. The value fits 48 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Address(u64);

impl Address {
    /// Never written, or discarded.
    pub(crate) const HOLE: Self = Self(0);
    /// Allocated, reads as zeroes.
    pub(crate) const ZERO: Self = Self(1);

    /// The address of a slot of a container.
    pub(crate) fn new(container: ContainerId, slot: u32) -> Self {
        debug_assert!(container.0 > 0 && container.0 <= CONTAINER_ID_MAX && slot < CONTAINER_SLOTS);
        Self(container.0 << SLOT_BITS | u64::from(slot))
    }

    /// The address stored as `raw`; `None` if it is none.
    pub(crate) fn from_raw(raw: u64) -> Option<Self> {
        let data = raw >> SLOT_BITS != 0 && raw >> SLOT_BITS <= CONTAINER_ID_MAX;
        (raw <= 1 || data).then_some(Self(raw))
    }

    /// The stored form.
    pub(crate) fn raw(self) -> u64 {
        self.0
    }

    /// Whether there is a chunk behind it, as opposed to a hole or zeroes.
    pub(crate) fn is_data(self) -> bool {
        self.0 > 1
    }

    /// The container; meaningful for data only.
    pub(crate) fn container(self) -> ContainerId {
        debug_assert!(self.is_data());
        ContainerId(self.0 >> SLOT_BITS)
    }

    /// The slot; meaningful for data only.
    pub(crate) fn slot(self) -> u32 {
        debug_assert!(self.is_data());
        (self.0 & u64::from(CONTAINER_SLOTS - 1)) as u32
    }

    /// The address `chunks` further on. Data addresses run on through the slots of consecutive
    /// containers, as the windows of a journal segment do; a hole stays a hole, zeroes stay zeroes.
    pub(crate) fn advance(self, chunks: u64) -> Self {
        if self.is_data() {
            Self(self.0 + chunks)
        } else {
            self
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::HOLE => f.write_str("hole"),
            Self::ZERO => f.write_str("zero"),
            data => write!(f, "{}:{}", data.container().0, data.slot()),
        }
    }
}
