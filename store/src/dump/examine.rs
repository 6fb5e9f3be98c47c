//! Whether rebuilding could read the dumps, from end to end.
//!
//! Every byte of a dump file is under a checksum. A full dump gets its name once all of it is durable,
//! so whatever does not read in it is damage. A log may end in a transaction that a power loss cut
//! short. Damage to its last transaction looks the same and is doubtful, unless something shows that
//! the log was longer once: a later transaction behind the place, the next log, which says how long this
//! one is, or whoever is writing it.

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
    /// The log that is being written, and how much of it is durable.
    open_log: Option<(u64, u64)>,
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
            open_log: None,
        })
    }

    /// With what is known of the log that is being written.
    pub(crate) fn with_open_log(self, open_log: Option<(u64, u64)>) -> Self {
        Self { open_log, ..self }
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

    /// How many bytes of a log are durable for certain.
    fn certain_bytes(&self, number: u64) -> u64 {
        let open = self.open_log.filter(|(open, _)| *open == number);
        let next = number.checked_add(1);
        let next = next.filter(|next| self.has(Kind::Log, *next));
        let next = next.and_then(|next| self.open(Kind::Log, next).ok());
        let told = next.map_or(0, |next| next.header.before_bytes);
        open.map_or(0, |(_, bytes)| bytes).max(told)
    }

    /// Reads a file to its end, or to the first place that does not read.
    pub(crate) fn examine(&self, kind: Kind, number: u64) -> Finding {
        let certain = match kind {
            Kind::Full => u64::MAX,
            Kind::Log => self.certain_bytes(number),
        };
        let file = match self.open(kind, number) {
            Ok(file) => file,
            Err(error) => {
                // The log is durable before the full dump of its number is there.
                let is_damage = certain > 0 || self.has(Kind::Full, number);
                return tell(kind, number, 0, &error.to_string(), is_damage);
            }
        };
        match (kind, file.reach()) {
            (Kind::Full, Reach::End { ended: true }) => Finding::Whole(file.len()),
            (Kind::Log, Reach::End { .. }) if file.len() >= certain => Finding::Whole(file.len()),
            (_, Reach::End { .. }) => tell(kind, number, file.len(), "its end is missing", true),
            (_, Reach::Broken { at, goes_on }) => {
                tell(kind, number, at, "does not read", goes_on || at < certain)
            }
        }
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
