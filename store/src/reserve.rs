//! Space kept back, so that checkpoints, deletes and reclaim can finish on a full disk.
//!
//! A file of real blocks holds it against others on the same file system. The pool itself lets data
//! grow only while as much is free or in that file; metadata and the records of structural changes
//! may go below. The index can not go on after its file failed to grow, so a checkpoint that would
//! need more than there is must be refused before it starts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Caching, Create, Space};
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::{Error, ErrorKind, Result};

/// A commit of the index seldom needs more.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// The index of the smallest pool grows by about as much.
const RESERVE_BYTES_MIN: u64 = 4 << 20;
/// What a checkpoint takes for one range of the overlay: a run, and the pages above it.
const RANGE_BYTES: u64 = 1 << 10;

/// The reserve of an open pool.
#[derive(Default)]
pub(crate) struct Reserve {
    /// Bytes in its file now.
    held_bytes: AtomicU64,
}

fn wanted_bytes(space: Space) -> u64 {
    (space.total_bytes / 16).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}

impl Engine {
    fn reserve_path(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    fn space(&self) -> Result<Space> {
        let measured = self.io.space(&self.dir);
        measured.map_err(|e| Error::io("measuring free space", e))
    }

    /// Gives up the reserve when the disk is nearly full, so that what follows can finish.
    pub(crate) fn release_reserve_if_tight(&self) {
        let tight = |space: Space| space.free_bytes < wanted_bytes(space) / 4;
        let held = self.reserve.held_bytes.load(Ordering::Acquire) > 0;
        if held && self.space().is_ok_and(tight) {
            match self.io.remove(&self.reserve_path()) {
                Ok(()) => self.reserve.held_bytes.store(0, Ordering::Release),
                Err(error) => tracing::warn!(%error, "the reserve could not be given up"),
            }
        }
    }

    /// Makes the reserve when there is room for it; failing leaves things as they are.
    pub(crate) fn restore_reserve(&self) {
        if self.reserve.held_bytes.load(Ordering::Acquire) > 0 {
            return;
        }
        let Ok(space) = self.space() else { return };
        let bytes = wanted_bytes(space);
        let path = self.reserve_path();
        let Ok(file) = self.io.open(&path, Create::IfMissing, Caching::Buffered) else {
            return;
        };
        let len = file.len().unwrap_or(0);
        if len < bytes {
            if space.free_bytes < 2 * bytes {
                return;
            }
            if let Err(error) = file.allocate(0, bytes) {
                tracing::warn!(%error, "the reserve for a full disk could not be made");
                return;
            }
        }
        self.reserve.held_bytes.store(bytes, Ordering::Release);
    }

    /// Whether data may take so many bytes of the disk more.
    ///
    /// # Errors
    /// `NoSpace` when they would be taken from the reserve.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        let space = self.space()?;
        let held = self.reserve.held_bytes.load(Ordering::Acquire);
        if space.free_bytes + held >= bytes + wanted_bytes(space) {
            return Ok(());
        }
        let context = format!(
            "{bytes} bytes more would leave too little of the {} free for metadata",
            space.free_bytes
        );
        Err(Error::new(ErrorKind::NoSpace, context))
    }

    /// Whether a checkpoint of what is in memory fits.
    ///
    /// # Errors
    /// `NoSpace`, before anything has been tried.
    pub(crate) fn check_room_for_checkpoint(&self) -> Result<()> {
        let ranges: usize = {
            let state = self.state.read().expect(poisoned!());
            let layers = state.layers.values();
            layers.map(|entry| entry.layer.ranges()).sum()
        };
        let (need, space) = (ranges as u64 * RANGE_BYTES, self.space()?);
        if need <= space.free_bytes {
            return Ok(());
        }
        let context = format!(
            "a checkpoint may need {need} bytes, and {} are free",
            space.free_bytes
        );
        Err(Error::new(ErrorKind::NoSpace, context))
    }

    /// Makes segment files for data that is to come, if the disk has room for them.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn prepare_data_spares(&self) -> Result<()> {
        self.journal
            .prepare_spares_if(&|bytes| self.check_room(bytes))
    }
}
