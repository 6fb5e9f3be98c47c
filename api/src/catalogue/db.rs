//! The open database and its transactions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use redb::backends::InMemoryBackend;
use store::disk::{Caching, Create, Io, RedbFile};

use super::view::{Reader, Writer};
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

/// The catalogue. Cheap to share by [`Arc`]; all methods block.
pub struct Catalogue {
    database: redb::Database,
    relaxed: AtomicU32,
    signal: Arc<JobSignal>,
}

impl Catalogue {
    /// Opens the database in a file, creating it when absent. The file's lock is held until the
    /// catalogue is dropped.
    ///
    /// # Errors
    /// As [`Catalogue::open`], and `Failed` when another process has the file.
    pub fn open_file(io: &dyn Io, path: &Path, options: Options) -> Result<Self> {
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
        Ok(Self {
            database,
            relaxed: AtomicU32::new(0),
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
        read(&Reader::begin(&self.database)?)
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
        self.run(Writer::begin(&self.database)?, write)
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
        let mut writer = Writer::begin(&self.database)?;
        if !(self.relaxed.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(RELAXED_MAX) {
            writer.relax()?;
        }
        self.run(writer, write)
    }

    fn run<T, E: From<Error>>(
        &self,
        writer: Writer,
        write: impl FnOnce(&Writer) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        // A writer dropped without a commit aborts.
        let value = write(&writer)?;
        if writer.commit()? {
            self.signal.raise();
        }
        Ok(value)
    }

    pub(crate) fn signal(&self) -> &Arc<JobSignal> {
        &self.signal
    }
}
