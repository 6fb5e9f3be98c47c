//! Metadata dumps: what cannot be found from packs and journal, written beside the index in a form of
//! its own, so that a lost index can be built again.
//!
//! A full dump has all rows as of one transaction of the index. Every later transaction is appended to
//! a log, durable before anything is given back that rested on the state before it: journal segments,
//! and containers. So full dump, log and journal together are as new as the index. When a log has grown
//! as long as its full dump, the next full dump is written, from one view of the index and without
//! holding anybody up; the log after it begins at that very view.
//!
//! Nothing depends on dumps while the pool is open: one that cannot be written is tried again later.

pub(crate) mod examine;
pub(crate) mod format;
mod log;
pub(crate) mod reader;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::chunk::compress::Compressor;
use crate::disk::{Caching, Create, File, Io};
use crate::engine::Engine;
use crate::index::IndexReader;
use crate::journal::poisoned;
use crate::reserve::Reserve;
use crate::{Error, ErrorKind, Result, Store};
use format::{FILE_HEADER_BYTES, FileHeader, Kind, put_block};
use log::ChangeLog;
use reader::{DumpFile, list, name, parse_name};

/// The folder in the pool.
pub(crate) const FOLDER: &str = "dump";
/// A log is let grow to this length however small its full dump is.
const LOG_BYTES_MIN: u64 = 64 << 20;
/// Entries of one block.
const BLOCK_ENTRIES_BYTES: usize = 1 << 20;
/// When a dump that failed is tried again.
const RETRY_US: u64 = 60_000_000;
/// How long the thread sleeps between two looks.
const NAP: Duration = Duration::from_millis(500);
/// Full dumps that are kept.
const KEPT: usize = 2;

/// The dumps of an open pool.
pub(crate) struct Dumps {
    io: Arc<dyn Io>,
    dir: PathBuf,
    pool: [u8; 16],
    reserve: Arc<Reserve>,
    state: Mutex<State>,
    /// Held while a full dump is written.
    writing: Mutex<()>,
    closing: Mutex<bool>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    log: Option<Arc<ChangeLog>>,
    /// Length of the last full dump; `None` until one was written since the pool was opened.
    full_bytes: Option<u64>,
    /// Not before this moment, after a failure.
    retry_us: u64,
}

impl Dumps {
    /// The dumps of the pool in `dir`; nothing is read or written yet.
    pub(crate) fn new(io: Arc<dyn Io>, dir: &Path, pool: [u8; 16], reserve: Arc<Reserve>) -> Self {
        Self {
            io,
            dir: dir.join(FOLDER),
            pool,
            reserve,
            state: Mutex::default(),
            writing: Mutex::default(),
            closing: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    /// Whether a full dump is to be written.
    pub(crate) fn is_due(&self) -> bool {
        let state = self.state.lock().expect(poisoned!());
        if self.io.now_us() < state.retry_us {
            return false;
        }
        match (&state.log, state.full_bytes) {
            (Some(log), Some(full_bytes)) => {
                !log.is_whole() || log.bytes() > full_bytes.max(LOG_BYTES_MIN)
            }
            _ => true,
        }
    }

    /// Ends the waiting and writing of the thread, now and from now on.
    pub(crate) fn dismiss(&self) {
        *self.closing.lock().expect(poisoned!()) = true;
        self.wake.notify_all();
    }

    /// Lets dumps be written again, for the last one of a pool that is being closed.
    pub(crate) fn recall(&self) {
        *self.closing.lock().expect(poisoned!()) = false;
    }

    fn is_dismissed(&self) -> bool {
        *self.closing.lock().expect(poisoned!())
    }

    fn nap(&self) {
        let closing = self.closing.lock().expect(poisoned!());
        let woken = self
            .wake
            .wait_timeout_while(closing, NAP, |closing| !*closing);
        drop(woken.expect(poisoned!()));
    }

    fn numbers(&self) -> Result<Vec<(Kind, u64)>> {
        list(&*self.io, &self.dir)
    }

    fn header(&self, kind: Kind, number: u64) -> FileHeader {
        FileHeader {
            kind,
            continues: false,
            before_bytes: 0,
            pool: self.pool,
            number,
            begun_us: self.io.now_us(),
        }
    }

    /// Bytes of whole transactions in a log that an earlier life of the pool has written; 0 if it cannot
    /// be read.
    fn earlier_log_bytes(&self, number: u64) -> u64 {
        let path = self.dir.join(name(Kind::Log, number));
        let opened = self.io.open(&path, Create::Never, Caching::Buffered);
        // What the page cache has may never have reached the disk.
        let on_disk = opened.and_then(|file| file.sync_data().map(|()| file.forget_cached()));
        let read =
            on_disk.map(|()| DumpFile::open(&*self.io, &self.dir, Kind::Log, number, self.pool));
        match read {
            Ok(Ok(file)) => file.whole_bytes(),
            _ => 0,
        }
    }

    /// The log that is being written: its number, and how much of it is durable.
    pub(crate) fn open_log(&self) -> Option<(u64, u64)> {
        let state = self.state.lock().expect(poisoned!());
        let log = state.log.as_ref()?;
        Some((log.number(), log.committed_bytes()))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let path = self.dir.join(name);
        let emptied = |file: Arc<dyn File>| file.set_len(0).map(|()| file);
        let opened = self.io.open(&path, Create::IfMissing, Caching::Buffered);
        opened
            .and_then(emptied)
            .map_err(|e| Error::io(format!("creating {}", path.display()), e))
    }

    fn sync_names(&self) -> Result<()> {
        let synced = self.io.sync_dir(&self.dir);
        synced.map_err(|e| Error::io("syncing the folder of metadata dumps", e))
    }

    /// Begins the log of a number, which nothing is told yet.
    fn begin_log(&self, number: u64) -> Result<Arc<ChangeLog>> {
        let begun = self.try_begin_log(number);
        if begun.is_err() {
            // The next shall follow the one before without a gap.
            let _ = self.io.remove(&self.dir.join(name(Kind::Log, number)));
        }
        begun
    }

    fn try_begin_log(&self, number: u64) -> Result<Arc<ChangeLog>> {
        let file = self.create(&name(Kind::Log, number))?;
        let header = self.header(Kind::Log, number);
        let (io, reserve) = (Arc::clone(&self.io), Arc::clone(&self.reserve));
        let log = ChangeLog::begin(io, file, reserve, header)?;
        self.sync_names()?;
        Ok(log)
    }

    /// Writes all rows of a view; gives the length of the file.
    fn write_full(&self, number: u64, reader: &IndexReader) -> Result<u64> {
        let failed = |e| Error::io("writing a metadata dump", e);
        let new = format!("{}.new", name(Kind::Full, number));
        let file = self.create(&new)?;
        let header = self.header(Kind::Full, number);
        file.write_at(&header.encode(), 0).map_err(failed)?;
        let mut end = FILE_HEADER_BYTES as u64;
        let (mut compressor, mut entries, mut block) = (Compressor::new(), Vec::new(), Vec::new());
        let mut write = |entries: &[u8], last: bool| {
            block.clear();
            put_block(
                &mut block,
                &mut compressor,
                1,
                last,
                header.begun_us,
                entries,
            );
            self.reserve.check_room(block.len() as u64, 0)?;
            file.write_at(&block, end).map_err(failed)?;
            end += block.len() as u64;
            Ok(())
        };
        reader.each_row(&mut |entry| {
            entries.extend_from_slice(entry);
            if entries.len() < BLOCK_ENTRIES_BYTES {
                return Ok(());
            }
            if self.is_dismissed() {
                return Err(Error::new(ErrorKind::Busy, "the pool is being closed"));
            }
            write(&entries, false)?;
            entries.clear();
            Ok(())
        })?;
        write(&entries, true)?;
        file.sync_data().map_err(failed)?;
        let path = self.dir.join(name(Kind::Full, number));
        self.io.rename(&self.dir.join(new), &path).map_err(failed)?;
        self.sync_names()?;
        Ok(end)
    }

    /// Removes dumps that newer ones have taken the place of, and what was not finished.
    fn prune(&self, newest: u64) -> Result<()> {
        let mut fulls: Vec<u64> = self.numbers()?.into_iter().filter_map(full).collect();
        fulls.sort_unstable();
        let kept = fulls.len().saturating_sub(KEPT);
        let oldest_kept = fulls.get(kept).copied().unwrap_or(newest);
        let listed = self.io.list(&self.dir);
        let listed = listed.map_err(|e| Error::io("listing the metadata dumps", e))?;
        for entry in listed {
            let of_old = parse_name(&entry.name).is_some_and(|(_, number)| number < oldest_kept);
            if of_old || entry.name.ends_with(".new") {
                let path = self.dir.join(&entry.name);
                let removed = self.io.remove(&path);
                removed.map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
            }
        }
        Ok(())
    }
}

fn full((kind, number): (Kind, u64)) -> Option<u64> {
    (kind == Kind::Full).then_some(number)
}

impl Store {
    /// Writes a metadata dump now and logs every change from here on. Open pools with background work
    /// do that by themselves.
    ///
    /// # Errors
    /// `NoSpace` where it would take from what is kept for a full disk, `Io`, `Corrupt`.
    pub fn dump_metadata(&self) -> Result<()> {
        self.engine().dump()
    }
}

impl Engine {
    /// Writes a full dump and begins the log behind it.
    pub(crate) fn dump(&self) -> Result<()> {
        let dumps = &self.dumps;
        let _one = dumps.writing.lock().expect(poisoned!());
        let outcome = self.try_dump();
        let mut state = dumps.state.lock().expect(poisoned!());
        match &outcome {
            Ok(full_bytes) => state.full_bytes = Some(*full_bytes),
            Err(_) => {
                state.full_bytes = None;
                state.retry_us = self.io.now_us() + RETRY_US;
            }
        }
        outcome.map(drop)
    }

    fn try_dump(&self) -> Result<u64> {
        let dumps = &self.dumps;
        let created = self
            .io
            .create_dir(&dumps.dir)
            .and_then(|()| self.io.sync_dir(&self.dir));
        created.map_err(|e| Error::io("making the folder of metadata dumps", e))?;
        let numbers = dumps.numbers()?;
        let newest = numbers.iter().map(|(_, number)| *number).max();
        let number = newest.map_or(1, |newest| newest + 1);
        let is_first = dumps.open_log().is_none();
        let earlier_bytes = match newest {
            Some(newest) if is_first => dumps.earlier_log_bytes(newest),
            _ => 0,
        };
        let log = dumps.begin_log(number)?;
        let reader = self.index.follow(Arc::clone(&log) as _)?;
        let before = dumps
            .state
            .lock()
            .expect(poisoned!())
            .log
            .replace(Arc::clone(&log));
        // Nothing is told the one before any more, so it stays as it is now.
        match before {
            Some(before) if before.number() + 1 == number => {
                log.note_before(before.is_whole(), before.committed_bytes())?;
            }
            Some(_) => {}
            None => log.note_before(false, earlier_bytes)?,
        }
        let full_bytes = dumps.write_full(number, &reader)?;
        dumps.prune(number)?;
        Ok(full_bytes)
    }
}

/// Writes a dump if one is due. What goes wrong is told in the log and tried again later.
pub(crate) fn dump_if_due(engine: &Engine) {
    if engine.journal.has_failed() || !engine.dumps.is_due() {
        return;
    }
    if let Err(error) = engine.dump() {
        tracing::warn!(%error, "the metadata dump could not be written");
    }
}

/// A turn of the thread that writes dumps.
pub(crate) fn turn(engine: &Engine) {
    dump_if_due(engine);
    engine.dumps.nap();
}

#[cfg(test)]
mod tests;
