//! Who may change data now: the raw tier's quota, and room for the checkpoint of what is in memory.
//!
//! A checkpoint must always fit on the disk, or neither deleting nor freeing could ever take effect.
//! So the ranges of the overlays are counted, and guests may make no more of them than the free space
//! and the reserve can take. They wait for background work to make room, and are refused only where
//! it cannot.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::engine::Engine;
use crate::journal::poisoned;
use crate::{Error, ErrorKind, Result};

/// What a checkpoint takes at most for one range of the overlay: a run, and its share of the pages
/// above it.
const RANGE_BYTES: u64 = 1 << 10;

/// Ranges in the overlays since the last cut, and how many the disk has room for.
#[derive(Default)]
pub(crate) struct Ranges {
    count: AtomicI64,
    /// Those of the checkpoint that is being written.
    committing: AtomicI64,
    max: AtomicI64,
}

/// What a guest wants to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Write data.
    Data,
    /// Discard or zero: it may free space later, so it may use what data leaves.
    Discard,
}

/// What there is too much of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Full {
    RawTier,
    Overlay,
    Clearing,
}

impl Ranges {
    /// Adds what a change brought.
    pub(crate) fn grow(&self, by: i64) {
        self.count.fetch_add(by, Ordering::Relaxed);
    }

    /// Starts to count anew, at a cut.
    pub(crate) fn restart(&self) {
        let cut = self.count.swap(0, Ordering::Relaxed);
        self.committing.store(cut, Ordering::Relaxed);
    }

    /// What was cut is in the index.
    pub(crate) fn settle(&self) {
        self.committing.store(0, Ordering::Relaxed);
    }

    /// Bytes of the disk that checkpoints of all of them may take.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.count()).unwrap_or(0) * RANGE_BYTES
    }

    fn count(&self) -> i64 {
        self.count.load(Ordering::Relaxed) + self.committing.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint should come soon, as there is not much room for more.
    pub(crate) fn are_many(&self) -> bool {
        self.count() > self.max.load(Ordering::Relaxed) / 4
    }

    fn leave_no_room_for(&self, change: Change) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        let share = match change {
            Change::Data => max / 4 * 3,
            Change::Discard => max,
        };
        self.count() >= share
    }
}

impl Engine {
    /// Counts the ranges that opening has found in the journal.
    pub(crate) fn count_ranges(&self) {
        let state = self.state.read().expect(poisoned!());
        let layers = state.layers.values();
        let ranges: usize = layers.map(|entry| entry.layer.ranges()).sum();
        self.ranges.grow(ranges as i64);
    }

    /// Measures anew how many ranges the next checkpoint has room for.
    pub(crate) fn measure_room(&self) -> Result<()> {
        let ranges = self.reserve.metadata_room_bytes()? / RANGE_BYTES;
        let max = i64::try_from(ranges).unwrap_or(i64::MAX);
        self.ranges.max.store(max, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a checkpoint of what is in memory fits.
    ///
    /// # Errors
    /// `NoSpace`, before anything has been tried.
    pub(crate) fn check_room_for_checkpoint(&self) -> Result<()> {
        self.measure_room()?;
        let (count, max) = (self.ranges.count(), self.ranges.max.load(Ordering::Relaxed));
        if count <= max {
            return Ok(());
        }
        let context = format!("a checkpoint of {count} ranges does not fit: {max} would");
        Err(Error::new(ErrorKind::NoSpace, context))
    }

    /// Makes segment files for data that is to come, if the disk has room for them.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn prepare_data_spares(&self) -> Result<()> {
        let check = |bytes| self.reserve.check_room(bytes, self.ranges.bytes());
        let made = self.journal.prepare_spares_if(&check);
        // What was made leaves room for fewer ranges.
        self.measure_room()?;
        made
    }

    fn lacks_room(&self, change: Change) -> Option<Full> {
        if change == Change::Data && self.journal.bytes() >= self.raw_quota_bytes {
            return Some(Full::RawTier);
        }
        if self.ranges.leave_no_room_for(change) {
            return Some(Full::Overlay);
        }
        let clears = change == Change::Discard && self.cleared.are_many();
        clears.then_some(Full::Clearing)
    }

    /// Waits while there is no room for a change and background work can still make some.
    ///
    /// # Errors
    /// `NoSpace` when it cannot, `Failed` when the pool has stopped.
    pub(crate) fn wait_for_room(&self, change: Change) -> Result<()> {
        while let Some(full) = self.lacks_room(change) {
            if self.journal.has_failed() {
                let context = "the pool stopped after a failed write or sync";
                return Err(Error::new(ErrorKind::Failed, context));
            }
            let what = match full {
                Full::RawTier => "the raw tier is full and cannot be packed",
                Full::Overlay => "the disk is too full to note more changes",
                Full::Clearing => "what was discarded before cannot be noted",
            };
            match (self.threads.are_running(), self.threads.stalled()) {
                (true, None) => {}
                (true, Some(reason)) => {
                    let context = format!("{what}: {reason}");
                    return Err(Error::new(ErrorKind::NoSpace, context));
                }
                // Who takes the steps of background work by hand minds the bounds as well.
                (false, _) if full != Full::Overlay => return Ok(()),
                (false, _) => return Err(Error::new(ErrorKind::NoSpace, what)),
            }
            self.threads.wake();
            self.journal.wait_for_change();
        }
        Ok(())
    }
}
