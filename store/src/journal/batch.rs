//! The batch that is being filled, and what waits to be written: all that the journal's lock guards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::buffers::Buffer;
use crate::disk::BLOCK_BYTES;
use crate::journal::format::{BATCH_HEADER_BYTES, BatchHeader, INLINE_TABLE_BYTES};
use crate::journal::recent::Recent;
use crate::journal::segment::{Segment, Spare};

/// Data of a batch at most, in blocks: group commit is at full disk speed from
/// 128 KiB on, and a batch is held in memory until it is written.
const BATCH_DATA_BLOCKS: u32 = 1024;
/// Record bytes beyond which a batch is closed: far below what recovery accepts.
const BATCH_TABLE_BYTES: usize = 1 << 20;
/// Memory of a batch, in blocks: header, data, and the table of as many writes. Set aside at once, as
/// growing would copy under the lock; only a single change with a longer table grows it.
const BUFFER_BLOCKS: u32 = 1 + BATCH_DATA_BLOCKS + 16;
/// The same in bytes.
pub(crate) const BUFFER_BYTES: usize = BUFFER_BLOCKS as usize * BLOCK_BYTES;
/// Chunks of one append: a batch, and a segment of the smallest size, always has room for it.
pub(crate) const APPEND_CHUNKS_MAX: usize = 256;

/// A batch in memory that has no header yet.
pub(super) struct OpenBatch {
    pub(super) segment: Arc<Segment>,
    pub(super) start_block: u32,
    /// Header block, then data.
    pub(super) bytes: Buffer,
    pub(super) table: Vec<u8>,
    pub(super) records: u32,
    pub(super) data_blocks: u32,
}

impl OpenBatch {
    pub(super) fn is_full(&self) -> bool {
        self.data_blocks >= BATCH_DATA_BLOCKS || self.table.len() >= BATCH_TABLE_BYTES
    }
}

/// A batch that is written, or waits for it.
pub(super) struct ClosedBatch {
    pub(super) segment: Arc<Segment>,
    pub(super) start_block: u32,
    pub(super) blocks: u32,
    pub(super) bytes: Buffer,
}

impl ClosedBatch {
    /// The number of its segment, and its first block.
    pub(super) fn key(&self) -> (u64, u32) {
        (self.segment.header.number, self.start_block)
    }
}

/// One step of file work, in journal order.
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
    pub(super) next_block: u32,
    pub(super) open: Option<OpenBatch>,
    pub(super) queue: VecDeque<Step>,
    /// Bytes of closed batches that are not written yet; changed under the lock, looked at without.
    pub(super) queue_bytes: Arc<AtomicUsize>,
    /// Closed batches, for readers.
    pub(super) recent: Arc<Recent>,
    pub(super) spares: Vec<Spare>,
    pub(super) next_spare: u64,
    pub(super) next_number: u64,
    pub(super) next_sequence: u64,
    pub(super) durable_sequence: u64,
    pub(super) busy: bool,
    pub(super) failed: bool,
    /// The pool is closing: the thread that writes behind need not wait any more.
    pub(super) closing: bool,
    /// Flushes that wait: whoever writes next syncs for them.
    pub(super) flushers: usize,
}

impl Inner {
    pub(super) fn new(
        current: Arc<Segment>,
        begin: Arc<Spare>,
        spares: Vec<Spare>,
        next_spare: u64,
        recent: Arc<Recent>,
    ) -> Self {
        let (next_number, next_sequence) =
            (current.header.number + 1, current.header.first_sequence);
        Self {
            queue: VecDeque::from([Step::Begin(Arc::clone(&current), begin)]),
            current,
            next_block: 1,
            open: None,
            queue_bytes: Arc::default(),
            recent,
            spares,
            next_spare,
            next_number,
            next_sequence,
            durable_sequence: next_sequence - 1,
            busy: false,
            failed: false,
            closing: false,
            flushers: 0,
        }
    }

    /// The last sequence given to a batch or to the open one.
    pub(super) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1 + u64::from(self.open.is_some())
    }

    pub(super) fn current_bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.bytes.len() as u64);
        u64::from(self.next_block - 1) * BLOCK_BYTES as u64 + open
    }

    pub(super) fn close_batch(&mut self) {
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
        debug_assert!(open.records == 1 || open.bytes.capacity() == BUFFER_BYTES);
        header.encode(&mut open.bytes);
        self.next_block = open.start_block + header.total_blocks();
        self.next_sequence += 1;
        open.segment.set_last_sequence(header.sequence);
        self.queue_bytes
            .fetch_add(open.bytes.len(), Ordering::Relaxed);
        let batch = Arc::new(ClosedBatch {
            segment: open.segment,
            start_block: open.start_block,
            blocks: header.total_blocks(),
            bytes: open.bytes,
        });
        self.recent.add(&batch);
        self.queue.push_back(Step::Batch(batch));
    }

    /// Whether the open batch and the current segment take `blocks` of data and `table` bytes more.
    pub(super) fn fits(&self, blocks: u32, table: usize) -> bool {
        let (start, data, bytes) = match &self.open {
            Some(open) => (open.start_block, open.data_blocks, open.table.len()),
            None => (self.next_block, 0, 0),
        };
        let total = 1 + data + blocks + BatchHeader::table_blocks(bytes + table);
        let in_batch = data + blocks <= BATCH_DATA_BLOCKS && total <= BUFFER_BLOCKS;
        (in_batch || self.open.is_none()) && start + total <= self.current.end_block()
    }

    pub(super) fn open_batch(&mut self) -> &mut OpenBatch {
        let (segment, start_block) = (&self.current, self.next_block);
        let recent = &self.recent;
        self.open.get_or_insert_with(|| {
            let mut bytes = recent.buffer();
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
