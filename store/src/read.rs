//! Reading a disk: overlay, then index, then journal or pack ([`gather`]).

pub(crate) mod gather;

use std::sync::Arc;

use crate::Result;
use crate::addr::{Address, CHUNK_BYTES, CHUNK_SHIFT};
use crate::chunk::seal::DataKey;
use crate::engine::{Engine, SeenRun};
use crate::index::{IndexRead, RUN_CHUNKS, Run};
use crate::journal::poisoned;
use crate::layer::Chain;
use crate::pack::reader::Manner;

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
}
