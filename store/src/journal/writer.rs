//! Appending to the journal.
//!
//! Appends copy into the open batch in memory and give out addresses at once. No file is touched here
//! but by `roll_now`; see `commit.rs` for how batches reach the disk.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crate::addr::Address;
use crate::disk::BLOCK_BYTES;
use crate::index::LayerId;
use crate::journal::batch::{APPEND_CHUNKS_MAX, Inner, Step};
use crate::journal::format::SegmentHeader;
use crate::journal::record::{self, Record, WriteSeals};
use crate::journal::{Journal, poisoned};
use crate::{Error, ErrorKind, Result};

/// Who asks for room: data may not take the last spare segment, so that deleting and checkpointing
/// go on when the disk is full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A guest's write.
    Data,
    /// A change of volumes or layers.
    Control,
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
        seals: Option<&WriteSeals>,
    ) -> Result<Address> {
        debug_assert!(checksums.len() <= APPEND_CHUNKS_MAX);
        debug_assert_eq!(data.len(), checksums.len() * BLOCK_BYTES);
        let blocks = checksums.len() as u32;
        let mut inner = self.lock();
        self.make_room(
            &mut inner,
            blocks,
            record::write_record_bytes(checksums.len(), seals.is_some()),
            Purpose::Data,
        )?;
        let open = inner.open_batch();
        let relative = 1 + open.data_blocks;
        let block = open.start_block + relative;
        open.segment.set_checksums(block, checksums);
        if let Some(seals) = seals {
            open.segment.set_seals(block, seals);
        }
        open.bytes.extend_from_slice(data);
        let table = &mut open.table;
        record::append_write(table, layer, first_chunk, relative, checksums, seals);
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
        self.pending.notify_one();
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

    /// Sequence of the last batch, closing the open one.
    pub(crate) fn cut(&self) -> u64 {
        let mut inner = self.lock();
        inner.close_batch();
        inner.next_sequence - 1
    }

    pub(super) fn failed() -> Error {
        Error::new(
            ErrorKind::Failed,
            "the journal stopped after a failed write or sync",
        )
    }
}
