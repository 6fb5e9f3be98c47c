//! Volumes as deduplicated, compressed, content-addressed chunks.
//!
//! The crate is synchronous: it knows no network, no async runtime and no HTTP. A [`Store`] is one
//! pool directory, opened through the [`disk::Io`] door. ARCHITECTURE.md has the format byte by byte.

mod addr;
#[allow(dead_code, reason = "not every layer of the engine uses all of it yet")]
mod chunk;
#[allow(dead_code, reason = "not every layer of the engine uses all of it yet")]
mod dedup;
pub mod disk;
mod error;
#[allow(
    dead_code,
    reason = "not every layer of the engine uses all of the map yet"
)]
mod extent_map;
mod ids;
#[allow(
    dead_code,
    unused_imports,
    reason = "not every layer of the engine uses all of the index yet"
)]
mod index;
#[allow(dead_code, reason = "not every layer of the engine uses all of it yet")]
mod pack;
mod stats;
mod store;

pub use error::{Error, ErrorKind, Result};
pub use ids::{DomainId, SnapshotId, VolumeId};
pub use stats::{PoolStats, VolumeStats};
pub use store::{
    Durability, Extent, ExtentKind, OpenOptions, Packing, Snapshot, SnapshotInfo, Store, Volume,
    VolumeInfo, VolumeSpec, ZeroMode,
};
