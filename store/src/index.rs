//! The engine's metadata: one redb file behind typed rows.
//!
//! Promises: a reader sees one committed state; a commit is durable, and all of it or nothing is
//! there after a crash; every row is checked when it is read; reopening after a crash takes no walk
//! of the file. Does not know what the rows mean to one another. No other module names a table.

mod change;
mod codec;
mod error;
mod format;
mod health;
mod rows;
mod run;
mod tables;
mod writer;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase};

pub(crate) use change::{ChangeSink, Changes};
pub(crate) use rows::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerId, LayerRow, LayerState, Location,
    SnapshotRow, VolumeRow,
};
pub(crate) use run::{RUN_CHUNKS, Run};
pub(crate) use tables::{IndexRead, IndexReader};
pub(crate) use writer::IndexWriter;

use crate::disk::{File, RedbFile, Relief};
use crate::{Error, ErrorKind, Result};
use error::failed;
use health::Health;

/// Bytes at the file's start that redb sets last when it makes a new file.
const REDB_MAGIC_BYTES: usize = 9;

/// The open metadata file.
pub(crate) struct Index {
    /// Always there but while it is dropped.
    database: Option<Database>,
    health: Health,
    /// Who is told of every committed change.
    follower: Mutex<Option<Arc<dyn ChangeSink>>>,
}

impl Index {
    /// Opens the metadata in `file`, making it when the file is empty. `cache_bytes` is redb's page
    /// cache; `relief` is asked for space when the file cannot grow.
    ///
    /// # Errors
    /// `Busy` when another process has it, `UnsupportedFormat`, `Corrupt`, `Io`, `NoSpace`.
    pub(crate) fn open(file: Arc<dyn File>, cache_bytes: u64, relief: Relief) -> Result<Self> {
        let backend = RedbFile::locked(Arc::clone(&file)).map_err(lock_failed)?;
        let backend = backend.relieved_by(relief);
        start_again_if_unborn(&*file).map_err(|error| Error::io("metadata: opening", error))?;
        drop(file);
        let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
        // redb asserts what it believes of the file; on a damaged one that fails, and says no more
        // than that the file is damaged. Nothing of the half-opened database outlives the attempt.
        let opened = panic::catch_unwind(AssertUnwindSafe(|| {
            Database::builder()
                .set_cache_size(cache_bytes)
                .create_with_backend(backend)
        }));
        let database = opened
            .map_err(|_| Error::new(ErrorKind::Corrupt, "metadata: the file is damaged"))?
            .map_err(failed("opening"))?;
        let index = Self {
            database: Some(database),
            health: Health::default(),
            follower: Mutex::default(),
        };
        index.check_format()?;
        Ok(index)
    }

    /// A view of what is committed now.
    pub(crate) fn read(&self) -> Result<IndexReader> {
        let begin = || {
            let begun = self.database().begin_read();
            begun.map_err(failed("starting to read"))
        };
        Ok(IndexReader {
            transaction: Some(self.health.guard(begin)?),
            health: self.health.clone(),
        })
    }

    /// Starts the one transaction there can be; waits for another to end.
    pub(crate) fn write(&self) -> Result<IndexWriter> {
        let begin = || {
            let begun = self.database().begin_write();
            let mut transaction = begun.map_err(failed("starting to write"))?;
            // Durability is immediate unless asked otherwise. Quick repair keeps the allocator's
            // state in each commit, so that opening after a crash takes milliseconds instead of a
            // full walk.
            transaction.set_quick_repair(true);
            Ok(transaction)
        };
        let transaction = self.health.guard(begin)?;
        let follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(IndexWriter::new(
            transaction,
            self.health.clone(),
            follower.clone(),
        ))
    }

    /// Has all later transactions told to `follower`, in place of another, and gives a view of what is
    /// committed before them.
    pub(crate) fn follow(&self, follower: Arc<dyn ChangeSink>) -> Result<IndexReader> {
        // While this one is open there is no other.
        let _alone = self.write()?;
        let reader = self.read()?;
        let mut current = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(follower);
        Ok(reader)
    }

    /// Has `listener` called, once, when the file turns out to be damaged while it is in use.
    pub(crate) fn on_damage(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.health.listen(Box::new(listener));
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is taken in drop only")
    }

    fn check_format(&self) -> Result<()> {
        let writer = self.write()?;
        if let Some(format) = writer.format()? {
            return format.check();
        }
        writer.initialise()?;
        writer.commit()
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.health.dispose(self.database.take());
    }
}

fn lock_failed(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Error::new(ErrorKind::Busy, "another process has the pool open");
    }
    Error::io("metadata: locking", error)
}

/// Empties a file whose making was cut short: redb writes its magic number after everything else is
/// durable, and refuses a file without it.
fn start_again_if_unborn(file: &dyn File) -> io::Result<()> {
    let mut magic = [0; REDB_MAGIC_BYTES];
    let start = file.len()?.min(REDB_MAGIC_BYTES as u64) as usize;
    file.read_at(&mut magic[..start], 0)?;
    if start > 0 && magic == [0; REDB_MAGIC_BYTES] {
        file.set_len(0)?;
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
