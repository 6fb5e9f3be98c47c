//! What callers say of volumes and pools, and what they are told: plain values.

use crate::{DomainId, ScrubOptions, SnapshotId, VolumeId};

/// When data of a volume moves from the raw tier into containers. The stored form has room for other
/// ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packing {
    /// When there is time, at the latest when the raw tier fills up.
    #[default]
    Background,
}

impl Packing {
    /// The stored form.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Background => 1,
        }
    }

    /// Reads the stored form back.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Background),
            _ => None,
        }
    }
}

/// Whether what a volume holds is encrypted on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// It is not.
    #[default]
    None,
    /// With a key that belongs to the volume's domain, and is destroyed with the last volume and
    /// snapshot in it.
    DomainKey,
}

/// What a new volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeSpec {
    /// A multiple of 512, at most 64 TiB.
    pub size_bytes: u64,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
    /// When its data is packed.
    pub packing: Packing,
    /// Whether its data is encrypted: the same for all volumes of a domain.
    pub encryption: Encryption,
}

/// Which fingerprints are kept in memory, for equal chunks to be found by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fingerprints {
    /// One in 32, and the first of each container: they lead to the lists of whole containers.
    #[default]
    Sampled,
    /// Each, for 32 times the memory: equal chunks are found wherever they are, as long as the pool's
    /// share of memory has room for all.
    Full,
}

/// Settings of an open pool; the defaults serve a pool of a few TiB.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// Memory for all caches together, in bytes.
    pub memory_bytes: u64,
    /// Quota of the raw tier in bytes; `None` derives it from the file system's size.
    pub raw_tier_bytes: Option<u64>,
    /// Which fingerprints equal chunks are found by.
    pub fingerprints: Fingerprints,
    /// Start the packing, checkpoint and reclaim thread. Tests that step by hand say no.
    pub background: bool,
    /// How cold data is compressed again; `None` leaves it as it is.
    pub recompression: Option<Recompression>,
    /// Write zeroes ahead of small batches of the journal, so that most syncs change no file system
    /// metadata.
    pub prefill_journal: bool,
    /// When and how fast the pool is scrubbed.
    pub scrub: ScrubOptions,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            memory_bytes: 1 << 30,
            raw_tier_bytes: None,
            fingerprints: Fingerprints::default(),
            background: true,
            recompression: Some(Recompression::default()),
            prefill_journal: true,
            scrub: ScrubOptions::default(),
        }
    }
}

/// How hard the pool tries to store cold data smaller. Needs [`OpenOptions::background`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recompression {
    /// Seconds without a read after which data is cold.
    pub cold_after_s: u32,
    /// Share of one processor, 1 to 100.
    pub cpu_percent: u8,
}

impl Default for Recompression {
    /// Ten minutes, and a fifth.
    fn default() -> Self {
        Self {
            cold_after_s: 600,
            cpu_percent: 20,
        }
    }
}

/// How durable a write is when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Durable after the next flush.
    Buffered,
    /// Durable at once (NBD's FUA).
    Durable,
}

/// What zeroing leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroMode {
    /// A hole.
    Deallocate,
    /// Allocated zeroes (NBD's NO_HOLE).
    Allocate,
}

/// What a range of a volume is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentKind {
    /// Stored data.
    Data,
    /// Allocated, and known to read as zeroes.
    Zero,
    /// Never written or discarded; reads as zeroes.
    Hole,
}

/// A run of bytes of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Length in bytes.
    pub len: u64,
    /// What it is made of.
    pub kind: ExtentKind,
}

/// What the pool knows of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VolumeInfo {
    /// Its id.
    pub id: VolumeId,
    /// What the guest sees.
    pub size_bytes: u64,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
    /// Whether its data is encrypted.
    pub encryption: Encryption,
}

/// What the pool knows of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Its id.
    pub id: SnapshotId,
    /// The volume it was taken of, which may be gone.
    pub volume: VolumeId,
    /// Where equal chunks are looked for.
    pub domain: DomainId,
    /// Whether its data is encrypted.
    pub encryption: Encryption,
    /// The volume's size at that moment.
    pub size_bytes: u64,
    /// Microseconds since 1970.
    pub created_us: u64,
}
