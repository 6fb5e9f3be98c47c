//! Space kept back, so that checkpoints, deletes and reclaim can finish on a full disk.
//!
//! A file of real blocks holds it against others on the same file system, while space there is short:
//! it is looked at in every turn of the background work. The pool itself lets data
//! grow only while as much is free or in that file; metadata and the records of structural changes
//! may go below. When the metadata file cannot grow, it takes the reserve at that moment: the index
//! could not go on otherwise.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Caching, Create, Io, Space};
use crate::{Error, ErrorKind, Result};

/// A commit of the index seldom needs more.
const RESERVE_BYTES_MAX: u64 = 64 << 20;
/// The index of the smallest pool grows by about as much.
const RESERVE_BYTES_MIN: u64 = 4 << 20;

/// Space is short when less than so many times the reserve is free, and plenty from twice that on.
const SHORT_TIMES: u64 = 64;

const FILE_NAME: &str = "reserve";

/// The reserve of a pool.
pub(crate) struct Reserve {
    io: Arc<dyn Io>,
    dir: PathBuf,
    /// Bytes in its file now.
    held_bytes: AtomicU64,
}

fn wanted_bytes(space: Space) -> u64 {
    (space.total_bytes / 16).clamp(RESERVE_BYTES_MIN, RESERVE_BYTES_MAX)
}

impl Reserve {
    /// The reserve of the pool in `dir`, as an earlier run of the program left it.
    pub(crate) fn new(io: Arc<dyn Io>, dir: &Path) -> Self {
        let held = io
            .open(&dir.join(FILE_NAME), Create::Never, Caching::Buffered)
            .and_then(|file| file.len());
        Self {
            io,
            dir: dir.to_owned(),
            held_bytes: AtomicU64::new(held.unwrap_or(0)),
        }
    }

    fn space(&self) -> Result<Space> {
        let measured = self.io.space(&self.dir);
        measured.map_err(|e| Error::io("measuring free space", e))
    }

    /// Gives all of it up; says whether there was any.
    pub(crate) fn give_up(&self) -> bool {
        if self.held_bytes.load(Ordering::Acquire) == 0 {
            return false;
        }
        match self.io.remove(&self.dir.join(FILE_NAME)) {
            Ok(()) => {
                self.held_bytes.store(0, Ordering::Release);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the reserve could not be given up");
                false
            }
        }
    }

    /// Gives it up when the disk is nearly full, so that what follows can finish.
    pub(crate) fn give_up_if_tight(&self) {
        if self
            .space()
            .is_ok_and(|space| space.free_bytes < wanted_bytes(space) / 4)
        {
            self.give_up();
        }
    }

    /// Makes it when space is short and there is still room for it, and gives it up when there is
    /// plenty; failing leaves things as they are.
    pub(crate) fn adjust(&self) {
        let Ok(space) = self.space() else { return };
        let (bytes, held) = (wanted_bytes(space), self.held_bytes.load(Ordering::Acquire));
        if space.free_bytes > 2 * SHORT_TIMES * bytes {
            self.give_up();
            return;
        }
        if held >= bytes || space.free_bytes < 2 * bytes || space.free_bytes > SHORT_TIMES * bytes {
            return;
        }
        let path = self.dir.join(FILE_NAME);
        let opened = self.io.open(&path, Create::IfMissing, Caching::Buffered);
        match opened.and_then(|file| file.allocate(0, bytes)) {
            Ok(()) => self.held_bytes.store(bytes, Ordering::Release),
            Err(error) => tracing::warn!(%error, "the reserve for a full disk could not be made"),
        }
    }

    /// Whether as many bytes may be taken for a moment, to give more back: half of the reserve will do
    /// for the index meanwhile.
    ///
    /// # Errors
    /// `NoSpace`.
    pub(crate) fn check_room_to_free(&self, bytes: u64) -> Result<()> {
        let space = self.space()?;
        let held = self.held_bytes.load(Ordering::Acquire);
        if space.free_bytes + held >= bytes + wanted_bytes(space) / 2 {
            return Ok(());
        }
        let context = format!("{bytes} bytes more, to give others back, find too little room");
        Err(Error::new(ErrorKind::NoSpace, context))
    }

    /// Whether data may take so many bytes of the disk more when metadata may still need `besides`.
    ///
    /// # Errors
    /// `NoSpace` when they would be taken from the reserve.
    pub(crate) fn check_room(&self, bytes: u64, besides: u64) -> Result<()> {
        let space = self.space()?;
        let held = self.held_bytes.load(Ordering::Acquire);
        if space.free_bytes + held >= bytes + wanted_bytes(space).max(besides) {
            return Ok(());
        }
        let context = format!(
            "{bytes} bytes more would leave too little of the {} free for metadata",
            space.free_bytes
        );
        Err(Error::new(ErrorKind::NoSpace, context))
    }

    /// Bytes that metadata may take, the reserve included.
    pub(crate) fn metadata_room_bytes(&self) -> Result<u64> {
        let held = self.held_bytes.load(Ordering::Acquire);
        Ok(self.space()?.free_bytes + held)
    }
}
