//! What is still wanted of a journal segment.

use crate::Result;
use crate::addr::CHUNK_BYTES;
use crate::engine::Engine;
use crate::index::{IndexRead, LayerId, RUN_CHUNKS, Run};
use crate::journal::record::Record;
use crate::journal::scan::{Check, Scan};
use crate::journal::segment::Segment;
use crate::maintain::Maintenance;

/// A chunk of a segment that its layer still maps. Sorted by its place on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Live {
    pub(super) layer: LayerId,
    pub(super) chunk: u64,
    /// Which segment of the round.
    pub(super) segment: u32,
    pub(super) block: u32,
}

/// Chunks that are read at once, at most.
pub(super) const PIECE_CHUNKS: usize = 256;
/// Fewer than this written together are scattered: less than a frame.
const SCATTERED_CHUNKS: usize = (16 << 10) / CHUNK_BYTES;
/// How far apart in the journal neighbours on the disk may be that were written by one stream: it may
/// leave out zeroes, and its requests may come in another order.
const STREAM_BLOCKS: u32 = 16;
/// The same on the disk, in chunks.
const STREAM_CHUNKS: u64 = 64;

impl Live {
    fn was_written_along_with(&self, next: &Self) -> bool {
        (self.layer, self.segment) == (next.layer, next.segment)
            && self.block.abs_diff(next.block) <= STREAM_BLOCKS
            && self.chunk.abs_diff(next.chunk) <= STREAM_CHUNKS
    }
}

impl Engine {
    /// The chunks of a segment that are still mapped, sorted. The segment has `number` in its round.
    pub(super) fn live_chunks(
        &self,
        maintenance: &Maintenance,
        segment: &Segment,
        number: u32,
    ) -> Result<Vec<Live>> {
        let mut written = written_chunks(maintenance, segment, number)?;
        written.sort_unstable();
        let reader = self.index.read()?;
        let mut seen: Option<(LayerId, u32, Option<Run>)> = None;
        let mut live = Vec::with_capacity(written.len());
        for one in written {
            let run = (one.chunk / RUN_CHUNKS) as u32;
            if !matches!(&seen, Some((layer, number, _)) if (*layer, *number) == (one.layer, run)) {
                seen = Some((one.layer, run, reader.run(one.layer, run)?));
            }
            let mapped = seen.as_ref().and_then(|(_, _, found)| found.as_ref());
            let address = segment.address(one.block);
            if mapped.is_some_and(|run| run.get((one.chunk % RUN_CHUNKS) as usize) == address) {
                live.push(one);
            }
        }
        Ok(live)
    }
}

/// All chunks of a segment, in the order in which they were written.
fn written_chunks(maintenance: &Maintenance, segment: &Segment, number: u32) -> Result<Vec<Live>> {
    let mut written = Vec::new();
    let mut scan = Scan::new(segment, Check::RecordsOnly);
    while scan.next_sequence() <= segment.last_sequence() {
        let batch = scan.next_known()?;
        for record in batch.records {
            if let Record::Write {
                layer,
                first_chunk,
                first_block,
                checksums,
                ..
            } = record
            {
                let layer = maintenance.merged_into(layer);
                let block = batch.start_block + first_block;
                written.extend((0..checksums.len() as u32).map(|index| Live {
                    layer,
                    chunk: first_chunk + u64::from(index),
                    segment: number,
                    block: block + index,
                }));
            }
        }
    }
    Ok(written)
}

/// How many chunks from the first lie one behind the other in one segment.
fn consecutive(live: &[Live]) -> usize {
    let follows =
        |pair: &[Live]| pair[1].segment == pair[0].segment && pair[1].block == pair[0].block + 1;
    1 + live.windows(2).take_while(|pair| follows(pair)).count()
}

/// Chunks that lie one behind the other in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    pub(super) chunks: &'a [Live],
    /// Few, and their neighbours on the disk were not written along with them.
    pub(super) scattered: bool,
}

/// What is alive, piece by piece.
pub(super) fn pieces(live: &[Live]) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = live.get(at..).filter(|rest| !rest.is_empty())?;
        let chunks = &rest[..consecutive(rest).min(PIECE_CHUNKS)];
        let before = at.checked_sub(1).map(|before| &live[before]);
        at += chunks.len();
        let along = |one: Option<&Live>, other: Option<&Live>| {
            one.zip(other)
                .is_some_and(|(one, other)| one.was_written_along_with(other))
        };
        let scattered = chunks.len() < SCATTERED_CHUNKS
            && !along(before, chunks.first())
            && !along(chunks.last(), live.get(at));
        Some(Piece { chunks, scattered })
    })
}
