//! The journal's part of a round: every batch and every data block of all segments.

use std::sync::Arc;

use crate::disk::{AlignedBuf, BLOCK_BYTES};
use crate::engine::Engine;
use crate::journal::format::SegmentHeader;
use crate::journal::record::Record;
use crate::journal::scan::{Batch, Check, Scan};
use crate::journal::segment::Segment;
use crate::scrub::Round;
use crate::scrub::references::Wanted;
use crate::{ErrorKind, Result};

/// Blocks looked at in one step, unless a batch has more: 4 MiB.
const BLOCKS_AT_ONCE: u32 = 1024;
/// Blocks read at once.
const READ_BLOCKS: usize = 256;

/// Where a segment goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentCursor {
    block: u32,
    sequence: u64,
}

impl Engine {
    /// Looks at some batches; says whether there are more.
    pub(super) fn scrub_journal(&self, round: &mut Round) -> Result<bool> {
        // The segment's file is not used again before the step has ended.
        let _guard = self.epochs.enter();
        let Some(segment) = self.journal.segment_from(round.position) else {
            return Ok(false);
        };
        if segment.header.first_container != round.position {
            round.position = segment.header.first_container;
            round.segment = None;
        }
        let start = round.segment.unwrap_or(SegmentCursor {
            block: 1,
            sequence: segment.header.first_sequence,
        });
        let written = self.journal.written_part(&segment);
        // It is written before the first batch, and not earlier.
        if round.segment.is_none() && written.reaches(start.block, start.sequence) {
            self.check_header(round, &segment)?;
        }
        let mut scan = Scan::resume(&segment, Check::RecordsOnly, start.block, start.sequence);
        let end = start.block.saturating_add(BLOCKS_AT_ONCE);
        let more = loop {
            if !written.reaches(scan.end_block(), scan.next_sequence()) {
                break false;
            }
            if scan.end_block() >= end {
                break true;
            }
            let (block, sequence) = (scan.end_block(), scan.next_sequence());
            let batch = scan.next_known().or_else(|_| {
                // A second look tells damage on the way from damage on the disk.
                scan = Scan::resume(&segment, Check::RecordsOnly, block, sequence);
                scan.next_known()
            });
            match batch {
                Ok(batch) => self.check_batch(round, &segment, &batch)?,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    round.tell(error.to_string(), false);
                    break false;
                }
                Err(error) => return Err(error),
            }
        };
        round.read(u64::from(scan.end_block() - start.block) * BLOCK_BYTES as u64);
        let cursor = SegmentCursor {
            block: scan.end_block(),
            sequence: scan.next_sequence(),
        };
        round.segment = more.then_some(cursor);
        if !more {
            round.position = segment.header.first_container + 1;
        }
        Ok(true)
    }

    /// The header is looked at when the pool is opened; then it must still be there.
    fn check_header(&self, round: &mut Round, segment: &Segment) -> Result<()> {
        let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
        segment.read_from_disk(0, &mut block)?;
        let block = block.first_chunk().expect("it is as long as a block");
        let found = SegmentHeader::decode(block).ok().flatten();
        if found.as_ref() == Some(&segment.header) {
            return Ok(());
        }
        let number = segment.header.number;
        let message = format!("journal/{number:08}.wal: the header is damaged");
        let rewritten = round.may_repair && segment.write_header().is_ok();
        if rewritten {
            segment.sync().inspect_err(|_| self.journal.fail())?;
        }
        round.tell(message, rewritten);
        Ok(())
    }

    fn check_batch(&self, round: &mut Round, segment: &Arc<Segment>, batch: &Batch) -> Result<()> {
        for record in &batch.records {
            let Record::Write {
                first_block,
                checksums,
                ..
            } = record
            else {
                continue;
            };
            let mut block = batch.start_block + first_block;
            for sums in checksums.chunks(READ_BLOCKS) {
                self.check_blocks(round, segment, block, sums)?;
                block += sums.len() as u32;
            }
            round.verified.journal_blocks += checksums.len() as u64;
        }
        Ok(())
    }

    fn check_blocks(
        &self,
        round: &mut Round,
        segment: &Segment,
        first: u32,
        sums: &[u32],
    ) -> Result<()> {
        let mut data = AlignedBuf::zeroed(sums.len() * BLOCK_BYTES);
        if segment.read_from_disk(first, &mut data).is_err() {
            // Some of them may read; the others fail by their checksums.
            let mut block = AlignedBuf::zeroed(BLOCK_BYTES);
            for (at, part) in (first..).zip(data.chunks_exact_mut(BLOCK_BYTES)) {
                match segment.read_from_disk(at, &mut block) {
                    Ok(()) => part.copy_from_slice(&block),
                    Err(_) => part.fill(0),
                }
            }
        }
        let blocks = data.chunks_exact(BLOCK_BYTES).map(crc32c::crc32c);
        for ((block, found), expected) in (first..).zip(blocks).zip(sums) {
            if found != *expected {
                self.tell_of_block(round, segment, block, found, *expected)?;
            }
        }
        Ok(())
    }

    /// Writes a block again that the page cache has whole, and tells of it, or of what is lost.
    fn tell_of_block(
        &self,
        round: &mut Round,
        segment: &Segment,
        block: u32,
        found: u32,
        expected: u32,
    ) -> Result<()> {
        let message = format!(
            "journal/{:08}.wal, block {block}: checksum {found:#010x}, expected {expected:#010x}",
            segment.header.number
        );
        if round.may_repair && self.rewrite_block(segment, block, expected)? {
            round.tell(message, true);
            return Ok(());
        }
        let mut wanted = Wanted::default();
        wanted.add(segment.address(block));
        self.tell_of(round, message, &wanted)
    }

    fn rewrite_block(&self, segment: &Segment, block: u32, expected: u32) -> Result<bool> {
        let mut cached = AlignedBuf::zeroed(BLOCK_BYTES);
        segment.read_bytes(u64::from(block) * BLOCK_BYTES as u64, &mut cached)?;
        if crc32c::crc32c(&cached) != expected {
            return Ok(false);
        }
        if segment.write(block, &cached).is_err() {
            return Ok(false);
        }
        segment.sync().inspect_err(|_| self.journal.fail())?;
        let mut again = AlignedBuf::zeroed(BLOCK_BYTES);
        segment.read_from_disk(block, &mut again)?;
        Ok(crc32c::crc32c(&again) == expected)
    }
}
