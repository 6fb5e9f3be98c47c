//! The log of index transactions behind a full dump.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::format::{FILE_HEADER_BYTES, FileHeader, put_block};
use crate::chunk::compress::Compressor;
use crate::disk::{File, Io};
use crate::index::ChangeSink;
use crate::journal::poisoned;
use crate::reserve::Reserve;
use crate::{Error, Result};

/// A log that is being written. The first failure ends it: it stays whole up to the transaction before,
/// and a new full dump is due.
pub(crate) struct ChangeLog {
    io: Arc<dyn Io>,
    file: Arc<dyn File>,
    header: FileHeader,
    reserve: Arc<Reserve>,
    tail: Mutex<Tail>,
    bytes: AtomicU64,
    /// Bytes of whole transactions, which are durable.
    committed_bytes: AtomicU64,
    ended: AtomicBool,
}

struct Tail {
    end: u64,
    transaction: u64,
    compressor: Compressor,
    block: Vec<u8>,
}

impl ChangeLog {
    /// Begins a log in an empty file.
    pub(crate) fn begin(
        io: Arc<dyn Io>,
        file: Arc<dyn File>,
        reserve: Arc<Reserve>,
        header: FileHeader,
    ) -> Result<Arc<Self>> {
        let written = file
            .write_at(&header.encode(), 0)
            .and_then(|()| file.sync_data());
        written.map_err(|e| Error::io("beginning a log of metadata", e))?;
        let end = FILE_HEADER_BYTES as u64;
        let tail = Tail {
            end,
            transaction: 0,
            compressor: Compressor::new(),
            block: Vec::new(),
        };
        Ok(Arc::new(Self {
            io,
            file,
            header,
            reserve,
            tail: Mutex::new(tail),
            bytes: AtomicU64::new(end),
            committed_bytes: AtomicU64::new(end),
            ended: AtomicBool::new(false),
        }))
    }

    /// Writes down how long the log before it is, and whether it goes on exactly where that one ends.
    pub(crate) fn note_before(&self, continues: bool, before_bytes: u64) -> Result<()> {
        let header = FileHeader {
            continues,
            before_bytes,
            ..self.header
        };
        let written = self.file.write_at(&header.encode(), 0);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|e| Error::io("beginning a log of metadata", e))
    }

    /// Whether it has every transaction since it was begun.
    pub(crate) fn is_whole(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }

    /// The number that it shares with the full dump before it.
    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// Bytes that are durable and never written again, all of whole transactions.
    pub(crate) fn committed_bytes(&self) -> u64 {
        self.committed_bytes.load(Ordering::Acquire)
    }

    /// Length of the file.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn append(&self, entries: &[u8], last: bool) {
        if !self.is_whole() {
            return;
        }
        let mut tail = self.tail.lock().expect(poisoned!());
        if let Err(error) = self.try_append(&mut tail, entries, last) {
            tracing::warn!(%error, "the log of metadata ends; a dump will take its place");
            self.ended.store(true, Ordering::Release);
            // What is not whole is of no use, and the space may be needed.
            let _ = self.file.set_len(self.committed_bytes());
        }
    }

    fn try_append(&self, tail: &mut Tail, entries: &[u8], last: bool) -> Result<()> {
        let failed = |e| Error::io("writing the log of metadata", e);
        let Tail {
            end,
            transaction,
            compressor,
            block,
        } = tail;
        block.clear();
        put_block(
            block,
            compressor,
            *transaction,
            last,
            self.io.now_us(),
            entries,
        );
        // It may be had again; what the reserve is for may not.
        self.reserve.check_room(block.len() as u64, 0)?;
        self.file.write_at(block, *end).map_err(failed)?;
        *end += block.len() as u64;
        self.bytes.store(*end, Ordering::Relaxed);
        if last {
            self.file.sync_data().map_err(failed)?;
            self.committed_bytes.store(*end, Ordering::Release);
        }
        Ok(())
    }
}

impl ChangeSink for ChangeLog {
    fn begin(&self) {
        self.tail.lock().expect(poisoned!()).transaction += 1;
    }

    fn add(&self, entries: &[u8]) {
        self.append(entries, false);
    }

    fn commit(&self, entries: &[u8]) {
        self.append(entries, true);
    }
}
