//! Volumes as deduplicated, compressed, content-addressed chunks.
//!
//! The crate is synchronous: it knows no network, no async runtime and no HTTP. A [`Store`] is one
//! pool directory, opened through the [`disk::Io`] door. ARCHITECTURE.md has the format byte by byte.

mod addr;
mod buffers;
mod check;
mod checkpoint;
mod chunk;
mod cleanup;
mod clearing;
mod compact;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod damage_tests;
mod dedup;
mod difference;
pub mod disk;
mod disks;
mod dump;
mod encryption;
#[cfg(test)]
mod encryption_tests;
mod engine;
mod epoch;
mod error;
mod explain;
mod extent_map;
mod extents;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod fuzz_tests;
mod ids;
mod index;
mod journal;
mod keys;
mod layer;
#[cfg(test)]
mod load_tests;
mod maintain;
mod mark;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_checks;
mod open;
mod pace;
mod pack;
mod packer;
mod places;
mod pool_file;
#[cfg(test)]
mod race_tests;
mod read;
mod rebuild;
mod reclaim;
mod recompress;
mod relocate;
mod reserve;
mod room;
mod scrub;
mod sealer;
#[cfg(test)]
mod segment_tests;
mod shares;
#[cfg(test)]
mod simulation_tests;
mod spec;
mod state;
mod stats;
mod store;
mod structure;
mod write;

pub use check::{CheckReport, check};
pub use difference::{Difference, Differences};
pub use disks::{Snapshot, Volume};
pub use error::{Error, ErrorKind, Result};
pub use explain::{Disk, Explanation, Shared, SnapshotCost, Taken};
pub use ids::{DomainId, SnapshotId, VolumeId};
pub use rebuild::{LogUse, Rebuilt, RebuiltDisk, rebuild};
pub use scrub::{Affected, Damage, ScrubOptions, ScrubStatus, Verified};
pub use sealer::{SealError, Sealer};
pub use spec::{
    Durability, Encryption, Extent, ExtentKind, Fingerprints, OpenOptions, Packing, Recompression,
    SnapshotInfo, VolumeInfo, VolumeSpec, ZeroMode,
};
pub use stats::{PoolSpace, PoolStats, VolumeStats};
pub use store::{Store, VOLUME_BYTES_MAX};
