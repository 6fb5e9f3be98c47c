//! Pack files: sealed containers of compressed frames, appended and never changed.
//!
//! [`format`] is the layout and its checks, [`writer`] builds a container, [`files`] keeps the files
//! of a pool, [`reader`] is the read path, [`ready`] its part that does not wait for the disk; both
//! keep [`directories`] and [`frames`] in memory. Which
//! containers exist, and where, is the index's knowledge; a pack file repeats enough of it to rebuild
//! the index from the files.

pub(crate) mod directories;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod frames;
mod handles;
pub(crate) mod orphans;
mod passing;
pub(crate) mod reader;
mod ready;
mod scan;
pub(crate) mod verify;
pub(crate) mod writer;

#[cfg(test)]
mod tests;

/// Where a container lies among the pack files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LocalPlace {
    /// Number of the pack file.
    pub(crate) pack: u64,
    /// Offset in it in bytes, a multiple of 4 KiB.
    pub(crate) offset: u64,
    /// Length in bytes, a multiple of 4 KiB.
    pub(crate) len: u32,
}
