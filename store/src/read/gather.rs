//! From addresses to bytes.
//!
//! What is in one piece is simply read, however long that takes. Of several, those of one container are
//! read together, in the order in which they lie there, and those that only the disk has come last: all
//! are announced before the first is waited for. Not so directories of containers, which are mostly in
//! memory, and what a map still looks for where packing has taken it from, which is rare.

use std::mem;
use std::ops::Range;

use super::{RUN, Source};
use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT, CONTAINER_SLOTS};
use crate::chunk::seal::DataKey;
use crate::engine::{Engine, Place};
use crate::index::RUN_CHUNKS;
use crate::journal::segment::Segment;
use crate::layer::Chain;
use crate::pack::reader::Manner;
use crate::{Error, ErrorKind, Result};

/// Slots between two pieces that are fetched from the disk along with them.
const NEAR_SLOTS: u32 = 4;

/// Consecutive chunks of a container, and where they go.
pub(crate) struct Wanted<'a> {
    first: Address,
    pub(crate) out: &'a mut [u8],
}

impl<'a> Wanted<'a> {
    /// As many chunks from `first` as `out` takes.
    pub(crate) fn new(first: Address, out: &'a mut [u8]) -> Self {
        debug_assert!(out.len().is_multiple_of(CHUNK_BYTES));
        Self { first, out }
    }

    /// The slots of the container.
    pub(crate) fn slots(&self) -> Range<u32> {
        let first = self.first.slot();
        first..first + (self.out.len() / CHUNK_BYTES) as u32
    }

    /// The same, in place of which nothing is left to be wanted.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            first: self.first,
            out: mem::take(&mut self.out),
        }
    }
}

impl Engine {
    /// Reads chunks by address; those of an encrypted domain with its key.
    pub(crate) fn read_addresses(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        addresses: &[Address],
        out: &mut [u8],
    ) -> Result<Source> {
        let (mut rest, mut source) = (out, Source::Memory);
        let mut at = 0;
        let mut wanted = Vec::new();
        while at < addresses.len() {
            let first = addresses[at];
            let count = progression(&addresses[at..]);
            let (part, tail) = rest.split_at_mut(count * CHUNK_BYTES);
            match first.is_data() {
                true if count == addresses.len() => return self.read_one(key, manner, first, part),
                true => wanted.push(Wanted::new(first, part)),
                false => part.fill(0),
            }
            (at, rest) = (at + count, tail);
        }
        if let [one] = &mut wanted[..] {
            return self.read_one(key, manner, one.first, one.out);
        }
        wanted.sort_unstable_by_key(|one| one.first);
        let mut late = Vec::new();
        for same in wanted.chunk_by_mut(|one, next| one.first.container() == next.first.container())
        {
            source = source.max(self.read_ready(key, manner, same, &mut late)?);
        }
        if late.is_empty() {
            return Ok(source);
        }
        self.read_late(key, manner, &mut late)?;
        Ok(Source::Disk)
    }

    /// Reads what the disk has to be waited for.
    fn read_late(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        late: &mut [Wanted<'_>],
    ) -> Result<()> {
        if late.len() > 1 {
            self.fetch(late.iter().map(|one| (one.first, one.slots().len() as u32)))?;
        }
        let mut each = late.iter_mut();
        let read = each.try_for_each(|one| {
            let source = self.read_one(key, manner, one.first, one.out);
            source.map(|_| ())
        });
        if read.is_err() {
            // They may hold damaged bytes, which are for nobody.
            late.iter_mut().for_each(|one| one.out.fill(0));
        }
        read
    }

    /// Reads pieces of one container as far as the disk need not be asked; the others go to `late`.
    fn read_ready<'a>(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        pieces: &mut [Wanted<'a>],
        late: &mut Vec<Wanted<'a>>,
    ) -> Result<Source> {
        let mut source = Source::Memory;
        let container = pieces[0].first.container();
        match self.place(container)? {
            Place::Journal(segment) => {
                for piece in pieces {
                    let block = block_of(&segment, piece.first);
                    if self.journal.read_ready(&segment, block, piece.out) {
                        unseal(&segment, key, block, piece.out)?;
                    } else {
                        late.push(piece.take());
                    }
                }
            }
            Place::Packed(row) => {
                let place = row.location.local();
                let reader = &self.reader;
                reader.read_ready(container, place, key, manner, pieces, late)?;
            }
            Place::Forwarded(_) => {
                for piece in pieces {
                    source = source.max(self.read_one(key, manner, piece.first, piece.out)?);
                }
            }
        }
        Ok(source)
    }

    /// Reads chunks at consecutive slots of one container.
    fn read_one(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        first: Address,
        out: &mut [u8],
    ) -> Result<Source> {
        let container = first.container();
        match self.place(container)? {
            Place::Journal(segment) => {
                let block = block_of(&segment, first);
                let source = match self.journal.read_ready(&segment, block, out) {
                    true => Source::Memory,
                    false => {
                        self.journal.read(&segment, block, out)?;
                        Source::Disk
                    }
                };
                unseal(&segment, key, block, out)?;
                Ok(source)
            }
            Place::Packed(row) => {
                let place = row.location.local();
                let slot = first.slot();
                self.reader.read(container, place, key, manner, slot, out)
            }
            Place::Forwarded(row) => {
                let count = out.len() / CHUNK_BYTES;
                let settled: Vec<Address> = (0..count as u32)
                    .map(|index| row.get(first.slot() + index))
                    .collect();
                if settled.iter().any(|address| !address.is_data()) {
                    let context = format!("{first:?} was dropped by the packer");
                    return Err(Error::new(ErrorKind::Corrupt, context));
                }
                // Packing ends in pack files, so this goes one step deep.
                self.read_addresses(key, manner, &settled, out)
            }
        }
    }

    /// Begins to fetch what the bytes at `offset` are stored in; the caller has checked the bounds.
    /// What memory holds already costs next to nothing, and zeroes are nowhere.
    pub(crate) fn prefetch(&self, chain: &Chain, offset: u64, len: u64) -> Result<()> {
        let _guard = self.epochs.enter();
        let mut chunk = offset >> CHUNK_SHIFT;
        let end = (offset + len).div_ceil(CHUNK_BYTES as u64);
        while chunk < end {
            let count = (end - chunk).min(RUN_CHUNKS - chunk % RUN_CHUNKS) as usize;
            let mut found = [Address::HOLE; RUN];
            let found = &mut found[..count];
            self.resolve(chain, chunk, found)?;
            found.sort_unstable();
            let holes = found.partition_point(|address| !address.is_data());
            self.fetch(found[holes..].iter().map(|address| (*address, 1)))?;
            chunk += count as u64;
        }
        Ok(())
    }

    /// Begins to fetch pieces of so many slots, which are sorted; those near each other together.
    fn fetch(&self, pieces: impl Iterator<Item = (Address, u32)>) -> Result<()> {
        let mut together: Option<(Address, u32)> = None;
        for (next, slots) in pieces {
            if let Some((first, count)) = &mut together
                && first.container() == next.container()
                && next.slot() <= first.slot() + *count + NEAR_SLOTS
            {
                // Two pieces may be of the same chunk.
                *count = (*count).max(next.slot() + slots - first.slot());
                continue;
            }
            if let Some((first, count)) = together.replace((next, slots)) {
                self.fetch_slots(first, count)?;
            }
        }
        together.map_or(Ok(()), |(first, count)| self.fetch_slots(first, count))
    }

    fn fetch_slots(&self, first: Address, slots: u32) -> Result<()> {
        let (container, slot) = (first.container(), first.slot());
        match self.place(container)? {
            Place::Journal(segment) => {
                if let Some(block) = segment.block_of(first) {
                    self.journal.prefetch(&segment, block, slots);
                }
            }
            Place::Packed(row) => {
                self.reader
                    .prefetch(container, row.location.local(), slot, slots);
            }
            // Rare: a map that packing has not settled yet.
            Place::Forwarded(_) => {}
        }
        Ok(())
    }
}

/// The block of a segment that was found by an address.
fn block_of(segment: &Segment, address: Address) -> u32 {
    let block = segment.block_of(address);
    block.expect("the segment was found by this address")
}

/// Decrypts blocks of the journal, if they belong to an encrypted domain.
fn unseal(segment: &Segment, key: Option<&DataKey>, block: u32, out: &mut [u8]) -> Result<()> {
    match key {
        Some(key) => segment.unseal(key, block, out),
        None => Ok(()),
    }
}

/// How many addresses from the first follow one another inside one container.
fn progression(addresses: &[Address]) -> usize {
    let first = addresses[0];
    let most = match first.is_data() {
        true => (CONTAINER_SLOTS - first.slot()) as usize,
        false => addresses.len(),
    };
    let follows = |(index, address): &(usize, &Address)| **address == first.advance(*index as u64);
    addresses
        .iter()
        .take(most)
        .enumerate()
        .take_while(follows)
        .count()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use crate::addr::CHUNK_BYTES;
    use crate::disk::sim::{SimIo, SplitMix64};
    use crate::model::{open, sealed, spec};
    use crate::{Durability, VolumeId};

    #[test]
    fn what_lies_in_pieces_is_asked_of_the_disk_together() {
        let sim = SimIo::new(1);
        let store = open(&sim).unwrap();
        for (number, encrypted) in [(1, false), (2, true)] {
            let id = VolumeId(Uuid::from_u128(number));
            let plain = spec(16 << 20);
            let spec = if encrypted { sealed(plain, id) } else { plain };
            store.create_volume(id, spec).unwrap();
            let volume = store.volume(id).unwrap();
            let mut data = vec![0; 16 * CHUNK_BYTES];
            SplitMix64::new(2).fill(&mut data);
            // Backwards, so that no two chunks follow one another in the journal either.
            for (index, part) in data.chunks(CHUNK_BYTES).enumerate().rev() {
                let at = (index * CHUNK_BYTES) as u64;
                volume.write(at, part, Durability::Durable).unwrap();
            }
            let mut found = vec![0; data.len()];
            volume.read(0, &mut found).unwrap();
            assert_eq!(volume.disk_reads(), 0, "it is in memory");
            // More than stays in memory.
            for part in 1..8 {
                let other = vec![part; 1 << 20];
                let at = u64::from(part) << 20;
                volume.write(at, &other, Durability::Durable).unwrap();
            }
            let before = sim.advice_count();
            found.fill(0);
            volume.read(0, &mut found).unwrap();
            assert!(found == data);
            assert_eq!(volume.disk_reads(), 1, "one read, in many pieces");
            let together = sim.advice_count() - before;
            assert!((1..=2).contains(&together), "{together}");
            let mut alone = [0; CHUNK_BYTES];
            for (at, part) in (0..).step_by(CHUNK_BYTES).zip(data.chunks(CHUNK_BYTES)) {
                volume.read(at, &mut alone).unwrap();
                assert!(alone == part);
            }
            assert_eq!(sim.advice_count() - before, together, "one is simply read");
        }
    }
}
