//! The seals of a segment's encrypted blocks: kept in memory beside the checksums, 24 bytes a block,
//! once the segment has such blocks.
//!
//! A segment is written during one opening of the pool, so a number within that says the nonce. The
//! seals of a segment that was closed by an earlier opening are read from its records when they are
//! first asked for.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::addr::ContainerId;
use crate::chunk::seal::{DataKey, Kind, Nonce, Tag};
use crate::disk::BLOCK_BYTES;
use crate::journal::record::{Record, WriteSeals};
use crate::journal::scan::{Check, Scan};
use crate::journal::segment::Segment;
use crate::{Error, ErrorKind, Result};

/// One block's: the number of its message, 0 for none, and the halves of its tag.
#[derive(Default)]
struct Slot {
    number: AtomicU64,
    tag: [AtomicU64; 2],
}

/// Those of a segment.
pub(super) struct Seals {
    opening: OnceLock<ContainerId>,
    slots: Box<[Slot]>,
}

impl Seals {
    fn new(blocks: u32) -> Self {
        Self {
            opening: OnceLock::new(),
            slots: (0..blocks).map(|_| Slot::default()).collect(),
        }
    }

    fn set(&self, first_block: u32, seals: &WriteSeals) {
        self.opening.get_or_init(|| seals.opening);
        let slots = self.slots.iter().skip(first_block as usize);
        for ((slot, tag), number) in slots.zip(&seals.tags).zip(seals.first..) {
            let whole = u128::from_le_bytes(*tag);
            slot.tag[0].store(whole as u64, Ordering::Relaxed);
            slot.tag[1].store((whole >> 64) as u64, Ordering::Relaxed);
            slot.number.store(number, Ordering::Relaxed);
        }
    }

    fn get(&self, block: u32) -> Option<(ContainerId, u64, Tag)> {
        let slot = self.slots.get(block as usize)?;
        let number = slot.number.load(Ordering::Relaxed);
        let half = |at: usize| u128::from(slot.tag[at].load(Ordering::Relaxed));
        let tag = (half(0) | half(1) << 64).to_le_bytes();
        let opening = *self.opening.get()?;
        (number != 0).then_some((opening, number, tag))
    }
}

impl Segment {
    /// Notes the seals of consecutive blocks. As with checksums, whoever can learn the blocks'
    /// addresses must learn them after this call, through a lock.
    pub(crate) fn set_seals(&self, first_block: u32, seals: &WriteSeals) {
        let all = self.seals.get_or_init(|| Seals::new(self.header.blocks));
        all.set(first_block, seals);
    }

    /// Decrypts consecutive blocks that were read from here, or from the memory that becomes it.
    ///
    /// # Errors
    /// `Corrupt` for a block that is not, or not here, what was written under this key.
    pub(crate) fn unseal(&self, key: &DataKey, first_block: u32, data: &mut [u8]) -> Result<()> {
        let seals = match self.seals.get() {
            Some(seals) => seals,
            None => {
                let read = self.read_seals()?;
                self.seals.get_or_init(|| read)
            }
        };
        for (block, chunk) in (first_block..).zip(data.chunks_exact_mut(BLOCK_BYTES)) {
            let opened = seals.get(block).is_some_and(|(opening, number, tag)| {
                key.open(Nonce::new(opening, number), Kind::Block, chunk, &tag)
                    .is_ok()
            });
            if !opened {
                let number = self.header.number;
                let context =
                    format!("journal segment {number}, block {block}: its seal is broken");
                return Err(Error::new(ErrorKind::Corrupt, context));
            }
        }
        Ok(())
    }

    fn read_seals(&self) -> Result<Seals> {
        let seals = Seals::new(self.header.blocks);
        let mut scan = Scan::new(self, Check::RecordsOnly);
        while scan.next_sequence() <= self.last_sequence() {
            let batch = scan.next_known()?;
            for record in &batch.records {
                if let Record::Write {
                    first_block,
                    seals: Some(of_write),
                    ..
                } = record
                {
                    seals.set(batch.start_block + first_block, of_write);
                }
            }
        }
        Ok(seals)
    }
}
