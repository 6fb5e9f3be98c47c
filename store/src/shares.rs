//! How the memory of a pool is divided.
//!
//! Every cache has a share that it may always fill. What the others have not filled is lent to the
//! journal's batches and to decoded frames, and asked back as they fill: the writer's thread looks
//! again and again. Batches go first, as the journal is written past the page cache, while what frames
//! are decoded from is mostly in it; so frames have what batches leave, which is most of it once all
//! is packed. A sixteenth is never lent, for what others take between two looks.

use std::sync::atomic::Ordering;

use crate::engine::Engine;

/// Estimated bytes of a run in its cache.
const SEEN_RUN_BYTES: u64 = 1200;

/// The memory for all caches together, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares(pub(crate) u64);

impl Shares {
    /// Pages of the metadata.
    pub(crate) fn index(self) -> u64 {
        self.0 / 8
    }

    /// What the journal wrote last, besides what is lent to it.
    pub(crate) fn batches(self) -> u64 {
        self.0 / 4
    }

    /// Sampled fingerprints.
    pub(crate) fn hooks(self) -> u64 {
        self.0 / 8
    }

    /// Decoded frames, besides what is lent to them.
    pub(crate) fn frames(self) -> u64 {
        self.0 / 8
    }

    /// Directories of containers.
    pub(crate) fn directories(self) -> u64 {
        self.0 / 16
    }

    /// Runs of maps.
    pub(crate) fn runs(self) -> u64 {
        self.0 / 8
    }

    /// How many runs fit into their share.
    pub(crate) fn run_count(self) -> usize {
        (self.runs() / SEEN_RUN_BYTES).max(64) as usize
    }

    /// What batches and frames may take together while the other caches hold `used` bytes.
    fn buffers(self, used: u64) -> u64 {
        let others = self.index() + self.hooks() + self.directories() + self.runs();
        self.batches() + self.frames() + others.saturating_sub(used + self.0 / 16)
    }

    /// What of those frames may take while batches take `kept` bytes: so much less than all that
    /// batches need not wait for frames to go.
    fn frames_beside(self, buffers: u64, kept: u64) -> u64 {
        let left = buffers.saturating_sub(kept + self.0 / 32);
        left.max(self.frames())
    }
}

impl Engine {
    /// Lends batches and frames what other caches have not filled, and asks back what they have.
    pub(crate) fn lend_memory(&self) {
        let (shares, frames) = (self.shares, &self.reader.frames);
        let runs = self.run_cache.runs.len() as u64 * SEEN_RUN_BYTES;
        let directories = self.reader.directories.weight_bytes();
        // Pages are kept as they are read, and there are no more than the file has.
        let index = self.metadata_bytes().min(shares.index());
        let hooks = self.hook_bytes.load(Ordering::Relaxed);
        let buffers = shares.buffers(directories + runs + index + hooks.min(shares.hooks()));
        frames.limit(shares.frames_beside(buffers, self.journal.kept_bytes()));
        self.journal
            .keep(buffers.saturating_sub(frames.held_bytes()));
        self.buffers
            .limit(buffers.saturating_sub(frames.own_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use uuid::Uuid;

    use super::Shares;
    use crate::addr::{CHUNK_BYTES, ContainerId};
    use crate::disk::sim::{SimIo, SplitMix64};
    use crate::model::{open, options, spec};
    use crate::pack::frames::FrameKey;
    use crate::{Durability, OpenOptions, Store, VolumeId};

    /// What [`open`] gives a pool.
    const MEMORY: Shares = Shares(4 << 20);

    #[test]
    fn batches_have_what_the_read_path_does_not_use_and_give_it_back() {
        let store = open(&SimIo::new(1)).unwrap();
        let id = VolumeId(Uuid::from_u128(1));
        store.create_volume(id, spec(8 << 20)).unwrap();
        let (engine, volume) = (store.engine_for_tests(), store.volume(id).unwrap());
        let mut data = vec![0; 8 << 20];
        SplitMix64::new(2).fill(&mut data);
        let fill = || {
            for (at, part) in (0..).step_by(64 << 10).zip(data.chunks(64 << 10)) {
                volume.write(at, part, Durability::Durable).unwrap();
            }
            engine.journal.kept_bytes()
        };
        assert!(fill() <= MEMORY.batches());
        engine.lend_memory();
        let most = fill();
        assert!(most > MEMORY.batches() + (512 << 10), "{most}");
        assert!(most <= MEMORY.0 / 4 * 3, "{most}");
        for frame in 0..64 {
            let container = ContainerId(1 << 30);
            let key = FrameKey {
                container,
                frame,
                frame_log2: 14,
            };
            let piece = engine.reader.frames.piece(1 << 14);
            engine.reader.frames.insert(key, piece);
        }
        engine.lend_memory();
        let left = engine.journal.kept_bytes();
        assert!(left + (256 << 10) <= most, "{left} of {most}");
        let mut found = vec![0; CHUNK_BYTES];
        for (at, part) in (0..).step_by(CHUNK_BYTES).zip(data.chunks(CHUNK_BYTES)) {
            volume.read(at, &mut found).unwrap();
            assert!(found == part, "at {at}");
        }
    }

    #[test]
    fn copies_of_small_batches_lie_in_the_same_buffers() {
        const PART: usize = 64 << 10;
        let options = OpenOptions {
            memory_bytes: 256 << 20,
            ..options()
        };
        let io = SimIo::new(1);
        let store = Store::open(Arc::new(io.clone()), Path::new("/pool"), options).unwrap();
        let id = VolumeId(Uuid::from_u128(1));
        store.create_volume(id, spec(32 << 20)).unwrap();
        let (engine, volume) = (store.engine_for_tests(), store.volume(id).unwrap());
        let (mut rng, mut data) = (SplitMix64::new(2), vec![0; 32 << 20]);
        let mut found = vec![0; PART];
        let mut held = None;
        for _ in 0..3 {
            rng.fill(&mut data);
            for (at, part) in (0..).step_by(PART).zip(data.chunks(PART)) {
                volume.write(at, part, Durability::Durable).unwrap();
            }
            let kept = engine.journal.kept_bytes();
            assert!((32 << 20..56 << 20).contains(&kept), "{kept}");
            for (at, part) in (0..).step_by(PART).zip(data.chunks(PART)) {
                volume.read(at, &mut found).unwrap();
                assert!(found == part, "at {at}");
            }
            assert_eq!(volume.disk_reads(), 0);
            store.reclaim_now().unwrap();
            io.forget_history();
            assert_eq!(engine.journal.kept_bytes(), 0);
            let now = engine.buffers.held_bytes();
            assert!((32 << 20..72 << 20).contains(&now), "{now}");
            let first = *held.get_or_insert(now);
            assert!(now <= first + (8 << 20), "{first}, then {now}");
        }
    }

    #[test]
    fn memory_of_batches_that_were_packed_is_used_again() {
        let memory_bytes = 256 << 20;
        let (io, shares) = (SimIo::new(1), Shares(memory_bytes));
        let options = OpenOptions {
            memory_bytes,
            ..options()
        };
        let store = Store::open(Arc::new(io.clone()), Path::new("/pool"), options).unwrap();
        let id = VolumeId(Uuid::from_u128(1));
        store.create_volume(id, spec(64 << 20)).unwrap();
        let (engine, volume) = (store.engine_for_tests(), store.volume(id).unwrap());
        let (mut rng, mut data) = (SplitMix64::new(2), vec![0; 1 << 20]);
        let mut fill = || {
            for part in 0..64 {
                rng.fill(&mut data);
                volume
                    .write(part << 20, &data, Durability::Buffered)
                    .unwrap();
                if part % 4 == 3 {
                    volume.flush().unwrap();
                    // As the writer's thread does.
                    engine.lend_memory();
                }
            }
            assert!(engine.journal.kept_bytes() > 56 << 20);
        };
        let frames = &engine.reader.frames;
        fill();
        store.reclaim_now().unwrap();
        io.forget_history();
        assert!(engine.journal.kept_bytes() < 1 << 20);
        let held = engine.buffers.held_bytes();
        assert!(held > 56 << 20, "{held}");
        // Frames take it, more than their share.
        engine.lend_memory();
        let mut chunk = [0; CHUNK_BYTES];
        for at in (0..64 << 20).step_by(CHUNK_BYTES) {
            volume.read(at, &mut chunk).unwrap();
        }
        let kept = frames.held_bytes();
        assert!(kept >= 60 << 20 && kept > shares.frames(), "{kept}");
        assert!(engine.buffers.held_bytes() <= held + (8 << 20));
        // And give it back to batches.
        (0..3).for_each(|_| fill());
        let all = engine.buffers.held_bytes();
        assert!(all <= shares.buffers(0) + (8 << 20), "{all}");
        let kept = frames.held_bytes();
        assert!(kept <= shares.frames() + (4 << 20), "{kept}");
        engine.buffers.limit(0);
        engine.journal.keep(0);
        let left = engine.buffers.held_bytes() - frames.held_bytes();
        assert!(left <= 48 << 20, "{left}");
    }

    #[test]
    fn shares_leave_room_and_nothing_is_lent_twice() {
        let shares = Shares(1 << 30);
        let theirs = shares.index() + shares.hooks() + shares.directories() + shares.runs();
        let own = shares.batches() + shares.frames();
        assert!(own + theirs <= shares.0 / 16 * 13);
        for used in [0, 1 << 20, theirs / 2, theirs, 2 * theirs] {
            let both = shares.buffers(used);
            assert!(both + used.min(theirs) <= own + theirs);
            for kept in [0, both / 2, both, 2 * both] {
                let frames = shares.frames_beside(both, kept);
                assert!(frames + kept.min(both - shares.frames()) <= both);
                assert!(frames >= shares.frames());
            }
        }
        assert_eq!((shares.buffers(theirs), shares.buffers(0)), (own, 3 << 28));
    }
}
