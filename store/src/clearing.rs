//! Trims and zeroing of large ranges, in pieces.
//!
//! A trim is one record, however long it is, but the checkpoint behind it touches every run that the
//! range has in the index, in one transaction. So a range is cleared in pieces of a bounded number of
//! such runs, and of overlay entries, which go under a lock that readers want; and guests who have
//! cleared as many runs as one checkpoint should touch wait for it before they clear more. A crash
//! leaves a range cleared up to one of its pieces.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;
use crate::addr::{Address, CHUNK_SHIFT};
use crate::engine::Engine;
use crate::index::{IndexRead, RUN_CHUNKS};
use crate::journal::poisoned;
use crate::layer::Chain;
use crate::room::Change;
use crate::state::VolumeState;

/// Runs of the index that one piece touches at most, in each layer: 4 GiB of data.
const RUNS_AT_ONCE: usize = 8192;
/// Overlay entries that one piece takes out at most: some milliseconds.
const RANGES_AT_ONCE: usize = 16_384;
/// Runs cleared between two checkpoints before guests wait: 32 GiB of data, a second or so of a
/// checkpoint's time.
const RUNS_MAX: u64 = 1 << 16;
/// A shorter range counts as if all of it had runs, without a look into the index.
const RUNS_LOOKED_AT: u64 = 64;

/// Runs that were cleared since the last cut.
#[derive(Default)]
pub(crate) struct Cleared(AtomicU64);

impl Cleared {
    /// Whether a checkpoint should come before more are cleared.
    pub(crate) fn are_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= RUNS_MAX
    }

    /// Starts to count anew, at a cut.
    pub(crate) fn restart(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, runs: u64) {
        self.0.fetch_add(runs, Ordering::Relaxed);
    }
}

/// The beginning of a range that is cleared at once.
struct Piece {
    end: u64,
    /// Runs that the checkpoint will touch for it.
    runs: u64,
}

impl Engine {
    /// Maps chunks `first..last` to `what`, piece by piece. No gate is held in between.
    pub(crate) fn clear(
        &self,
        volume: &VolumeState,
        first: u64,
        last: u64,
        what: Address,
    ) -> Result<()> {
        let mut at = first;
        while at < last {
            self.wait_for_room(Change::Discard)?;
            at = self.with_room(|| {
                let _shared = volume.gate.read().expect(poisoned!());
                // The disk may end within its last chunk.
                Self::admit(volume, ((last - 1) << CHUNK_SHIFT) + 1)?;
                let chain = volume.chain();
                let piece = self.piece_of(&chain, at, last, what)?;
                self.map_constant(chain.head(), at, piece.end - at, what)?;
                self.cleared.add(piece.runs);
                Ok(piece.end)
            })?;
            self.journal.relieve()?;
        }
        Ok(())
    }

    fn piece_of(&self, chain: &Chain, first: u64, last: u64, what: Address) -> Result<Piece> {
        let head = chain.head();
        let end = head.end_of_ranges(first, last, RANGES_AT_ONCE);
        let covered = (end - first) / RUN_CHUNKS;
        // Zeroes are written into every run, whether there was one or not.
        if covered <= RUNS_LOOKED_AT || what != Address::HOLE {
            return Ok(Piece { end, runs: covered });
        }
        let reader = self.index.read()?;
        let from = (first / RUN_CHUNKS) as u32;
        let mut to = end.div_ceil(RUN_CHUNKS) as u32;
        let mut runs = 0;
        for layer in chain.ids.iter().copied() {
            let numbers = reader.layer_run_numbers(layer, from, to, RUNS_AT_ONCE)?;
            runs += numbers.len() as u64;
            if let Some(last) = numbers.last().filter(|_| numbers.len() == RUNS_AT_ONCE) {
                to = last + 1;
            }
        }
        Ok(Piece {
            end: end.min(u64::from(to) * RUN_CHUNKS),
            runs: runs.min(u64::from(to - from)),
        })
    }
}

#[cfg(test)]
mod tests;
