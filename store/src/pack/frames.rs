//! Decoded frames that are kept in memory.
//!
//! They lie in slabs, in the order in which they were decoded, and leave slab by slab, so that the
//! memory of a slab is free at once for the next or for a batch of the journal. The oldest slab goes
//! first, unless its frames were asked for often since it was filled: then it has another turn. What
//! is asked for while its slab is being filled counts for nothing, so that a scan in small reads does
//! not pass for use. Frames need no place in their name: slots that live hold the same bytes wherever
//! their container lies. Where it has been compacted meanwhile a frame may have lost what was dead.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use quick_cache::DefaultHashBuilder;

use crate::addr::ContainerId;
use crate::buffers::Buffers;
use crate::buffers::slab::{self, Slab};
use crate::journal::poisoned;

/// Parts of the table, each with its own lock.
const SHARDS: usize = 16;

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

/// What is noted about a slab of frames.
pub(crate) struct Noted {
    /// Frames in it that the cache knows, until the slab leaves the cache.
    keys: Mutex<Option<Vec<FrameKey>>>,
    /// How often it was of use since it was last asked to go.
    hits: AtomicU32,
}

impl Noted {
    fn new() -> Self {
        Self {
            keys: Mutex::new(Some(Vec::new())),
            hits: AtomicU32::new(0),
        }
    }
}

/// Memory for a frame.
pub(crate) type Piece = slab::Piece<Noted>;
/// A frame.
pub(crate) type Plain = slab::Plain<Noted>;

type Shard = RwLock<HashMap<FrameKey, Plain, DefaultHashBuilder>>;

/// Decoded frames.
pub(crate) struct FrameCache {
    shards: [Shard; SHARDS],
    hasher: DefaultHashBuilder,
    /// Where memory comes from: the pool's common buffers, or own ones where those are too large.
    buffers: Arc<Buffers>,
    own_buffers: bool,
    slabs: Mutex<Slabs>,
    /// Bytes of all slabs.
    held_bytes: AtomicUsize,
    limit_bytes: AtomicUsize,
}

#[derive(Default)]
struct Slabs {
    /// The one that is being filled.
    current: Option<Arc<Slab<Noted>>>,
    /// Full ones, the next to go first.
    full: VecDeque<Arc<Slab<Noted>>>,
}

impl FrameCache {
    /// A cache of at most `limit_bytes`, which is also the least that it will ever be limited to.
    pub(crate) fn new(common: &Arc<Buffers>, limit_bytes: u64) -> Self {
        let own = common.smaller(limit_bytes, limit_bytes);
        Self {
            shards: Default::default(),
            hasher: DefaultHashBuilder::default(),
            own_buffers: own.is_some(),
            buffers: own.unwrap_or_else(|| Arc::clone(common)),
            slabs: Mutex::default(),
            held_bytes: AtomicUsize::new(0),
            limit_bytes: AtomicUsize::new(limit_bytes as usize),
        }
    }

    /// Bytes of memory that frames take.
    pub(crate) fn held_bytes(&self) -> u64 {
        let held = self.held_bytes.load(Ordering::Relaxed) as u64;
        held.max(self.own_bytes())
    }

    /// Those that are not the common buffers'.
    pub(crate) fn own_bytes(&self) -> u64 {
        match self.own_buffers {
            true => self.buffers.held_bytes(),
            false => 0,
        }
    }

    /// Takes so many bytes at most from now on.
    pub(crate) fn limit(&self, bytes: u64) {
        self.limit_bytes.store(bytes as usize, Ordering::Relaxed);
        if self.is_beyond(0) {
            let mut slabs = self.slabs.lock().expect(poisoned!());
            while self.is_beyond(0) && self.give_up_one(&mut slabs) {}
        }
        if self.own_buffers {
            self.buffers.limit(bytes);
        }
    }

    /// Whether `bytes` more would be too many.
    fn is_beyond(&self, bytes: usize) -> bool {
        let held = self.held_bytes.load(Ordering::Relaxed);
        held + bytes > self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Whether frames can be kept without giving up others.
    pub(crate) fn has_room(&self) -> bool {
        !self.is_beyond(self.buffers.buffer_bytes()) && self.buffers.has_room()
    }

    fn shard(&self, key: &FrameKey) -> &Shard {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// The frames that are here, sorted.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<FrameKey> {
        let of = |shard: &Shard| Vec::from_iter(shard.read().unwrap().keys().copied());
        let mut names: Vec<FrameKey> = self.shards.iter().flat_map(of).collect();
        names.sort_unstable_by_key(|key| (key.container, key.frame));
        names
    }

    /// Whether the frame is here.
    pub(crate) fn has(&self, key: &FrameKey) -> bool {
        let shard = self.shard(key).read().expect(poisoned!());
        shard.contains_key(key)
    }

    /// The frame, if it is here.
    pub(crate) fn get(&self, key: &FrameKey) -> Option<Plain> {
        let shard = self.shard(key).read().expect(poisoned!());
        let plain = shard.get(key)?.clone();
        drop(shard);
        plain.slab().about.hits.fetch_add(1, Ordering::Relaxed);
        Some(plain)
    }

    /// Memory for a frame of `len` bytes, with anything in it.
    pub(crate) fn piece(&self, len: usize) -> Piece {
        let mut slabs = self.slabs.lock().expect(poisoned!());
        loop {
            if let Some(slab) = &slabs.current
                && let Some(piece) = slab.cut(len)
            {
                return piece;
            }
            let full = slabs.current.take();
            while !self.has_room() && self.give_up_one(&mut slabs) {}
            if let Some(full) = full {
                full.about.hits.store(0, Ordering::Relaxed);
                slabs.full.push_back(full);
            }
            // The one that has just been filled, where there is no other.
            while !self.has_room() && self.give_up_one(&mut slabs) {}
            let mut buffer = self.buffers.take();
            // Larger than a slab where memory is very small.
            buffer.reserve(len);
            let slab = Slab::new(buffer, Noted::new());
            self.held_bytes.fetch_add(slab.bytes(), Ordering::Relaxed);
            slabs.current = Some(slab);
        }
    }

    /// Keeps a frame, unless it is here already.
    pub(crate) fn insert(&self, key: FrameKey, piece: Piece) {
        let plain = piece.freeze();
        let slab = Arc::clone(plain.slab());
        let mut keys = slab.about.keys.lock().expect(poisoned!());
        // A slab that has left already takes its frames with it.
        if let Some(keys) = &mut *keys {
            let mut shard = self.shard(&key).write().expect(poisoned!());
            if let Entry::Vacant(place) = shard.entry(key) {
                place.insert(plain);
                keys.push(key);
            }
        }
    }

    /// Lets go of the slab that is needed least; `false` when there is none.
    fn give_up_one(&self, slabs: &mut Slabs) -> bool {
        for _ in 0..slabs.full.len() {
            let Some(slab) = slabs.full.pop_front() else {
                break;
            };
            let frames = slab.about.keys.lock().expect(poisoned!());
            let often = frames.as_ref().map_or(0, Vec::len) / 2;
            drop(frames);
            if slab.about.hits.swap(0, Ordering::Relaxed) as usize <= often {
                self.forget(&slab);
                return true;
            }
            slabs.full.push_back(slab);
        }
        let next = slabs.full.pop_front().or_else(|| slabs.current.take());
        next.inspect(|slab| self.forget(slab)).is_some()
    }

    /// Takes a slab's frames out of the table.
    fn forget(&self, slab: &Arc<Slab<Noted>>) {
        let keys = slab.about.keys.lock().expect(poisoned!()).take();
        for key in keys.into_iter().flatten() {
            self.shard(&key).write().expect(poisoned!()).remove(&key);
        }
        self.held_bytes.fetch_sub(slab.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{FrameCache, FrameKey};
    use crate::addr::ContainerId;
    use crate::buffers::Buffers;
    use crate::disk::sim::SplitMix64;

    const FRAME: usize = 16 << 10;
    /// Frames of a slab.
    const MANY: u32 = 4;
    const SLAB: u64 = MANY as u64 * FRAME as u64;

    fn key(frame: u32) -> FrameKey {
        FrameKey {
            container: ContainerId(7),
            frame,
            frame_log2: 14,
        }
    }

    fn keep(cache: &FrameCache, frames: impl IntoIterator<Item = u32>) {
        for frame in frames {
            let mut piece = cache.piece(FRAME);
            piece.fill(frame as u8);
            cache.insert(key(frame), piece);
        }
    }

    fn kept(cache: &FrameCache, upto: u32) -> Vec<u32> {
        let here = |frame: &u32| {
            let plain = cache.get(&key(*frame));
            assert!(plain.iter().all(|plain| plain[..] == [*frame as u8; FRAME]));
            plain.is_some()
        };
        (0..upto).filter(here).collect()
    }

    fn cache() -> (Arc<Buffers>, FrameCache) {
        let buffers = Buffers::new(SLAB as usize, 8, 8 * SLAB);
        let cache = FrameCache::new(&buffers, 4 * SLAB);
        (buffers, cache)
    }

    #[test]
    fn the_oldest_go_first_unless_they_were_of_use() {
        let (buffers, cache) = cache();
        keep(&cache, 0..4 * MANY);
        // Most of the second slab, and one of the third.
        for frame in [4, 5, 6, 7, 8] {
            assert!(cache.get(&key(frame)).is_some());
        }
        keep(&cache, 4 * MANY..6 * MANY);
        let held = buffers.held_bytes();
        assert_eq!((cache.held_bytes(), held), (4 * SLAB, 4 * SLAB));
        assert_eq!(
            kept(&cache, 24),
            [&[4, 5, 6, 7], &Vec::from_iter(12..24)[..]].concat()
        );
    }

    #[test]
    fn being_asked_for_at_once_is_no_use() {
        let (_, cache) = cache();
        for frame in 0..4 * MANY {
            keep(&cache, [frame]);
            for _ in 0..3 {
                assert!(cache.get(&key(frame)).is_some());
            }
        }
        keep(&cache, 100..100 + MANY);
        assert_eq!(kept(&cache, 16), Vec::from_iter(4..16));
    }

    #[test]
    fn memory_is_given_back_and_a_frame_that_comes_late_is_not_kept() {
        let (buffers, cache) = cache();
        let late = cache.piece(FRAME);
        keep(&cache, 1..4 * MANY);
        let reading = cache.get(&key(1)).unwrap();
        cache.limit(SLAB);
        assert_eq!(cache.held_bytes(), SLAB);
        cache.insert(key(0), late);
        assert_eq!(kept(&cache, 16), Vec::from_iter(12..16));
        assert!(reading[..] == [1; FRAME], "who reads it has it still");
        // All but the one that is kept and the one that is read.
        let idle: Vec<_> = (0..2).map(|_| buffers.take()).collect();
        assert_eq!(buffers.held_bytes(), 4 * SLAB);
        drop((reading, idle));
        cache.limit(0);
        assert_eq!((cache.held_bytes(), kept(&cache, 16)), (0, vec![]));
        keep(&cache, [1]);
        assert_eq!(kept(&cache, 16), [1], "one slab at least");
    }

    #[test]
    fn what_is_larger_than_a_slab_is_kept_alone() {
        let buffers = Buffers::new(1 << 20, 0, 0);
        let cache = FrameCache::new(&buffers, 0);
        let mut piece = cache.piece(1 << 18);
        piece.fill(9);
        cache.insert(key(1), piece);
        assert!(cache.get(&key(1)).unwrap()[..] == [9; 1 << 18]);
        assert_eq!((buffers.held_bytes(), cache.held_bytes()), (0, 1 << 18));
        keep(&cache, [2]);
        assert_eq!(kept(&cache, 3), [2]);
    }

    #[test]
    fn threads_that_keep_read_and_give_up_frames_find_what_was_kept() {
        const FRAMES: u32 = 10 * MANY;
        let (buffers, cache) = cache();
        let found = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (cache, found) = (&cache, &found);
                scope.spawn(move || {
                    let mut rng = SplitMix64::new(seed);
                    for _ in 0..3000 {
                        let frame = rng.below(u64::from(FRAMES)) as u32;
                        if let Some(plain) = cache.get(&key(frame)) {
                            assert!(plain[..] == [frame as u8; FRAME]);
                            found.fetch_add(1, Ordering::Relaxed);
                        } else {
                            keep(cache, [frame]);
                        }
                    }
                });
            }
            for slabs in (1..=4).cycle().take(400) {
                cache.limit(slabs * SLAB);
                std::thread::yield_now();
            }
        });
        assert!(found.into_inner() > 0);
        // Whatever is in the table lies in a slab, and leaves with it.
        cache.limit(4 * SLAB);
        assert!(cache.held_bytes() <= 4 * SLAB);
        assert!(cache.names().len() <= 4 * MANY as usize);
        cache.limit(0);
        assert_eq!((cache.held_bytes(), cache.names()), (0, vec![]));
        assert!(buffers.held_bytes() <= 8 * SLAB);
    }
}
