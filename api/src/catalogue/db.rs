//! The open database and its transactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use redb::backends::InMemoryBackend;
use store::disk::{Caching, Create, Io, RedbFile};

use super::dump;
use super::follow::Followers;
use super::view::Reader;
use super::writer::Writer;
use super::{Error, ErrorKind, Result};

/// After this many transactions that need not be durable, one is made so all the same: redb cannot
/// reuse pages until then.
const RELAXED_MAX: u32 = 64;

/// Settings of an open catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Memory for the page cache, in bytes.
    pub cache_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        // Ten thousand volumes with their indexes are about 20 MiB.
        Self {
            cache_bytes: 64 << 20,
        }
    }
}

/// Tells waiting workers that jobs were queued.
#[derive(Default)]
pub(crate) struct JobSignal {
    generation: Mutex<u64>,
    changed: Condvar,
}

impl JobSignal {
    pub(crate) fn raise(&self) {
        let mut generation = self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *generation += 1;
        self.changed.notify_all();
    }

    pub(crate) fn generation(&self) -> u64 {
        *self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the generation differs from `seen`, at most `limit`.
    pub(crate) fn wait(&self, seen: u64, limit: Duration) {
        let generation = self
            .generation
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        drop(
            self.changed
                .wait_timeout_while(generation, limit, |generation| *generation == seen),
        );
    }
}

/// What transactions need.
pub(super) struct Shared {
    pub(super) database: redb::Database,
    pub(super) followers: Followers,
}

/// The catalogue. Cheap to share by [`Arc`]; all methods block.
pub struct Catalogue {
    shared: Arc<Shared>,
    /// Rises with every change of a record that is [`super::Record::WATCHED`].
    watched: AtomicU64,
    relaxed: AtomicU32,
    /// Commits so far, and the last of them that was durable at once; changed by whose turn it is.
    commits: AtomicU64,
    durable: AtomicU64,
    signal: Arc<JobSignal>,
}

impl Catalogue {
    /// Opens the database in a file, creating it when absent. The file's lock is held until the
    /// catalogue is dropped.
    ///
    /// # Errors
    /// As [`Catalogue::open`], `Failed` when another process has the file, and `Corrupt` when the file
    /// is absent or empty and dumps of it are not.
    pub fn open_file(io: &dyn Io, path: &Path, options: Options) -> Result<Self> {
        dump::refuse_lost(io, path)?;
        let opened = io
            .open(path, Create::IfMissing, Caching::Buffered)
            .and_then(RedbFile::locked);
        let backend = opened.map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
                _ => ErrorKind::Failed,
            };
            let context = format!("catalogue {}: {error}", path.display());
            Error::with_source(kind, context, error)
        })?;
        let catalogue = Self::open(backend, options)?;
        // The file's name must be as durable as the first transaction.
        let dir = path.parent().unwrap_or(path);
        io.sync_dir(dir).map_err(|error| {
            Error::with_source(
                ErrorKind::Failed,
                format!("catalogue: sync folder: {error}"),
                error,
            )
        })?;
        Ok(catalogue)
    }

    /// Opens the database on a storage backend, creating it when the backend is empty.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedFormat`, `NoSpace`, `Failed`.
    pub fn open(backend: impl redb::StorageBackend, options: Options) -> Result<Self> {
        // redb asserts what it believes of the file; on a damaged one that fails, and says no more
        // than that the file is damaged. Nothing of the half-opened database outlives the attempt.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            redb::Builder::new()
                .set_cache_size(options.cache_bytes)
                .create_with_backend(backend)
        }));
        let database = opened
            .map_err(|_| Error::new(ErrorKind::Corrupt, "catalogue: the file is damaged"))?
            .map_err(|error| Error::database("open", error))?;
        let followers = Followers::default();
        Ok(Self {
            shared: Arc::new(Shared {
                database,
                followers,
            }),
            watched: AtomicU64::new(0),
            relaxed: AtomicU32::new(0),
            commits: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            signal: Arc::default(),
        })
    }

    /// A catalogue that lives only in memory, for tests and tools.
    ///
    /// # Errors
    /// Those of [`Catalogue::open`].
    pub fn in_memory() -> Result<Self> {
        Self::open(InMemoryBackend::new(), Options::default())
    }

    /// Reads one consistent state.
    ///
    /// # Errors
    /// Those of the database and of `read`.
    pub fn read<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Reader) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        read(&Reader::begin(&self.shared)?)
    }

    /// Runs one transaction; it is durable when this returns `Ok`, and changes nothing when `write`
    /// fails.
    ///
    /// # Errors
    /// Those of the database and of `write`.
    pub fn write<T, E: From<Error>>(
        &self,
        write: impl FnOnce(&Writer) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        self.run(false, write)
    }

    /// As [`Catalogue::write`], but a crash soon after may lose it: for what can be had again, such
    /// as new tokens.
    ///
    /// # Errors
    /// Those of the database and of `write`.
    pub fn write_relaxed<T, E: From<Error>>(
        &self,
        write: impl FnOnce(&Writer) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let count = self.relaxed.fetch_add(1, Ordering::Relaxed) + 1;
        self.run(!count.is_multiple_of(RELAXED_MAX), write)
    }

    /// As [`Catalogue::write`], but others see the change before it is durable: for what is done
    /// again from the same state if a crash takes it back.
    ///
    /// # Errors
    /// Those of the database and of `write`. If the change is made and cannot be made durable, it
    /// stays and an error is returned.
    pub fn write_early<T, E: From<Error>>(
        &self,
        write: impl FnOnce(&Writer) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let value = self.run(true, write)?;
        self.settle()?;
        Ok(value)
    }

    /// Makes all commits so far durable, unless a later one has done so.
    fn settle(&self) -> Result<()> {
        let number = self.commits.load(Ordering::SeqCst);
        let _turn = self.shared.followers.turn();
        if self.durable.load(Ordering::SeqCst) >= number {
            return Ok(());
        }
        Writer::begin(&self.shared)?.commit()?;
        let number = self.commits.load(Ordering::SeqCst);
        self.durable.store(number, Ordering::SeqCst);
        Ok(())
    }

    fn run<T, E: From<Error>>(
        &self,
        relaxed: bool,
        write: impl FnOnce(&Writer) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let followers = &self.shared.followers;
        let _turn = followers.turn();
        let mut writer = Writer::begin(&self.shared)?;
        if relaxed {
            writer.relax()?;
        }
        // A writer dropped without a commit aborts.
        let value = write(&writer)?;
        let committed = writer.commit()?;
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        if !relaxed {
            self.durable.store(number, Ordering::SeqCst);
        }
        if committed.watched {
            self.watched.fetch_add(1, Ordering::SeqCst);
        }
        if !committed.changes.is_empty() {
            followers.tell(&committed.changes, committed.version);
        }
        if committed.jobs {
            self.signal.raise();
        }
        Ok(value)
    }

    /// How often records that are [`super::Record::WATCHED`] have changed since the catalogue was opened. What
    /// was derived from them in a read transaction that began later than a call of this holds as
    /// long as this gives the same.
    pub fn watched(&self) -> u64 {
        self.watched.load(Ordering::SeqCst)
    }

    /// How many transactions were committed since the catalogue was opened.
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn signal(&self) -> &Arc<JobSignal> {
        &self.signal
    }
}
