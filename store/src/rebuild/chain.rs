//! Which dumps there are, and reading the newest that is whole with all that follows it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use crate::disk::Io;
use crate::dump::FOLDER;
use crate::dump::format::Kind;
use crate::dump::reader::{DumpFile, list};
use crate::index::{Changes, Index, IndexWriter};
use crate::{Error, ErrorKind, Result};

/// Entries put into the new index in one transaction, in bytes.
const COMMIT_BYTES: usize = 64 << 20;

/// A full dump and the logs that follow it without a gap.
pub(super) struct Chain {
    full: (DumpFile, HashSet<u64>),
    logs: Vec<(DumpFile, HashSet<u64>)>,
}

/// The folder of dumps.
struct Folder<'a> {
    io: &'a dyn Io,
    path: PathBuf,
    pool: [u8; 16],
}

impl Chain {
    /// Finds the newest full dump that is whole, and says why newer ones are not used.
    ///
    /// # Errors
    /// `NotFound` when there is none, `UnsupportedFormat` when the newest is of a newer program.
    pub(super) fn find(
        io: &dyn Io,
        dir: &Path,
        pool: [u8; 16],
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let path = dir.join(FOLDER);
        let folder = Folder { io, path, pool };
        let (fulls, logs) = folder.numbers()?;
        for number in fulls.into_iter().rev() {
            match folder.whole_full(number) {
                Ok(full) => {
                    let logs = folder.logs(number, &logs, notes)?;
                    return Ok(Self { full, logs });
                }
                Err(error) if error.kind() == ErrorKind::Corrupt => notes.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        let context = format!("{}: no metadata dump is whole", folder.path.display());
        Err(Error::new(ErrorKind::NotFound, context))
    }

    /// Puts everything into a new index; gives the moment of the last change.
    pub(super) fn load(&self, index: &Index) -> Result<u64> {
        let mut as_of_us = self.full.0.header.begun_us;
        let mut writer = index.write()?;
        let mut bytes = 0;
        for (file, whole) in std::iter::once(&self.full).chain(&self.logs) {
            for block in file.of_transactions(whole) {
                apply(&writer, &block.entries)?;
                as_of_us = as_of_us.max(block.header.at_us);
                bytes += block.entries.len();
                if bytes >= COMMIT_BYTES {
                    bytes = 0;
                    writer.commit()?;
                    writer = index.write()?;
                }
            }
        }
        writer.commit()?;
        Ok(as_of_us)
    }
}

fn apply(writer: &IndexWriter, entries: &[u8]) -> Result<()> {
    Changes(entries).try_for_each(|change| writer.apply(&change?))
}

impl Folder<'_> {
    /// Numbers of full dumps and of logs, in order.
    fn numbers(&self) -> Result<(Vec<u64>, Vec<u64>)> {
        let mut numbers: BTreeMap<bool, Vec<u64>> = BTreeMap::new();
        for (kind, number) in list(self.io, &self.path)? {
            numbers.entry(kind == Kind::Full).or_default().push(number);
        }
        numbers
            .values_mut()
            .for_each(|numbers| numbers.sort_unstable());
        let mut take = |full| numbers.remove(&full).unwrap_or_default();
        Ok((take(true), take(false)))
    }

    fn open(&self, kind: Kind, number: u64) -> Result<DumpFile> {
        DumpFile::open(self.io, &self.path, kind, number, self.pool)
    }

    fn whole_full(&self, number: u64) -> Result<(DumpFile, HashSet<u64>)> {
        let file = self.open(Kind::Full, number)?;
        let whole = file.whole_transactions();
        if whole.is_empty() || !file.is_read_to_its_end() {
            let context = format!("metadata dump {number} is damaged");
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        Ok((file, whole))
    }

    /// The logs from `first` on, up to where one is missing or damaged.
    fn logs(
        &self,
        first: u64,
        numbers: &[u64],
        notes: &mut Vec<String>,
    ) -> Result<Vec<(DumpFile, HashSet<u64>)>> {
        let mut logs: Vec<(DumpFile, HashSet<u64>)> = Vec::new();
        for number in numbers.iter().copied().filter(|number| *number >= first) {
            let file = match self.open(Kind::Log, number) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::UnsupportedFormat => return Err(error),
                Err(error) => {
                    notes.push(error.to_string());
                    break;
                }
            };
            if number != first + logs.len() as u64 {
                break;
            }
            let before = logs.last().map_or(u64::MAX, |(log, _)| log.len());
            if before < file.header.before_bytes {
                notes.push(format!(
                    "the end of the log of metadata dump {} is missing",
                    number - 1
                ));
                break;
            }
            if number != first && !file.header.continues {
                break;
            }
            let whole = file.whole_transactions();
            let damaged = !file.is_read_to_its_end();
            logs.push((file, whole));
            if damaged {
                // A transaction that was being written, or damage: what follows cannot be used.
                notes.push(format!(
                    "the log of metadata dump {number} ends in what does not read"
                ));
                break;
            }
        }
        Ok(logs)
    }
}
