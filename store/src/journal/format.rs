//! Bytes of a journal segment: its header, its batches and its closing directory. Pure, no I/O.
//!
//! ```text
//! block 0   segment header
//! block 1.. batches: [header block][data blocks ...][record table, if not inside the header block]
//! tail      closing directory: [trailer block][CRC32C of each block of the segment]
//! ```
//! All integers are little endian. ARCHITECTURE.md has the fields and why recovery is right.

use crate::addr::CONTAINER_ID_MAX;
use crate::disk::BLOCK_BYTES;
use crate::{Error, ErrorKind, Result};

const SEGMENT_MAGIC: [u8; 8] = *b"CBLKSEG\n";
const BATCH_MAGIC: [u8; 4] = *b"CBLB";
const TRAILER_MAGIC: [u8; 8] = *b"CBLKEND\n";
const VERSION: u16 = 1;

/// Fixed part of a batch header; the record table starts here when it fits the block.
pub(crate) const BATCH_HEADER_BYTES: usize = 64;
/// Largest record table that stays inside the header block.
pub(crate) const INLINE_TABLE_BYTES: usize = BLOCK_BYTES - BATCH_HEADER_BYTES;
/// Largest batch; what recovery allocates is bounded by it.
pub(crate) const BATCH_BLOCKS_MAX: u32 = (16 << 20) / BLOCK_BYTES as u32;

/// First block of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) pool: [u8; 16],
    /// Position in the journal; grows by one with every segment opened.
    pub(crate) number: u64,
    /// Random, so that what an earlier life of the file left behind is never taken for ours.
    pub(crate) epoch: u64,
    /// Id of the first window; the others follow.
    pub(crate) first_container: u64,
    /// Blocks of the file, header and closing directory included.
    pub(crate) blocks: u32,
    /// Sequence of the first batch. Batches of earlier segments from this one on are void.
    pub(crate) first_sequence: u64,
}

impl SegmentHeader {
    /// The stored block.
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&SEGMENT_MAGIC);
        block[8..10].copy_from_slice(&VERSION.to_le_bytes());
        block[16..32].copy_from_slice(&self.pool);
        block[32..40].copy_from_slice(&self.number.to_le_bytes());
        block[40..48].copy_from_slice(&self.epoch.to_le_bytes());
        block[48..56].copy_from_slice(&self.first_container.to_le_bytes());
        block[56..60].copy_from_slice(&self.blocks.to_le_bytes());
        block[64..72].copy_from_slice(&self.first_sequence.to_le_bytes());
        seal(&mut block, BLOCK_BYTES - 4);
        block
    }

    /// Reads the block back. `None`: not a segment, or never finished.
    ///
    /// # Errors
    /// `UnsupportedFormat` when it is a segment of another version or with unknown features.
    pub(crate) fn decode(block: &[u8; BLOCK_BYTES]) -> Result<Option<Self>> {
        if block[..8] != SEGMENT_MAGIC || !sealed(block, BLOCK_BYTES - 4) {
            return Ok(None);
        }
        if u16_at(block, 8) != VERSION || u32_at(block, 12) != 0 {
            let context = format!(
                "journal segment of version {} with features {:#x}",
                u16_at(block, 8),
                u32_at(block, 12)
            );
            return Err(Error::new(ErrorKind::UnsupportedFormat, context));
        }
        let mut pool = [0; 16];
        pool.copy_from_slice(&block[16..32]);
        let header = Self {
            pool,
            number: u64_at(block, 32),
            epoch: u64_at(block, 40),
            first_container: u64_at(block, 48),
            blocks: u32_at(block, 56),
            first_sequence: u64_at(block, 64),
        };
        Ok(header.is_plausible().then_some(header))
    }

    /// Whether there is room for batches, and counting on from the numbers leads nowhere.
    fn is_plausible(&self) -> bool {
        let counts = self.number.max(self.first_sequence) < NUMBER_END;
        let blocks = u64::from(self.blocks);
        counts
            && self.first_container < CONTAINER_ID_MAX
            && blocks > 1 + u64::from(Trailer::reserved_blocks(self.blocks))
    }
}

/// Segments and batches are never counted so far: a million a second would take 290,000 years.
const NUMBER_END: u64 = u64::MAX >> 1;

/// Fixed part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) segment: u64,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// Every batch up to this one was durable when this one was made.
    pub(crate) durable_sequence: u64,
    pub(crate) records: u32,
    pub(crate) data_blocks: u32,
    pub(crate) table_bytes: u32,
    pub(crate) table_checksum: u32,
}

impl BatchHeader {
    /// Blocks that a record table of `bytes` takes behind the data.
    pub(crate) fn table_blocks(bytes: usize) -> u32 {
        if bytes <= INLINE_TABLE_BYTES {
            0
        } else {
            bytes.div_ceil(BLOCK_BYTES) as u32
        }
    }

    /// Blocks of the whole batch.
    pub(crate) fn total_blocks(&self) -> u32 {
        1 + self.data_blocks + Self::table_blocks(self.table_bytes as usize)
    }

    /// Writes the fixed part to the front of the batch's first block.
    pub(crate) fn encode(&self, block: &mut [u8]) {
        block[..4].copy_from_slice(&BATCH_MAGIC);
        block[4..6].copy_from_slice(&VERSION.to_le_bytes());
        block[6..8].copy_from_slice(&[0; 2]);
        block[8..16].copy_from_slice(&self.segment.to_le_bytes());
        block[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        block[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        block[32..40].copy_from_slice(&self.durable_sequence.to_le_bytes());
        block[40..44].copy_from_slice(&self.records.to_le_bytes());
        block[44..48].copy_from_slice(&self.data_blocks.to_le_bytes());
        block[48..52].copy_from_slice(&self.table_bytes.to_le_bytes());
        block[52..56].copy_from_slice(&self.table_checksum.to_le_bytes());
        block[56..60].copy_from_slice(&[0; 4]);
        seal(block, BATCH_HEADER_BYTES - 4);
    }

    /// Reads the fixed part; `None` when the block is no intact batch header.
    pub(crate) fn decode(block: &[u8]) -> Option<Self> {
        let fixed = block.get(..BATCH_HEADER_BYTES)?;
        if fixed[..4] != BATCH_MAGIC
            || u16_at(fixed, 4) != VERSION
            || !sealed(fixed, BATCH_HEADER_BYTES - 4)
        {
            return None;
        }
        let header = Self {
            segment: u64_at(fixed, 8),
            epoch: u64_at(fixed, 16),
            sequence: u64_at(fixed, 24),
            durable_sequence: u64_at(fixed, 32),
            records: u32_at(fixed, 40),
            data_blocks: u32_at(fixed, 44),
            table_bytes: u32_at(fixed, 48),
            table_checksum: u32_at(fixed, 52),
        };
        let plausible = header.data_blocks <= BATCH_BLOCKS_MAX
            && header.table_bytes as usize <= BATCH_BLOCKS_MAX as usize * BLOCK_BYTES;
        plausible.then_some(header)
    }
}

/// What closes a full segment: the checksums of its blocks, so that opening it needs no scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) segment: u64,
    pub(crate) epoch: u64,
    pub(crate) last_sequence: u64,
    /// Blocks in use from the start of the segment.
    pub(crate) used_blocks: u32,
    pub(crate) directory_checksum: u32,
}

impl Trailer {
    /// Blocks at the end of a segment of `blocks` that are kept for the closing directory.
    pub(crate) fn reserved_blocks(blocks: u32) -> u32 {
        1 + (blocks as usize * 4).div_ceil(BLOCK_BYTES) as u32
    }

    /// The stored block.
    pub(crate) fn encode(&self) -> [u8; BLOCK_BYTES] {
        let mut block = [0; BLOCK_BYTES];
        block[..8].copy_from_slice(&TRAILER_MAGIC);
        block[8..10].copy_from_slice(&VERSION.to_le_bytes());
        block[16..24].copy_from_slice(&self.segment.to_le_bytes());
        block[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        block[32..40].copy_from_slice(&self.last_sequence.to_le_bytes());
        block[40..44].copy_from_slice(&self.used_blocks.to_le_bytes());
        block[44..48].copy_from_slice(&self.directory_checksum.to_le_bytes());
        seal(&mut block, BLOCK_BYTES - 4);
        block
    }

    /// Reads the block back; `None` when the segment was not closed.
    pub(crate) fn decode(block: &[u8; BLOCK_BYTES]) -> Option<Self> {
        if block[..8] != TRAILER_MAGIC
            || u16_at(block, 8) != VERSION
            || !sealed(block, BLOCK_BYTES - 4)
        {
            return None;
        }
        Some(Self {
            segment: u64_at(block, 16),
            epoch: u64_at(block, 24),
            last_sequence: u64_at(block, 32),
            used_blocks: u32_at(block, 40),
            directory_checksum: u32_at(block, 44),
        })
    }
}

/// Puts the CRC32C of everything before `at` there.
fn seal(block: &mut [u8], at: usize) {
    let checksum = crc32c::crc32c(&block[..at]);
    block[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
}

fn sealed(block: &[u8], at: usize) -> bool {
    crc32c::crc32c(&block[..at]) == u32_at(block, at)
}

fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn u32_at(block: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&block[at..at + 4]);
    u32::from_le_bytes(field)
}

fn u64_at(block: &[u8], at: usize) -> u64 {
    let mut field = [0; 8];
    field.copy_from_slice(&block[at..at + 8]);
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: SegmentHeader = SegmentHeader {
        pool: [9; 16],
        number: 3,
        epoch: 77,
        first_container: 640,
        blocks: 1024,
        first_sequence: 12,
    };

    #[test]
    fn headers_survive_their_encoding() {
        assert_eq!(
            SegmentHeader::decode(&SEGMENT.encode()).unwrap(),
            Some(SEGMENT)
        );
        let batch = BatchHeader {
            segment: 3,
            epoch: 77,
            sequence: 12,
            durable_sequence: 11,
            records: 2,
            data_blocks: 5,
            table_bytes: 5000,
            table_checksum: 42,
        };
        let mut block = [0xff; BLOCK_BYTES];
        batch.encode(&mut block);
        assert_eq!(BatchHeader::decode(&block), Some(batch));
        assert_eq!(batch.total_blocks(), 8);
        let trailer = Trailer {
            segment: 3,
            epoch: 77,
            last_sequence: 20,
            used_blocks: 900,
            directory_checksum: 1,
        };
        assert_eq!(Trailer::decode(&trailer.encode()), Some(trailer));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_seen() {
        let mut block = SEGMENT.encode();
        for bit in 0..80 * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&block).unwrap(), None, "bit {bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut block = SEGMENT.encode();
        block[8] = 2;
        seal(&mut block, BLOCK_BYTES - 4);
        let error = SegmentHeader::decode(&block).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedFormat);
    }
}
