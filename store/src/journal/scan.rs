//! Reading batches back, for recovery and for the packer.

use std::cell::RefCell;

use crate::disk::{AlignedBuf, BLOCK_BYTES};
use crate::journal::format::{BATCH_HEADER_BYTES, BatchHeader};
use crate::journal::record::{self, Record};
use crate::journal::segment::Segment;
use crate::{Error, ErrorKind, Result};

/// An intact batch.
pub(crate) struct Batch {
    pub(crate) header: BatchHeader,
    pub(crate) start_block: u32,
    pub(crate) records: Vec<Record>,
}

/// Whether the data blocks are checked too, or the record tables alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Where batches may be torn: one with a torn data block never happened, and neither did one
    /// that only the page cache has.
    DataToo,
    /// Where all are known to have been durable: whoever reads a block checks it then.
    RecordsOnly,
}

/// Blocks that are read at once, data and all.
const WINDOW_BLOCKS: u32 = 256;
/// Blocks that are read at once where data is passed over.
const RECORDS_WINDOW_BLOCKS: u32 = 8;
/// Batches of fewer blocks lie so close that reading what is between them costs less than looking
/// for each.
const CLOSE_BLOCKS: u32 = 64;

/// Part of a segment as the disk has it.
#[derive(Default)]
struct Window {
    first_block: u32,
    bytes: AlignedBuf,
}

/// Walks the batches of a segment in order.
pub(crate) struct Scan<'a> {
    segment: &'a Segment,
    check: Check,
    /// What was read last.
    window: RefCell<Window>,
    block: u32,
    sequence: u64,
    /// The last batch was a small one.
    close: bool,
}

impl<'a> Scan<'a> {
    /// Starts at the first batch.
    pub(crate) fn new(segment: &'a Segment, check: Check) -> Self {
        Self {
            segment,
            check,
            window: RefCell::default(),
            block: 1,
            sequence: segment.header.first_sequence,
            close: false,
        }
    }

    /// Goes on where an earlier scan of the segment stood.
    pub(crate) fn resume(segment: &'a Segment, check: Check, block: u32, sequence: u64) -> Self {
        Self {
            block,
            sequence,
            ..Self::new(segment, check)
        }
    }

    /// The block behind the last intact batch.
    pub(crate) fn end_block(&self) -> u32 {
        self.block
    }

    /// The sequence that comes next.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.sequence
    }

    /// The next batch; `None` where the run of intact batches ends.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>> {
        let Some(header) = self.header_at(self.block)? else {
            return Ok(None);
        };
        let end = u64::from(self.block) + u64::from(header.total_blocks());
        if header.sequence != self.sequence || end > u64::from(self.segment.end_block()) {
            return Ok(None);
        }
        let Some(records) = self.records(&header)? else {
            return Ok(None);
        };
        if self.check == Check::DataToo && !self.data_intact(&records)? {
            return Ok(None);
        }
        let batch = Batch {
            header,
            start_block: self.block,
            records,
        };
        self.close = batch.header.total_blocks() < CLOSE_BLOCKS;
        self.block = end as u32;
        self.sequence += 1;
        Ok(Some(batch))
    }

    /// The next batch, which is known to be there.
    ///
    /// # Errors
    /// `Corrupt` with the place when it does not read.
    pub(crate) fn next_known(&mut self) -> Result<Batch> {
        let damaged = format!(
            "journal segment {}, block {}: batch {} is damaged",
            self.segment.header.number, self.block, self.sequence
        );
        self.next()?
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, damaged))
    }

    /// After the end: whether something behind it shows that the batch missing here had been made
    /// durable, so that the journal is damaged rather than merely cut off.
    pub(crate) fn damaged_here(&self) -> Result<bool> {
        for block in self.block..self.segment.end_block() {
            if let Some(header) = self.header_at(block)?
                && header.durable_sequence >= self.sequence
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn header_at(&self, block: u32) -> Result<Option<BatchHeader>> {
        if block >= self.segment.end_block() {
            return Ok(None);
        }
        let mut fixed = [0; BATCH_HEADER_BYTES];
        self.read_bytes(block, 0, &mut fixed)?;
        let own = |header: &BatchHeader| {
            header.segment == self.segment.header.number
                && header.epoch == self.segment.header.epoch
        };
        Ok(BatchHeader::decode(&fixed).filter(own))
    }

    fn records(&self, header: &BatchHeader) -> Result<Option<Vec<Record>>> {
        let mut table = vec![0; header.table_bytes as usize];
        if BatchHeader::table_blocks(table.len()) == 0 {
            self.read_bytes(self.block, BATCH_HEADER_BYTES, &mut table)?;
        } else {
            self.read_bytes(self.block + 1 + header.data_blocks, 0, &mut table)?;
        }
        if crc32c::crc32c(&table) != header.table_checksum {
            return Ok(None);
        }
        let records = record::decode_table(&table, header.records)?;
        let inside = records.iter().all(|record| match record {
            Record::Write {
                first_block,
                checksums,
                ..
            } => {
                let end = u64::from(*first_block) + checksums.len() as u64;
                *first_block >= 1 && end <= 1 + u64::from(header.data_blocks)
            }
            _ => true,
        });
        if inside {
            return Ok(Some(records));
        }
        let context = format!(
            "journal segment {}: a write outside its batch",
            header.segment
        );
        Err(Error::new(ErrorKind::Corrupt, context))
    }

    fn data_intact(&self, records: &[Record]) -> Result<bool> {
        for record in records {
            let Record::Write {
                first_block,
                checksums,
                ..
            } = record
            else {
                continue;
            };
            let mut data = vec![0; checksums.len() * BLOCK_BYTES];
            self.read_bytes(self.block + first_block, 0, &mut data)?;
            let found = data.chunks_exact(BLOCK_BYTES).map(crc32c::crc32c);
            if !found.eq(checksums.iter().copied()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_bytes(&self, block: u32, skip: usize, out: &mut [u8]) -> Result<()> {
        let mut offset = u64::from(block) * BLOCK_BYTES as u64 + skip as u64;
        let mut out = out;
        let at_once = match self.check {
            Check::RecordsOnly if !self.close => RECORDS_WINDOW_BLOCKS,
            Check::RecordsOnly | Check::DataToo => WINDOW_BLOCKS,
        };
        let mut window = self.window.borrow_mut();
        while !out.is_empty() {
            let start = u64::from(window.first_block) * BLOCK_BYTES as u64;
            let skip = offset.checked_sub(start).map(|skip| skip as usize);
            let found = skip.and_then(|skip| window.bytes.get(skip..));
            let Some(found) = found.filter(|found| !found.is_empty()) else {
                window.load(self.segment, (offset / BLOCK_BYTES as u64) as u32, at_once)?;
                continue;
            };
            let take = found.len().min(out.len());
            let (part, rest) = out.split_at_mut(take);
            part.copy_from_slice(&found[..take]);
            (offset, out) = (offset + take as u64, rest);
        }
        Ok(())
    }
}

impl Window {
    /// Reads on from `block`.
    fn load(&mut self, segment: &Segment, block: u32, at_once: u32) -> Result<()> {
        let blocks = at_once.min(segment.header.blocks.saturating_sub(block));
        if blocks == 0 {
            let context = format!(
                "journal segment {}: read past its end",
                segment.header.number
            );
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        self.bytes.resize(blocks as usize * BLOCK_BYTES);
        self.first_block = block;
        segment.read_from_disk(block, &mut self.bytes)
    }
}
