//! Fetching what a round of packing reads in small pieces, before it does.
//!
//! A round reads in the order of the guests' disks, which is any order in the journal. Where that
//! means single chunks, and memory has them no more, each would wait for the disk by itself. So all of
//! them are announced first, in the order of the journal.

use std::ops::Range;
use std::sync::Arc;

use super::live::{Live, Piece, pieces};
use crate::addr::CHUNK_BYTES;
use crate::engine::Engine;
use crate::journal::READ_ONCE_BYTES;
use crate::journal::segment::Segment;

/// Blocks between two pieces that are fetched along with them: less than another request costs.
const GAP_BLOCKS: u32 = 16;
/// Blocks announced with one call: a batch, as memory has all of one or nothing. So many are waited
/// for before more are announced, as guests want something of the disk as well.
const ANNOUNCED_BLOCKS: u32 = 1024;

impl Engine {
    /// Fetches what is to be read of the segments of a round, and rests in between as packing does.
    pub(super) fn announce(&self, segments: &[Arc<Segment>], live: &[Live]) {
        let (mut on_their_way, mut piece) = (0, self.piece());
        for (number, blocks) in ranges(small_pieces(live)) {
            let segment = &segments[number as usize];
            for start in blocks.clone().step_by(ANNOUNCED_BLOCKS as usize) {
                let count = (blocks.end - start).min(ANNOUNCED_BLOCKS);
                if !self.journal.prefetch(segment, start, count) {
                    continue;
                }
                on_their_way += count.max(GAP_BLOCKS);
                if on_their_way >= ANNOUNCED_BLOCKS {
                    segment.wait_for(start + count - 1);
                    self.rest_after(&mut piece);
                    on_their_way = 0;
                }
            }
        }
    }
}

/// The pieces that are not read past the page cache, in the order of the journal.
fn small_pieces(live: &[Live]) -> Vec<(u32, Range<u32>)> {
    let small = pieces(live).filter(|piece| piece.chunks.len() * CHUNK_BYTES < READ_ONCE_BYTES);
    let mut pieces: Vec<_> = small
        .map(|Piece { chunks, .. }| {
            let (first, count) = (chunks[0], chunks.len() as u32);
            (first.segment, first.block..first.block + count)
        })
        .collect();
    pieces.sort_unstable_by_key(|(segment, blocks)| (*segment, blocks.start));
    pieces
}

/// Joins pieces that lie close together.
pub(super) fn ranges(pieces: Vec<(u32, Range<u32>)>) -> Vec<(u32, Range<u32>)> {
    let mut ranges: Vec<(u32, Range<u32>)> = Vec::new();
    for (segment, blocks) in pieces {
        match ranges.last_mut() {
            Some((last, range)) if *last == segment && blocks.start <= range.end + GAP_BLOCKS => {
                range.end = blocks.end;
            }
            _ => ranges.push((segment, blocks)),
        }
    }
    ranges
}
