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
use reader::{DumpFile, Reach, list, name, parse_name};

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

    /// Length of the log before `number`, which an earlier life of the pool has written; 0 if there is
    /// none, or it does not read to its end.
    fn earlier_log_bytes(&self, number: u64) -> u64 {
        let before = number.saturating_sub(1);
        match DumpFile::open(&*self.io, &self.dir, Kind::Log, before, self.pool) {
            Ok(file) if file.reach() == (Reach::End { ended: true }) => file.len(),
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
            Err(_) => state.retry_us = self.io.now_us() + RETRY_US,
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
            Some(before) => log.note_before(before.is_whole(), before.committed_bytes())?,
            None => log.note_before(false, dumps.earlier_log_bytes(number))?,
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
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::format::Kind;
    use super::reader::DumpFile;
    use crate::disk::sim::{Effect, Fault, OpKind, SimIo};
    use crate::disk::{Io, RealIo};
    use crate::index::ChangeSink;
    use crate::model::{Run, open, options};
    use crate::{OpenOptions, Store};

    fn names(io: &dyn Io, dir: &Path) -> Vec<String> {
        let listed = io.list(dir).unwrap_or_default();
        listed.into_iter().map(|entry| entry.name).collect()
    }

    fn reopen(run: &mut Run) {
        // The old pool must be gone before its lock can be taken again.
        run.store = open(&SimIo::new(0)).unwrap();
        run.store = open(&run.io).unwrap();
    }

    #[test]
    fn two_full_dumps_and_their_logs_are_kept() {
        let mut run = Run::new(1, false);
        for _ in 0..4 {
            run.step();
            run.store.dump_metadata().unwrap();
        }
        let kept = [
            "00000003.full",
            "00000003.log",
            "00000004.full",
            "00000004.log",
        ];
        assert_eq!(names(&run.io, Path::new("/pool/dump")), kept);
        reopen(&mut run);
        run.store.dump_metadata().unwrap();
        let kept = [
            "00000004.full",
            "00000004.log",
            "00000005.full",
            "00000005.log",
        ];
        assert_eq!(names(&run.io, Path::new("/pool/dump")), kept);
    }

    #[test]
    fn a_log_that_cannot_be_written_stops_nobody_and_makes_a_dump_due() {
        let mut run = Run::new(2, false);
        (0..10).for_each(|_| run.step());
        run.store.dump_metadata().unwrap();
        let engine = run.engine();
        assert!(!engine.dumps.is_due());
        let log = engine.dumps.state.lock().unwrap().log.clone().unwrap();
        for (kind, effect) in [
            (OpKind::Write, Effect::NoSpace),
            (OpKind::SyncData, Effect::Eio),
        ] {
            run.io.inject(Fault::once(Some(kind), 0, effect));
            log.begin();
            log.commit(b"not read again");
            run.io.heal();
            assert!(!log.is_whole() && engine.dumps.is_due());
        }
        (0..10).for_each(|_| run.step());
        assert!(!run.store.stats().failed);
        run.store.dump_metadata().unwrap();
        assert!(!engine.dumps.is_due());
    }

    #[test]
    fn transactions_of_many_blocks_are_read_whole_or_not_at_all() {
        let run = Run::new(3, false);
        run.store.dump_metadata().unwrap();
        let engine = run.engine();
        let log = engine.dumps.state.lock().unwrap().log.clone().unwrap();
        let file = || {
            let (dir, pool) = (Path::new("/pool/dump"), engine.dumps.pool);
            DumpFile::open(&run.io, dir, Kind::Log, 1, pool).unwrap()
        };
        let before = file().whole_transactions();
        log.begin();
        log.add(&[1; 1 << 20]);
        log.add(&[2; 1 << 20]);
        log.begin();
        log.add(&[3; 1 << 20]);
        log.commit(&[4; 100]);
        let whole = &file().whole_transactions() - &before;
        assert_eq!(whole.len(), 1);
        let file = file();
        let blocks: Vec<_> = file.of_transactions(&whole).collect();
        let entries: Vec<_> = blocks
            .iter()
            .map(|block| (block.entries.len(), block.entries[0]))
            .collect();
        assert_eq!(entries, [(1 << 20, 3), (100, 4)]);
        assert!(file.is_read_to_its_end());
    }

    #[test]
    fn an_open_pool_writes_dumps_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let io: Arc<dyn Io> = Arc::new(RealIo::new());
        let background = OpenOptions {
            background: true,
            ..options()
        };
        let store = Store::open(Arc::clone(&io), dir.path(), background).unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        let dumps = dir.path().join("dump");
        while !names(&*io, &dumps).contains(&"00000001.full".to_owned()) {
            assert!(Instant::now() < deadline, "{:?}", names(&*io, &dumps));
            std::thread::yield_now();
        }
        store.close().unwrap();
    }
}
