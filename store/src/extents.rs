//! What ranges of a disk are made of, without reading them.
//!
//! A walk goes run by run only where a run is stored: it leaps over what no layer's index has, and
//! over what one range of the head's overlay covers, however long that is.

use std::ops::Range;

use crate::addr::{Address, CHUNK_SHIFT};
use crate::engine::Engine;
use crate::index::{IndexRead, RUN_CHUNKS};
use crate::layer::{Chain, Layer};
use crate::read::RUN;
use crate::{Extent, ExtentKind, Result};

impl Engine {
    /// Kinds of a range in bytes, as [`crate::Volume::extents`] promises.
    pub(crate) fn extents(
        &self,
        chain: &Chain,
        offset: u64,
        len: u64,
        max: usize,
    ) -> Result<Vec<Extent>> {
        let mut extents: Vec<Extent> = Vec::new();
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let rest = at >> CHUNK_SHIFT..end.div_ceil(1 << CHUNK_SHIFT);
            if let Some((until, kind)) = self.leap(chain, rest.clone())? {
                let until = (until << CHUNK_SHIFT).min(end);
                if !push_extent(&mut extents, max, until - at, kind) {
                    return Ok(extents);
                }
                at = until;
                continue;
            }
            let in_run = rest.start % RUN_CHUNKS;
            let count = (rest.end - rest.start).min(RUN_CHUNKS - in_run);
            let mut found = [Address::HOLE; RUN];
            self.resolve(chain, rest.start, &mut found[..count as usize])?;
            for (index, address) in (1..).zip(&found[..count as usize]) {
                let until = ((rest.start + index) << CHUNK_SHIFT).min(end);
                if !push_extent(&mut extents, max, until - at, kind_of(*address)) {
                    return Ok(extents);
                }
                at = until;
            }
        }
        Ok(extents)
    }

    /// How far chunks from the start of a range are of one kind for sure, if that can be said without
    /// looking at a run.
    fn leap(&self, chain: &Chain, rest: Range<u64>) -> Result<Option<(u64, ExtentKind)>> {
        let (covered, until) = ahead(chain.head(), rest.clone());
        if let Some(kind) = covered {
            return Ok(Some((until, kind)));
        }
        let run = (rest.start / RUN_CHUNKS) as u32;
        if self.seen_run(chain, run)?.owner.is_some() {
            return Ok(None);
        }
        // The overlays first: what a checkpoint moves meanwhile is then found in the index.
        let (mut covered, mut until, mut above) = (None, until, 1);
        for layer in &chain.layers[1..] {
            let (kind, end) = ahead(layer, rest.start..until);
            until = end;
            if kind.is_some() {
                covered = kind;
                break;
            }
            above += 1;
        }
        // Runs of layers below the one whose overlay covers the place are older than that.
        let reader = self.index.read()?;
        for layer in chain.ids.iter().take(above) {
            let last = until.div_ceil(RUN_CHUNKS) as u32;
            let stored = reader.layer_run_numbers(*layer, run, last, 1)?;
            if let Some(next) = stored.first() {
                until = until.min(u64::from(*next) * RUN_CHUNKS);
            }
        }
        let kind = covered.unwrap_or(ExtentKind::Hole);
        Ok((until > rest.start).then_some((until, kind)))
    }
}

/// What a layer's overlay says of the first chunk of a range, and how far it says the same.
fn ahead(layer: &Layer, range: Range<u64>) -> (Option<ExtentKind>, u64) {
    let (mut kind, mut until) = (None, range.end);
    layer.first_pieces(range.start, range.end - range.start, |piece| {
        if piece.start > range.start {
            until = until.min(piece.start);
        } else if kind.is_none() {
            kind = Some(kind_of(piece.first));
            until = until.min(piece.end());
        }
    });
    (kind, until)
}

/// Adds to the last extent or behind it; `false` when there is no room for another.
fn push_extent(extents: &mut Vec<Extent>, max: usize, len: u64, kind: ExtentKind) -> bool {
    if let Some(last) = extents.last_mut()
        && last.kind == kind
    {
        last.len += len;
        return true;
    }
    if extents.len() == max {
        return false;
    }
    extents.push(Extent { len, kind });
    true
}

pub(crate) fn kind_of(address: Address) -> ExtentKind {
    match address {
        Address::HOLE => ExtentKind::Hole,
        Address::ZERO => ExtentKind::Zero,
        _ => ExtentKind::Data,
    }
}
