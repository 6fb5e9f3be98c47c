//! What the read path keeps in memory: decoded frames and directories of containers.
//!
//! Both caches are weighted in bytes, fill on demand and resist scans. A directory is kept under the
//! container and its place, so that one that has moved is never read with the old offsets. Frames
//! need no place: a container's slots hold the same bytes wherever it lies.

use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter};

use super::LocalPlace;
use super::format::Directory;
use crate::addr::ContainerId;

/// Estimated bytes an entry takes besides its value.
const ENTRY_BYTES: u64 = 64;
/// Entries to make room for at first; the caches grow as they fill.
const ENTRIES_AT_FIRST: usize = 1024;

/// A frame of a container; its size is part of the name, as it may change when a container moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FrameKey {
    /// The container.
    pub(crate) container: ContainerId,
    /// The frame's number in it.
    pub(crate) frame: u32,
    /// Size of a frame as a power of two.
    pub(crate) frame_log2: u8,
}

#[derive(Clone)]
struct FrameBytes;

impl Weighter<FrameKey, Arc<[u8]>> for FrameBytes {
    fn weight(&self, _: &FrameKey, frame: &Arc<[u8]>) -> u64 {
        frame.len() as u64 + ENTRY_BYTES
    }
}

/// Hands back a frame that made room for another, as its memory is worth using again.
#[derive(Clone, Default)]
struct HandBack;

impl Lifecycle<FrameKey, Arc<[u8]>> for HandBack {
    type RequestState = Option<Arc<[u8]>>;

    fn on_evict(&self, evicted: &mut Self::RequestState, _: FrameKey, frame: Arc<[u8]>) {
        *evicted = Some(frame);
    }
}

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

/// Decoded frames.
pub(crate) struct FrameCache {
    kept: Cache<FrameKey, Arc<[u8]>, FrameBytes, DefaultHashBuilder, HandBack>,
}

impl FrameCache {
    /// A cache of at most `memory_bytes`.
    pub(crate) fn new(memory_bytes: u64) -> Self {
        Self {
            kept: Cache::with(
                ENTRIES_AT_FIRST,
                memory_bytes,
                FrameBytes,
                DefaultHashBuilder::default(),
                HandBack,
            ),
        }
    }

    /// The frame, if it is here.
    pub(crate) fn get(&self, key: &FrameKey) -> Option<Arc<[u8]>> {
        self.kept.get(key)
    }

    /// Keeps a frame; returns one that is not kept any more, if there is one.
    pub(crate) fn insert(&self, key: FrameKey, frame: Arc<[u8]>) -> Option<Arc<[u8]>> {
        let mut evicted = None;
        self.kept.insert_with_lifecycle(key, frame, &mut evicted);
        evicted
    }

    /// Memory taken by what is kept.
    pub(crate) fn weight_bytes(&self) -> u64 {
        self.kept.weight()
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
