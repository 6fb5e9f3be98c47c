//! The engine's metadata: one redb file behind typed rows.
//!
//! Promises: a reader sees one committed state; a commit is durable, and all of it or nothing is
//! there after a crash; every row is checked when it is read; reopening after a crash takes no walk
//! of the file. Does not know what the rows mean to one another. No other module names a table.

mod change;
mod checked;
mod codec;
mod error;
mod format;
mod front;
mod health;
mod pages;
mod rows;
mod run;
mod sums;
mod tables;
mod turns;
mod writer;

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadableDatabase, StorageBackend};

pub(crate) use change::{ChangeSink, Changes};
pub(crate) use rows::{
    CheckpointRow, ContainerRow, DomainRow, ForwardRow, LayerId, LayerRow, LayerState, Location,
    SnapshotRow, VolumeRow,
};
pub(crate) use run::{RUN_CHUNKS, Run};
pub(crate) use tables::{IndexRead, IndexReader};
pub(crate) use writer::IndexWriter;

use crate::disk::{Caching, Create, File, Io, RedbFile, Relief};
use crate::{Error, ErrorKind, Result};
use checked::CheckedFile;
use error::failed;
use health::Health;
pub(crate) use pages::{LookedAt, WrongPage};
use sums::Sums;
use turns::Turns;

/// The metadata file and the sums of its pages.
pub(crate) struct MetaFiles {
    /// `meta.redb`.
    pub(crate) data: Arc<dyn File>,
    /// The same, past the page cache.
    pub(crate) direct: Arc<dyn File>,
    /// `meta.sums`.
    pub(crate) sums: Arc<dyn File>,
    /// Whether the pool has sums: before that, what lies under their name says nothing.
    pub(crate) has_sums: bool,
}

impl MetaFiles {
    /// Opens or makes the file at `path` and its sums, which have the same name ending in `.sums`.
    pub(crate) fn open(io: &dyn Io, path: &Path, has_sums: bool) -> io::Result<Self> {
        let data = io.open(path, Create::IfMissing, Caching::Buffered)?;
        let direct = io.open(path, Create::Never, Caching::Direct)?;
        let sums = path.with_extension("sums");
        let sums = io.open(&sums, Create::IfMissing, Caching::Buffered)?;
        if let Some(dir) = path.parent() {
            io.sync_dir(dir)?;
        }
        Ok(Self {
            data,
            direct,
            sums,
            has_sums,
        })
    }

    /// See [`File::forget_cached`]: after a failed sync the cache shows what the disk does not have.
    pub(crate) fn forget_cached(&self) {
        self.data.forget_cached();
        self.sums.forget_cached();
    }
}

/// The open metadata file.
pub(crate) struct Index {
    /// Always there but while it is dropped.
    database: Option<Database>,
    health: Health,
    /// Who is told of every committed change.
    follower: Mutex<Option<Arc<dyn ChangeSink>>>,
    turns: Arc<Turns>,
    sums: Arc<Sums>,
    data: Arc<dyn File>,
    direct: Arc<dyn File>,
}

impl Index {
    /// Opens the metadata, making it when the file is empty. Every page is checked when it is read.
    /// `cache_bytes` is redb's page cache; `relief` is asked for space when the file cannot grow.
    ///
    /// # Errors
    /// `Busy` when another process has it, `UnsupportedFormat`, `Corrupt`, `Io`, `NoSpace`.
    pub(crate) fn open(files: MetaFiles, cache_bytes: u64, relief: Relief) -> Result<Self> {
        let backend = RedbFile::locked(Arc::clone(&files.data)).map_err(lock_failed)?;
        let backend = backend.relieved_by(Arc::clone(&relief));
        let sums = RedbFile::locked(files.sums).map_err(lock_failed)?;
        let sums = Arc::new(Sums::new(sums.relieved_by(relief)));
        let direct = Arc::clone(&files.direct);
        let backend = CheckedFile::open(backend, direct, Arc::clone(&sums), files.has_sums);
        let mut database = open_database(backend.map_err(opening_failed)?, cache_bytes)?;
        if sums.read().is_learning() {
            if files.has_sums {
                sums.remark("meta.sums: missing or damaged; the sums have been taken anew");
            }
            let learnt = learn(&mut database, &sums, &*files.data);
            if let Err(error) = learnt {
                // What did not end well before does not here either, and is not the news.
                let _ = panic::catch_unwind(AssertUnwindSafe(move || drop(database)));
                return Err(error);
            }
        }
        let index = Self {
            database: Some(database),
            health: Health::default(),
            follower: Mutex::default(),
            turns: Arc::default(),
            sums,
            data: files.data,
            direct: files.direct,
        };
        index.check_format()?;
        Ok(index)
    }

    /// Compares pages with their sums, on the disk itself, and writes those again that the page cache
    /// has whole if that is allowed.
    pub(crate) fn check_pages(
        &self,
        from: usize,
        count: usize,
        may_repair: bool,
    ) -> Result<LookedAt> {
        let looked = self
            .sums
            .check_pages(&*self.data, &*self.direct, from, count, may_repair);
        looked.map_err(|error| Error::io("metadata: reading pages", error))
    }

    /// Whether anything refers to a page, in an index that was walked through when it was opened.
    pub(crate) fn has_read(&self, page: usize) -> bool {
        page == 0 || self.sums.read().knows(page)
    }

    /// Forgets the sum of a page that nothing refers to.
    pub(crate) fn forget_page(&self, page: usize) -> Result<()> {
        let forgotten = self.sums.forget(&*self.direct, page);
        forgotten.map_err(|error| Error::io("metadata: reading pages", error))
    }

    /// What was found to be wrong, and mended, when the files were opened.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.sums.notes()
    }

    /// Empties the list in the first page.
    #[cfg(test)]
    pub(crate) fn take_over_sums(&self) {
        self.sums.take_over().unwrap();
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
        let turn = self.turns.take();
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
            turn,
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
        writer.commit()?;
        // With sums beside it, a file that is lost is never taken for one that is to be made.
        self.sums.take_over().map_err(opening_failed)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // Otherwise they are in the first page, which will do.
        let _ = self.sums.take_over();
        self.health.dispose(self.database.take());
    }
}

/// redb asserts what it believes of the file; on a damaged one that fails, and says no more than that
/// the file is damaged. Nothing of the half-opened database outlives the attempt.
fn open_database(backend: impl StorageBackend, cache_bytes: u64) -> Result<Database> {
    let cache_bytes = usize::try_from(cache_bytes).unwrap_or(usize::MAX);
    let open = || {
        Database::builder()
            .set_cache_size(cache_bytes)
            .create_with_backend(backend)
    };
    let opened = panic::catch_unwind(AssertUnwindSafe(open));
    opened.map_err(|_| damaged())?.map_err(failed("opening"))
}

/// Has redb walk through all that it refers to and compare it with its own checksums, while the sums
/// of what it reads are noted; then believes them.
fn learn(database: &mut Database, sums: &Sums, data: &dyn File) -> Result<()> {
    let walked = panic::catch_unwind(AssertUnwindSafe(|| database.check_integrity()));
    let clean = walked
        .map_err(|_| damaged())?
        .map_err(failed("checking all pages"))?;
    if !clean {
        sums.remark("meta.redb: what it says of free space was wrong, and has been mended");
    }
    sums.end_learning().map_err(opening_failed)?;
    sums.write_front(|page| data.write_at(page, 0))
        .and_then(|_| data.sync_data())
        .map_err(opening_failed)
}

fn damaged() -> Error {
    Error::new(ErrorKind::Corrupt, "metadata: the file is damaged")
}

fn opening_failed(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::InvalidData {
        return Error::new(ErrorKind::Corrupt, error.to_string());
    }
    Error::io("metadata: opening", error)
}

fn lock_failed(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::WouldBlock {
        return Error::new(ErrorKind::Busy, "another process has the pool open");
    }
    Error::io("metadata: locking", error)
}

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;
