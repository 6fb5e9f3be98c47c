//! Directories of containers that are kept in memory.
//!
//! The cache is weighted in bytes, fills on demand and resists scans. A directory is kept under the
//! container and its place, so that one that has moved is never read with the old offsets.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::LocalPlace;
use super::format::Directory;
use crate::addr::ContainerId;

/// Estimated bytes an entry takes besides its value.
const ENTRY_BYTES: u64 = 64;
/// Entries to make room for at first; the cache grows as it fills.
const ENTRIES_AT_FIRST: usize = 1024;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct DirectoryKey {
    container: ContainerId,
    pack: u64,
    offset: u64,
}

#[derive(Clone)]
struct DirectoryBytes;

impl Weighter<DirectoryKey, Arc<Directory>> for DirectoryBytes {
    fn weight(&self, _: &DirectoryKey, directory: &Arc<Directory>) -> u64 {
        directory.weight_bytes() as u64 + ENTRY_BYTES
    }
}

/// Directories of containers.
pub(crate) struct DirectoryCache {
    kept: Cache<DirectoryKey, Arc<Directory>, DirectoryBytes>,
}

impl DirectoryCache {
    /// A cache of at most `memory_bytes`.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        Self {
            kept: Cache::with_weighter(ENTRIES_AT_FIRST, memory_bytes, DirectoryBytes),
        }
    }

    fn key(container: ContainerId, place: &LocalPlace) -> DirectoryKey {
        DirectoryKey {
            container,
            pack: place.pack,
            offset: place.offset,
        }
    }

    /// The directory of the container as it is at `place`, if it is here.
    pub(crate) fn get(&self, container: ContainerId, place: &LocalPlace) -> Option<Arc<Directory>> {
        self.kept.get(&Self::key(container, place))
    }

    /// Keeps a directory.
    pub(crate) fn insert(&self, place: &LocalPlace, directory: Arc<Directory>) {
        self.kept
            .insert(Self::key(directory.header.id, place), directory);
    }

    /// Memory taken by what is kept.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.kept.weight()
    }
}
