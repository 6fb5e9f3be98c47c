//! Whether rebuilding could read the dumps, from end to end.
//!
//! Every byte of a dump file is under a checksum. A full dump gets its name once all of it is durable,
//! so whatever does not read in it is damage. A log may end in a transaction that a power loss cut
//! short. Damage to its last transaction looks the same and is doubtful, unless something shows that
//! the log was longer once: a later transaction behind the place, or another log that goes on exactly
//! where this one ended.

use std::path::{Path, PathBuf};

use super::FOLDER;
use super::format::Kind;
use super::reader::{DumpFile, Reach, list, name};
use crate::Result;
use crate::disk::{Caching, Create, Io};

/// What one dump file is like.
pub(crate) enum Finding {
    /// Whole, with so many bytes.
    Whole(u64),
    /// Damaged: where and what.
    Damaged(String),
    /// Damaged or cut short by a power loss: where and what.
    Doubtful(String),
}

/// The dumps of a pool.
pub(crate) struct Folder<'a> {
    io: &'a dyn Io,
    path: PathBuf,
    pool: [u8; 16],
    pub(crate) numbers: Vec<(Kind, u64)>,
}

impl<'a> Folder<'a> {
    /// Those of the pool in `dir`.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn list(io: &'a dyn Io, dir: &Path, pool: [u8; 16]) -> Result<Self> {
        let path = dir.join(FOLDER);
        let numbers = list(io, &path)?;
        Ok(Self {
            io,
            path,
            pool,
            numbers,
        })
    }

    fn open(&self, kind: Kind, number: u64) -> Result<DumpFile> {
        DumpFile::open(self.io, &self.path, kind, number, self.pool)
    }

    /// Whether the folder had this file when it was listed.
    pub(crate) fn has(&self, kind: Kind, number: u64) -> bool {
        self.numbers.contains(&(kind, number))
    }

    /// Has the next look at a file go to the disk.
    pub(crate) fn forget_cached(&self, kind: Kind, number: u64) {
        let path = self.path.join(name(kind, number));
        if let Ok(file) = self.io.open(&path, Create::Never, Caching::Buffered) {
            file.forget_cached();
        }
    }

    /// Whether the log after this one says that it goes on exactly where this one ends.
    fn is_continued(&self, number: u64) -> bool {
        let next = number.checked_add(1);
        let next = next.filter(|next| self.has(Kind::Log, *next));
        next.is_some_and(|next| {
            let next = self.open(Kind::Log, next);
            next.is_ok_and(|next| next.header.continues)
        })
    }

    /// Reads a file to its end, or to the first place that does not read.
    pub(crate) fn examine(&self, kind: Kind, number: u64) -> Finding {
        let file = match self.open(kind, number) {
            Ok(file) => file,
            Err(error) => {
                // The log is durable before the full dump of its number is there.
                let is_damage =
                    kind == Kind::Full || self.has(Kind::Full, number) || self.is_continued(number);
                return tell(kind, number, 0, &error.to_string(), is_damage);
            }
        };
        let (at, what, is_damage) = match (kind, file.reach()) {
            (Kind::Log, Reach::End { .. }) | (Kind::Full, Reach::End { ended: true }) => {
                return Finding::Whole(file.len());
            }
            (Kind::Full, Reach::End { ended: false }) => (file.len(), "its end is missing", true),
            (Kind::Full, Reach::Broken { at, .. }) => (at, "does not read", true),
            (Kind::Log, Reach::Broken { at, goes_on }) => {
                let is_damage = goes_on || self.is_continued(number);
                (at, "does not read", is_damage)
            }
        };
        tell(kind, number, at, what, is_damage)
    }

    /// The newest full dump has its log: what came later is in no other place.
    pub(crate) fn missing(&self) -> Option<String> {
        let fulls = self.numbers.iter().filter(|(kind, _)| *kind == Kind::Full);
        let newest = fulls.map(|(_, number)| *number).max()?;
        let log = name(Kind::Log, newest);
        (!self.has(Kind::Log, newest)).then(|| format!("{FOLDER}/{log}: is missing"))
    }
}

/// Tells of a place that does not read, as of damage or as of what nobody can know.
fn tell(kind: Kind, number: u64, at: u64, what: &str, is_damage: bool) -> Finding {
    let place = format!("{FOLDER}/{}, byte {at}: {what}", name(kind, number));
    match is_damage {
        true => Finding::Damaged(place),
        false => Finding::Doubtful(place),
    }
}
