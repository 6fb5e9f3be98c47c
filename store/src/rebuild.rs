//! Building the index again when its file is lost or damaged. Offline: no other process has the pool.
//!
//! The newest whole metadata dump is read, then the logs of transactions behind it, as far as they go.
//! What that says of containers is held against the pack files; the journal is replayed on top of it if
//! no part of it is missing in between, and otherwise set aside, since a state with a hole in its
//! history would be a mixture. A chunk of which the place is gone gets an address that reads as an
//! error: container ids are given out once and what is under an id never changes, so a chunk that is
//! found is the right one, and one that is not is never replaced by another. The new file is made
//! beside the old one and takes its place when it is complete; the old one is set aside, never removed.

mod chain;
mod check;
mod containers;
mod segments;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::addr::ContainerId;
use crate::disk::{Caching, Create, Io};
use crate::index::{CheckpointRow, ForwardRow, Index, IndexRead, MetaFiles};
use crate::pool_file::PoolFile;
use crate::{Disk, Error, ErrorKind, OpenOptions, Result, Store};
use chain::Chain;
use segments::Segments;

/// Ids of containers that may have been given out after the last dump and are never used again: as many
/// as 64 TiB of writes take. Among them may be numbers that nonces were made of.
const CONTAINERS_SKIPPED: u64 = 1 << 24;
/// The same of layers.
const LAYERS_SKIPPED: u32 = 1 << 16;
/// The file that is being built.
const NEW_FILE: &str = "meta.redb.new";
const FILE: &str = "meta.redb";
/// The sums of both: the same names with another ending.
const NEW_SUMS: &str = "meta.redb.sums";
const SUMS: &str = "meta.sums";

/// What became of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogUse {
    /// Replayed to its end.
    Applied,
    /// There is none behind that moment.
    Absent,
    /// Set aside, as a part of it that comes first is missing. What was written after the dump is lost.
    SetAside,
}

/// A disk that was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebuiltDisk {
    /// Which.
    pub disk: Disk,
    /// Its size.
    pub size_bytes: u64,
    /// What of it cannot be read, because its place is gone; it reads as an error.
    pub lost_bytes: u64,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// The moment of the last change that was found in dumps, in microseconds since 1970. Every disk is
    /// as it was then, plus the journal if that was applied.
    pub as_of_us: u64,
    /// What became of the journal behind that.
    pub log: LogUse,
    /// All volumes and snapshots.
    pub disks: Vec<RebuiltDisk>,
    /// Containers of packs that are missing or damaged.
    pub containers_lost: u64,
    /// Dumps that were passed over, and why.
    pub notes: Vec<String>,
    /// Where the old file and everything else that is not used any more lies, if there was anything.
    pub set_aside: Option<PathBuf>,
}

/// Builds the index of the pool in `dir` again. Keys of encrypted volumes are not needed.
///
/// # Errors
/// `NotFound` without a whole dump, `Busy` when another process has the pool, `Corrupt` when the
/// journal is damaged, `UnsupportedFormat`, `NoSpace`, `Io`. The pool is as it was then.
pub fn rebuild(io: &Arc<dyn Io>, dir: &Path, options: OpenOptions) -> Result<Rebuilt> {
    let pool = *PoolFile::read(&**io, dir)?.id.as_bytes();
    let work = Work { io, dir };
    let _lock = work.lock()?;
    let (index, mut notes) = (work.new_index(options)?, Vec::new());
    let chain = Chain::find(&**io, dir, pool, &mut notes)?;
    let as_of_us = chain.load(&index)?;
    let packs = containers::check(io, dir, pool, &index)?;
    let segments = Segments::find(&**io, dir, pool, &index)?;
    let lost = work.settle(&index, &packs, &segments)?;
    drop(index);
    let aside = Aside::new(&**io, dir);
    aside.swap(&segments)?;
    let opened = work.open(options);
    let store = opened.or_else(|error| aside.swap_back().and(Err(error)))?;
    let log = match segments.beyond_gap.is_empty() {
        false => LogUse::SetAside,
        true if store.engine().journal.cut() > segments.applied => LogUse::Applied,
        true => LogUse::Absent,
    };
    Ok(Rebuilt {
        as_of_us,
        log,
        disks: check::disks(store.engine(), lost)?,
        containers_lost: packs.lost,
        notes,
        set_aside: aside.used(),
    })
}

/// A rebuilding under way.
struct Work<'a> {
    io: &'a Arc<dyn Io>,
    dir: &'a Path,
}

impl Work<'_> {
    /// Takes the lock that an open pool holds on its index. A file that is gone is nobody's.
    fn lock(&self) -> Result<Option<Arc<dyn crate::disk::File>>> {
        let path = self.dir.join(FILE);
        let file = match self.io.open(&path, Create::Never, Caching::Buffered) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("opening {}", path.display()), error)),
        };
        match file.lock() {
            Ok(()) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                let context = "another process has the pool open";
                Err(Error::new(ErrorKind::Busy, context))
            }
            Err(error) => Err(Error::io(format!("locking {}", path.display()), error)),
        }
    }

    /// An empty index beside the old one.
    fn new_index(&self, options: OpenOptions) -> Result<Index> {
        let path = self.dir.join(NEW_FILE);
        let failed = |e| Error::io(format!("making {}", path.display()), e);
        let files = MetaFiles::open(&**self.io, &path, true).map_err(failed)?;
        for file in [&files.data, &files.sums] {
            file.set_len(0).map_err(failed)?;
        }
        Index::open(files, options.memory_bytes / 4, Arc::new(|| false))
    }

    /// Gives chunks without a place an address that reads as an error, and says from which ids on
    /// everything is new. Gives the container of such addresses if there are any.
    fn settle(
        &self,
        index: &Index,
        packs: &containers::Packs,
        segments: &Segments,
    ) -> Result<Option<ContainerId>> {
        let reader = index.read()?;
        let row = reader.checkpoint()?.unwrap_or_default();
        let highest = packs.highest.max(segments.highest_container);
        let lost = ContainerId(row.next_container.max(highest + 1));
        let found = check::settle_runs(index, packs, segments, lost)?;
        let set_aside = !segments.beyond_gap.is_empty();
        let writer = index.write()?;
        if found {
            writer.put_forward(lost, &ForwardRow::holes())?;
        }
        writer.put_checkpoint(&CheckpointRow {
            next_container: lost.0 + CONTAINERS_SKIPPED,
            // A journal that is replayed names the layers it made.
            next_layer: row.next_layer.max(1) + if set_aside { LAYERS_SKIPPED } else { 0 },
            clean: false,
            ..row
        })?;
        writer.commit()?;
        Ok(found.then_some(lost))
    }

    fn open(&self, options: OpenOptions) -> Result<Store> {
        let options = OpenOptions {
            background: false,
            ..options
        };
        Store::open(Arc::clone(self.io), self.dir, options)
    }
}

/// Where files go that are not used any more, and come back from if that was too early.
struct Aside<'a> {
    io: &'a dyn Io,
    dir: &'a Path,
    folder: PathBuf,
    moved: std::cell::RefCell<Vec<PathBuf>>,
}

impl<'a> Aside<'a> {
    fn new(io: &'a dyn Io, dir: &'a Path) -> Self {
        let folder = dir.join(format!("aside-{}", io.now_us()));
        Self {
            io,
            dir,
            folder,
            moved: std::cell::RefCell::default(),
        }
    }

    fn used(&self) -> Option<PathBuf> {
        (!self.moved.borrow().is_empty()).then(|| self.folder.clone())
    }

    /// Moves a file of the pool out of the way; one that is not there needs not be.
    fn take(&self, name: &Path) -> Result<()> {
        let failed = |e| Error::io(format!("setting {} aside", name.display()), e);
        let from = self.dir.join(name);
        let to = self.folder.join(name);
        let folder = to.parent().unwrap_or(&self.folder);
        self.io.create_dir(folder).map_err(failed)?;
        match self.io.rename(&from, &to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(failed)?,
        }
        self.moved.borrow_mut().push(name.to_owned());
        let parent = from.parent().unwrap_or(self.dir);
        let synced = self
            .io
            .sync_dir(folder)
            .and_then(|()| self.io.sync_dir(parent));
        synced.map_err(failed)
    }

    /// Puts the new index in the place of the old one, and takes out of the journal what cannot be used.
    fn swap(&self, segments: &Segments) -> Result<()> {
        self.take(Path::new(FILE))?;
        // Without the file that they are of, they are worth nothing and are replaced.
        if self.used().is_some() {
            self.take(Path::new(SUMS))?;
        }
        for name in &segments.beyond_gap {
            self.take(&Path::new("journal").join(name))?;
        }
        for name in &segments.unknown_keys {
            self.take(&Path::new("keys").join(name))?;
        }
        let rename =
            |from: &str, to: &str| self.io.rename(&self.dir.join(from), &self.dir.join(to));
        let renamed = rename(NEW_SUMS, SUMS).and_then(|()| rename(NEW_FILE, FILE));
        let synced = renamed.and_then(|()| self.io.sync_dir(self.dir));
        synced.map_err(|e| Error::io("putting the new index in its place", e))
    }

    /// Undoes [`Self::swap`].
    fn swap_back(&self) -> Result<()> {
        let rename =
            |from: &str, to: &str| self.io.rename(&self.dir.join(from), &self.dir.join(to));
        let renamed = rename(FILE, NEW_FILE).and_then(|()| rename(SUMS, NEW_SUMS));
        renamed.map_err(|e| Error::io("taking the new index out of its place", e))?;
        for name in self.moved.borrow_mut().drain(..) {
            let back = self
                .io
                .rename(&self.folder.join(&name), &self.dir.join(&name));
            back.map_err(|e| Error::io(format!("putting {} back", name.display()), e))?;
        }
        self.io
            .sync_dir(self.dir)
            .map_err(|e| Error::io("syncing the pool's folder", e))
    }
}
