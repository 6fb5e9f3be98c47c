//! Reading a disk: overlay, then index, then journal or pack.

use std::sync::Arc;

use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT, CONTAINER_SLOTS};
use crate::chunk::seal::DataKey;
use crate::engine::{Engine, Place, SeenRun};
use crate::index::{IndexRead, RUN_CHUNKS, Run};
use crate::journal::poisoned;
use crate::journal::segment::Segment;
use crate::layer::Chain;
use crate::pack::reader::Manner;
use crate::{Error, ErrorKind, Result};

pub(crate) const RUN: usize = RUN_CHUNKS as usize;
/// Who reads so much at once passes through.
const PASSING_BYTES: usize = 128 << 10;

/// Where the bytes of a read came from: the slowest of its sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Own memory, or the page cache.
    Memory,
    /// The disk had to be waited for.
    Disk,
}

impl Engine {
    /// Fills `out` with the bytes at `offset`; the caller has checked the bounds.
    pub(crate) fn read_bytes(&self, chain: &Chain, offset: u64, out: &mut [u8]) -> Result<Source> {
        let _guard = self.epochs.enter();
        let key = self.key_of(chain)?;
        let manner = match out.len() >= PASSING_BYTES {
            true => Manner::Passing,
            false => Manner::Usual,
        };
        let skip = (offset % CHUNK_BYTES as u64) as usize;
        let mut chunk = offset >> CHUNK_SHIFT;
        let (mut rest, mut source) = (out, Source::Memory);
        if skip != 0 {
            let take = rest.len().min(CHUNK_BYTES - skip);
            let (part, tail) = rest.split_at_mut(take);
            source = self.read_part(chain, key, chunk, skip, part)?;
            (chunk, rest) = (chunk + 1, tail);
        }
        let whole = rest.len() / CHUNK_BYTES;
        let (middle, tail) = rest.split_at_mut(whole * CHUNK_BYTES);
        source = source.max(self.read_chunks(chain, key, manner, chunk, middle)?);
        if !tail.is_empty() {
            source = source.max(self.read_part(chain, key, chunk + whole as u64, 0, tail)?);
        }
        Ok(source)
    }

    fn read_part(
        &self,
        chain: &Chain,
        key: Option<&DataKey>,
        chunk: u64,
        skip: usize,
        part: &mut [u8],
    ) -> Result<Source> {
        let mut whole = [0; CHUNK_BYTES];
        let source = self.read_chunks(chain, key, Manner::Usual, chunk, &mut whole)?;
        part.copy_from_slice(&whole[skip..skip + part.len()]);
        Ok(source)
    }

    fn read_chunks(
        &self,
        chain: &Chain,
        key: Option<&DataKey>,
        manner: Manner,
        first: u64,
        out: &mut [u8],
    ) -> Result<Source> {
        let (mut rest, mut source) = (out, Source::Memory);
        let mut chunk = first;
        while !rest.is_empty() {
            let in_run = (chunk % RUN_CHUNKS) as usize;
            let count = (rest.len() / CHUNK_BYTES).min(RUN - in_run);
            let mut found = [Address::HOLE; RUN];
            self.resolve(chain, chunk, &mut found[..count])?;
            let (part, tail) = rest.split_at_mut(count * CHUNK_BYTES);
            source = source.max(self.read_addresses(key, manner, &found[..count], part)?);
            (chunk, rest) = (chunk + count as u64, tail);
        }
        Ok(source)
    }

    /// The addresses of chunks from `first`, all of one run.
    pub(crate) fn resolve(&self, chain: &Chain, first: u64, out: &mut [Address]) -> Result<()> {
        // The layer (as its depth) whose overlay gave each address; what lies below the owner of the
        // run is older than the run.
        let mut depth_of = [usize::MAX; RUN];
        let mut open = out.len();
        for (depth, layer) in chain.restless().iter().enumerate() {
            layer.pieces(first, out.len() as u64, |piece| {
                let at = (piece.start - first) as usize;
                for index in 0..piece.len as usize {
                    if depth_of[at + index] == usize::MAX {
                        depth_of[at + index] = depth;
                        out[at + index] = piece.first.advance(index as u64);
                        open -= 1;
                    }
                }
            });
            if depth == 0 && open == 0 {
                return Ok(());
            }
        }
        let seen = self.seen_run(chain, (first / RUN_CHUNKS) as u32)?;
        let in_run = (first % RUN_CHUNKS) as usize;
        if open == out.len() {
            for (index, address) in out.iter_mut().enumerate() {
                *address = seen.run.get(in_run + index);
            }
            return Ok(());
        }
        let owner_depth = seen
            .owner
            .and_then(|owner| chain.ids.iter().position(|id| *id == owner))
            .unwrap_or(usize::MAX - 1);
        for (index, address) in out.iter_mut().enumerate() {
            if depth_of[index] > owner_depth {
                *address = seen.run.get(in_run + index);
            }
        }
        Ok(())
    }

    /// A run as the stack shows it, from the cache or the index.
    pub(crate) fn seen_run(&self, chain: &Chain, run: u32) -> Result<SeenRun> {
        let key = (chain.head().id, run);
        if let Some(seen) = self.run_cache.runs.get(&key) {
            return Ok(seen);
        }
        let version = *self.run_cache.version.read().expect(poisoned!());
        let seen = match self.index.read()?.find_run(&chain.ids, run)? {
            Some((owner, run)) => SeenRun {
                owner: Some(owner),
                run: Arc::new(run),
            },
            None => SeenRun {
                owner: None,
                run: Arc::new(Run::holes()),
            },
        };
        let now = self.run_cache.version.read().expect(poisoned!());
        if *now == version {
            self.run_cache.runs.insert(key, seen.clone());
        }
        Ok(seen)
    }

    /// Reads chunks by address, neighbours together; those of an encrypted domain with its key. What
    /// the disk must be asked for comes last, side by side.
    pub(crate) fn read_addresses(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        addresses: &[Address],
        out: &mut [u8],
    ) -> Result<Source> {
        let (mut rest, mut source) = (out, Source::Memory);
        let mut at = 0;
        let mut late = Vec::new();
        while at < addresses.len() {
            let first = addresses[at];
            let count = progression(&addresses[at..]);
            let (part, tail) = rest.split_at_mut(count * CHUNK_BYTES);
            if first.is_data() {
                match self.read_data(key, manner, first, part)? {
                    Outcome::Read(from) => source = source.max(from),
                    Outcome::Late(one) => late.push(one),
                }
            } else {
                part.fill(0);
            }
            (at, rest) = (at + count, tail);
        }
        if late.is_empty() {
            return Ok(source);
        }
        self.read_late(key, late)?;
        Ok(Source::Disk)
    }

    /// Reads from the journal what neither memory nor the page cache had.
    fn read_late(&self, key: Option<&DataKey>, late: Vec<Late<'_>>) -> Result<()> {
        if late.len() > 1 {
            for one in &late {
                let chunks = one.out.len() / CHUNK_BYTES;
                one.segment.prefetch(one.block, chunks as u32);
            }
        }
        for Late {
            segment,
            block,
            out,
        } in late
        {
            self.journal.read(&segment, block, out)?;
            unseal(&segment, key, block, out)?;
        }
        Ok(())
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
            let mut at = 0;
            while at < count {
                let many = progression(&found[at..]);
                if found[at].is_data() {
                    self.prefetch_slots(found[at], many as u32)?;
                }
                at += many;
            }
            chunk += count as u64;
        }
        Ok(())
    }

    fn prefetch_slots(&self, first: Address, slots: u32) -> Result<()> {
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

    /// Reads chunks at consecutive slots of one container, or says what the disk must be asked for.
    fn read_data<'a>(
        &self,
        key: Option<&DataKey>,
        manner: Manner,
        first: Address,
        out: &'a mut [u8],
    ) -> Result<Outcome<'a>> {
        let container = first.container();
        match self.place(container)? {
            Place::Journal(segment) => {
                let block = segment
                    .block_of(first)
                    .expect("the segment was found by this address");
                if self.journal.read_ready(&segment, block, out) {
                    unseal(&segment, key, block, out)?;
                    return Ok(Outcome::Read(Source::Memory));
                }
                Ok(Outcome::Late(Late {
                    segment,
                    block,
                    out,
                }))
            }
            Place::Packed(row) => {
                let place = row.location.local();
                let slot = first.slot();
                let reader = &self.reader;
                let from = reader.read(container, place, key, manner, slot, out)?;
                Ok(Outcome::Read(from))
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
                let from = self.read_addresses(key, manner, &settled, out)?;
                Ok(Outcome::Read(from))
            }
        }
    }
}

/// What became of a piece of a read.
enum Outcome<'a> {
    Read(Source),
    /// The disk must be asked for it.
    Late(Late<'a>),
}

/// Consecutive blocks of the journal that a read waits for, and where they go.
struct Late<'a> {
    segment: Arc<Segment>,
    block: u32,
    out: &'a mut [u8],
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
            assert!(together > 1, "{together}");
            let mut alone = [0; CHUNK_BYTES];
            for (at, part) in (0..).step_by(CHUNK_BYTES).zip(data.chunks(CHUNK_BYTES)) {
                volume.read(at, &mut alone).unwrap();
                assert!(alone == part);
            }
            assert_eq!(sim.advice_count() - before, together, "one is simply read");
        }
    }
}
