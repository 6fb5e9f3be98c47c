//! How the memory of a pool is divided.
//!
//! Every cache has a share that it may always fill. What the others have not filled is lent to the
//! journal's batches, so that a pool which is mostly written to, or small, has more of what was written
//! lately in memory; the writer's thread asks for it back as they fill. A sixteenth is never lent, for
//! what they take between two looks.

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

    /// Decoded frames.
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

    /// What may be lent while the other caches hold `used` bytes.
    fn lent(self, used: u64) -> u64 {
        let read = self.frames() + self.directories() + self.runs();
        (self.index() + self.hooks() + read).saturating_sub(used + self.0 / 16)
    }
}

impl Engine {
    /// Lends the journal what other caches have not filled, and asks back what they have.
    pub(crate) fn lend_memory(&self) {
        let shares = self.shares;
        let read = self.reader.cached_bytes() + self.run_cache.runs.len() as u64 * SEEN_RUN_BYTES;
        // Pages are kept as they are read, and there are no more than the file has.
        let index = self.metadata_bytes().min(shares.index());
        let hooks = self.hook_bytes.load(Ordering::Relaxed);
        let lent = shares.lent(read + index + hooks.min(shares.hooks()));
        self.journal.keep(shares.batches() + lent);
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
    use crate::pack::cache::FrameKey;
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
            engine.reader.frames.insert(key, vec![0; 1 << 14].into());
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
    fn memory_of_batches_that_were_packed_is_used_again() {
        let memory_bytes = 128 << 20;
        let (io, shares) = (SimIo::new(1), Shares(memory_bytes));
        let options = OpenOptions {
            memory_bytes,
            ..options()
        };
        let store = Store::open(Arc::new(io.clone()), Path::new("/pool"), options).unwrap();
        let id = VolumeId(Uuid::from_u128(1));
        store.create_volume(id, spec(64 << 20)).unwrap();
        let (engine, volume) = (store.engine_for_tests(), store.volume(id).unwrap());
        engine.lend_memory();
        let (mut rng, mut data) = (SplitMix64::new(2), vec![0; 1 << 20]);
        let mut held = Vec::new();
        for _ in 0..2 {
            for part in 0..64 {
                rng.fill(&mut data);
                volume
                    .write(part << 20, &data, Durability::Buffered)
                    .unwrap();
            }
            volume.flush().unwrap();
            assert!(engine.journal.kept_bytes() > 32 << 20);
            store.reclaim_now().unwrap();
            assert!(engine.journal.kept_bytes() < 1 << 20);
            held.push(engine.journal.held_bytes());
            io.forget_history();
        }
        let most = shares.batches() + shares.lent(0);
        assert!(
            held[0] > 32 << 20 && held[1] <= held[0].max(most),
            "{held:?}"
        );
        engine.journal.keep(0);
        assert!(engine.journal.held_bytes() <= 48 << 20);
    }

    #[test]
    fn shares_leave_room_and_nothing_is_lent_twice() {
        let shares = Shares(1 << 30);
        let read = shares.frames() + shares.directories() + shares.runs();
        let theirs = shares.index() + shares.hooks() + read;
        assert!(shares.batches() + theirs <= shares.0 / 16 * 13);
        for used in [0, 1 << 20, theirs / 2, theirs, 2 * theirs] {
            assert!(shares.lent(used) + used.min(theirs) <= theirs);
        }
        assert_eq!((shares.lent(theirs), shares.lent(0)), (0, 1 << 29));
    }
}
