//! Appending to the journal, and group commit.
//!
//! Appends copy into the open batch in memory and give out addresses at once. Whoever wants
//! durability joins [`Journal::flush`]: the first to come writes and syncs for all who wait, the
//! others wait for a turn that covers them; nothing newer than the durable sequence costs nothing.
//! All file operations happen in `carry_out`, by one thread at a time (the `busy` token), never under
//! the lock.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::addr::Address;
use crate::disk::{AlignedBuf, BLOCK_BYTES};
use crate::index::LayerId;
use crate::journal::format::{BATCH_HEADER_BYTES, BatchHeader, INLINE_TABLE_BYTES, SegmentHeader};
use crate::journal::record::{self, Record, WRITE_RECORD_BYTES};
use crate::journal::segment::{Segment, Spare};
use crate::journal::{Journal, poisoned};
use crate::{Error, ErrorKind, Result};

/// Data of a batch beyond which it is closed, in blocks: group commit is at full disk speed from
/// 128 KiB on, and a batch is held in memory until it is written.
const BATCH_DATA_BLOCKS: u32 = 1024;
/// Record bytes beyond which a batch is closed: far below what recovery accepts.
const BATCH_TABLE_BYTES: usize = 1 << 20;
/// Unwritten bytes beyond which appenders write before they go on.
const QUEUE_BYTES_MAX: usize = 32 << 20;
/// Chunks of one append: a batch, and a segment of the smallest size, always has room for it.
pub(crate) const APPEND_CHUNKS_MAX: usize = 256;

/// Who asks for room: data may not take the last spare segment, so that deleting and checkpointing
/// go on when the disk is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A guest's write.
    Data,
    /// A change of volumes or layers.
    Control,
}

/// A batch in memory that has no header yet.
struct OpenBatch {
    segment: Arc<Segment>,
    start_block: u32,
    /// Header block, then data.
    bytes: AlignedBuf,
    table: Vec<u8>,
    records: u32,
    data_blocks: u32,
}

impl OpenBatch {
    fn is_full(&self) -> bool {
        self.data_blocks >= BATCH_DATA_BLOCKS || self.table.len() >= BATCH_TABLE_BYTES
    }
}

/// A batch that is written, or waits for it.
pub(super) struct ClosedBatch {
    segment: Arc<Segment>,
    start_block: u32,
    blocks: u32,
    bytes: AlignedBuf,
}

/// One step of file work, in journal order.
#[derive(Clone)]
pub(super) enum Step {
    /// Give the file its name and its header.
    Begin(Arc<Segment>, Arc<Spare>),
    Batch(Arc<ClosedBatch>),
    /// Write the closing directory and sync: later segments rely on it.
    End(Arc<Segment>, u32),
}

/// What the journal's lock guards.
pub(super) struct Inner {
    pub(super) current: Arc<Segment>,
    next_block: u32,
    open: Option<OpenBatch>,
    queue: VecDeque<Step>,
    queue_bytes: usize,
    /// What is being written now, for readers.
    in_flight: Vec<Step>,
    pub(super) spares: Vec<Spare>,
    pub(super) next_spare: u64,
    pub(super) next_number: u64,
    next_sequence: u64,
    durable_sequence: u64,
    busy: bool,
    pub(super) failed: bool,
    /// Flushes that wait: whoever writes next syncs for them.
    flushers: usize,
    free_buffers: Vec<AlignedBuf>,
}

impl Inner {
    pub(super) fn new(
        current: Arc<Segment>,
        begin: Arc<Spare>,
        spares: Vec<Spare>,
        next_spare: u64,
    ) -> Self {
        let (next_number, next_sequence) =
            (current.header.number + 1, current.header.first_sequence);
        Self {
            queue: VecDeque::from([Step::Begin(Arc::clone(&current), begin)]),
            current,
            next_block: 1,
            open: None,
            queue_bytes: 0,
            in_flight: Vec::new(),
            spares,
            next_spare,
            next_number,
            next_sequence,
            durable_sequence: next_sequence - 1,
            busy: false,
            failed: false,
            flushers: 0,
            free_buffers: Vec::new(),
        }
    }

    /// The last sequence given to a batch or to the open one.
    fn last_sequence(&self) -> u64 {
        self.next_sequence - 1 + u64::from(self.open.is_some())
    }

    pub(super) fn current_bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.bytes.len() as u64);
        u64::from(self.next_block - 1) * BLOCK_BYTES as u64 + open
    }

    fn close_batch(&mut self) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let header = BatchHeader {
            segment: open.segment.header.number,
            epoch: open.segment.header.epoch,
            sequence: self.next_sequence,
            durable_sequence: self.durable_sequence,
            records: open.records,
            data_blocks: open.data_blocks,
            table_bytes: open.table.len() as u32,
            table_checksum: crc32c::crc32c(&open.table),
        };
        if open.table.len() <= INLINE_TABLE_BYTES {
            let end = BATCH_HEADER_BYTES + open.table.len();
            open.bytes[BATCH_HEADER_BYTES..end].copy_from_slice(&open.table);
        } else {
            open.bytes.extend_from_slice(&open.table);
            let blocks = header.total_blocks() as usize;
            open.bytes.resize(blocks * BLOCK_BYTES);
        }
        header.encode(&mut open.bytes);
        self.next_block = open.start_block + header.total_blocks();
        self.next_sequence += 1;
        open.segment.set_last_sequence(header.sequence);
        self.queue_bytes += open.bytes.len();
        self.queue.push_back(Step::Batch(Arc::new(ClosedBatch {
            segment: open.segment,
            start_block: open.start_block,
            blocks: header.total_blocks(),
            bytes: open.bytes,
        })));
    }

    /// Whether the current segment takes `blocks` of data and `table` bytes more.
    fn fits(&self, blocks: u32, table: usize) -> bool {
        let (start, data, bytes) = match &self.open {
            Some(open) => (open.start_block, open.data_blocks, open.table.len()),
            None => (self.next_block, 0, 0),
        };
        let total = 1 + data + blocks + BatchHeader::table_blocks(bytes + table);
        start + total <= self.current.end_block()
    }

    fn open_batch(&mut self) -> &mut OpenBatch {
        let (segment, start_block) = (&self.current, self.next_block);
        let buffers = &mut self.free_buffers;
        self.open.get_or_insert_with(|| {
            let mut bytes = buffers
                .pop()
                .unwrap_or_else(|| AlignedBuf::with_capacity(1 << 18));
            bytes.clear();
            bytes.resize(BLOCK_BYTES);
            OpenBatch {
                segment: Arc::clone(segment),
                start_block,
                bytes,
                table: Vec::new(),
                records: 0,
                data_blocks: 0,
            }
        })
    }
}

impl Journal {
    /// Appends a write of whole chunks and says where they are. At most [`APPEND_CHUNKS_MAX`].
    ///
    /// # Errors
    /// `NoSpace` when a new segment is needed and none can be had; `Failed` after a failed sync.
    pub(crate) fn append_write(
        &self,
        layer: LayerId,
        first_chunk: u64,
        data: &[u8],
        checksums: &[u32],
    ) -> Result<Address> {
        debug_assert!(checksums.len() <= APPEND_CHUNKS_MAX);
        debug_assert_eq!(data.len(), checksums.len() * BLOCK_BYTES);
        let blocks = checksums.len() as u32;
        let mut inner = self.lock();
        self.make_room(
            &mut inner,
            blocks,
            WRITE_RECORD_BYTES + data.len() / 1024,
            Purpose::Data,
        )?;
        let open = inner.open_batch();
        let relative = 1 + open.data_blocks;
        let block = open.start_block + relative;
        open.segment.set_checksums(block, checksums);
        open.bytes.extend_from_slice(data);
        record::append_write(&mut open.table, layer, first_chunk, relative, checksums);
        open.records += 1;
        open.data_blocks += blocks;
        let (address, full) = (open.segment.address(block), open.is_full());
        if full {
            inner.close_batch();
            self.pending.notify_one();
        }
        Ok(address)
    }

    /// Appends a record without data and says the sequence of its batch.
    pub(crate) fn append_record(&self, record: &Record, purpose: Purpose) -> Result<u64> {
        let mut encoded = Vec::new();
        record.encode(&mut encoded);
        let mut inner = self.lock();
        self.make_room(&mut inner, 0, encoded.len(), purpose)?;
        let open = inner.open_batch();
        open.table.extend_from_slice(&encoded);
        open.records += 1;
        let full = open.is_full();
        let sequence = inner.last_sequence();
        if full {
            inner.close_batch();
        }
        Ok(sequence)
    }

    fn make_room(
        &self,
        inner: &mut MutexGuard<'_, Inner>,
        blocks: u32,
        table: usize,
        purpose: Purpose,
    ) -> Result<()> {
        if inner.failed {
            return Err(Self::failed());
        }
        if purpose == Purpose::Data && inner.spares.is_empty() {
            // What is left of this segment is for deleting and freeing.
            return Err(Error::new(
                ErrorKind::NoSpace,
                "no room for another journal segment",
            ));
        }
        if inner.fits(blocks, table) {
            return Ok(());
        }
        inner.close_batch();
        if inner.fits(blocks, table) {
            return Ok(());
        }
        let keep = usize::from(purpose == Purpose::Data);
        if inner.spares.len() <= keep {
            return Err(Error::new(
                ErrorKind::NoSpace,
                "no room for another journal segment",
            ));
        }
        self.roll(inner)
    }

    /// Goes on in a new segment. The open batch must be closed.
    pub(super) fn roll(&self, inner: &mut MutexGuard<'_, Inner>) -> Result<()> {
        let windows = inner.current.windows();
        let Some(first_container) = self.containers.take(windows) else {
            return Err(Error::new(
                ErrorKind::Busy,
                "container ids wait for a checkpoint",
            ));
        };
        let Some(spare) = inner.spares.pop() else {
            return Err(Error::new(ErrorKind::NoSpace, "no spare journal segment"));
        };
        let header = SegmentHeader {
            number: inner.next_number,
            epoch: self.random_u64(),
            first_container,
            first_sequence: inner.next_sequence,
            ..inner.current.header
        };
        let begin = Arc::new(spare.share());
        let segment = Arc::new(spare.into_segment(header));
        let (ended, used) = (Arc::clone(&inner.current), inner.next_block);
        inner.queue.push_back(Step::End(ended, used));
        inner
            .queue
            .push_back(Step::Begin(Arc::clone(&segment), begin));
        inner.current = Arc::clone(&segment);
        inner.next_block = 1;
        inner.next_number += 1;
        self.segments
            .write()
            .expect(poisoned!())
            .insert(first_container, segment);
        self.segments_in_use.fetch_add(1, Ordering::Relaxed);
        self.room.notify_all();
        Ok(())
    }

    /// Ends the current segment if it holds anything, so that it can be packed.
    pub(crate) fn roll_now(&self) -> Result<()> {
        self.prepare_spares()?;
        let mut inner = self.lock();
        inner.close_batch();
        if inner.next_block == 1 {
            Ok(())
        } else {
            self.roll(&mut inner)
        }
    }

    /// Makes everything appended before the call durable.
    ///
    /// # Errors
    /// `Failed` when this or an earlier write or sync failed; nothing is acknowledged after that.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut inner = self.lock();
        let target = inner.last_sequence();
        while inner.durable_sequence < target {
            if inner.failed {
                return Err(Self::failed());
            }
            inner.close_batch();
            if inner.busy {
                inner.flushers += 1;
                inner = self.changed.wait(inner).expect(poisoned!());
                inner.flushers -= 1;
                continue;
            }
            inner = self.carry_out(inner, Sync::Yes)?;
        }
        if inner.failed {
            Err(Self::failed())
        } else {
            Ok(())
        }
    }

    /// Writes what has piled up when it is more than memory should hold. Called by appenders without
    /// any lock; a writer already at work is waited for only beyond the limit.
    pub(crate) fn relieve(&self) -> Result<()> {
        let mut inner = self.lock();
        while inner.queue_bytes > QUEUE_BYTES_MAX && !inner.failed {
            if inner.busy {
                inner = self.changed.wait(inner).expect(poisoned!());
            } else {
                inner = self.carry_out(inner, Sync::No)?;
            }
        }
        if inner.failed {
            Err(Self::failed())
        } else {
            Ok(())
        }
    }

    /// Waits until closed batches are there to be written, at most `nap`.
    pub(crate) fn wait_for_writing(&self, nap: Duration) {
        let inner = self.lock();
        let idle = |inner: &mut Inner| inner.queue.is_empty() || inner.busy || inner.failed;
        drop(
            self.pending
                .wait_timeout_while(inner, nap, idle)
                .expect(poisoned!()),
        );
    }

    /// Writes closed batches, for the thread that writes them behind the appenders.
    pub(crate) fn write_behind(&self) -> Result<bool> {
        let inner = self.lock();
        if inner.busy || inner.failed || inner.queue.is_empty() {
            return Ok(false);
        }
        drop(self.carry_out(inner, Sync::No)?);
        Ok(true)
    }

    /// Takes the token, performs all queued steps without the lock, and publishes the outcome.
    fn carry_out<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        sync: Sync,
    ) -> Result<MutexGuard<'a, Inner>> {
        debug_assert!(!inner.busy);
        let sync = if inner.flushers > 0 { Sync::Yes } else { sync };
        inner.busy = true;
        let steps: Vec<Step> = mem::take(&mut inner.queue).into();
        inner.in_flight.clone_from(&steps);
        let upto = inner.next_sequence - 1;
        let last = Arc::clone(&inner.current);
        drop(inner);
        let outcome = self.perform(&steps, sync, &last);
        let mut inner = self.lock();
        inner.busy = false;
        inner.in_flight.clear();
        match &outcome {
            Ok(()) if sync == Sync::Yes => {
                inner.durable_sequence = inner.durable_sequence.max(upto);
            }
            Ok(()) => {}
            Err(_) => inner.failed = true,
        }
        for step in steps {
            if let Step::Batch(batch) = step {
                inner.queue_bytes -= batch.bytes.len();
                // Readers may hold the batch still; then the buffer goes with them.
                if let Ok(batch) = Arc::try_unwrap(batch)
                    && inner.free_buffers.len() < 4
                {
                    inner.free_buffers.push(batch.bytes);
                }
            }
        }
        self.changed.notify_all();
        outcome.map(|()| inner)
    }

    fn perform(&self, steps: &[Step], sync: Sync, last: &Segment) -> Result<()> {
        for step in steps {
            match step {
                Step::Begin(segment, spare) => self.begin_segment(segment, spare)?,
                Step::Batch(batch) => {
                    batch.segment.write(batch.start_block, &batch.bytes)?;
                    batch.segment.set_written(batch.start_block + batch.blocks);
                }
                Step::End(segment, used) => {
                    segment.write_trailer(*used)?;
                    segment.sync()?;
                }
            }
        }
        if sync == Sync::Yes {
            last.sync()
        } else {
            Ok(())
        }
    }

    /// Copies chunks that have not reached the file from memory. `false` when they are not there,
    /// because they have been written meanwhile.
    pub(crate) fn read_unwritten(
        &self,
        segment: &Segment,
        first_block: u32,
        out: &mut [u8],
    ) -> bool {
        let inner = self.lock();
        let number = segment.header.number;
        let blocks = (out.len() / BLOCK_BYTES) as u32;
        let copy = |start: u32, bytes: &[u8], out: &mut [u8]| {
            let Some(skip) = first_block.checked_sub(start) else {
                return false;
            };
            let from = skip as usize * BLOCK_BYTES;
            let Some(source) = bytes.get(from..from + blocks as usize * BLOCK_BYTES) else {
                return false;
            };
            out.copy_from_slice(source);
            true
        };
        if let Some(open) = &inner.open
            && open.segment.header.number == number
            && copy(open.start_block, &open.bytes, out)
        {
            return true;
        }
        inner
            .queue
            .iter()
            .chain(&inner.in_flight)
            .any(|step| match step {
                Step::Batch(batch) if batch.segment.header.number == number => {
                    copy(batch.start_block, &batch.bytes, out)
                }
                _ => false,
            })
    }

    /// Sequence of the last batch, closing the open one.
    pub(crate) fn cut(&self) -> u64 {
        let mut inner = self.lock();
        inner.close_batch();
        inner.next_sequence - 1
    }

    fn failed() -> Error {
        Error::new(
            ErrorKind::Failed,
            "the journal stopped after a failed write or sync",
        )
    }
}

/// Whether a turn ends with a sync.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}
