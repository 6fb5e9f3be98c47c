//! Reading much of a container at once, without waiting for the disk.
//!
//! What was written here and there is packed chunk by chunk, in the order of the guest's disk, but with
//! gaps, where the disk has what other rounds have packed. So a read of consecutive chunks wants many
//! short pieces of a few containers, and those of one container lie almost one behind the other.

use std::io::IoSliceMut;
use std::ops::Range;

use super::LocalPlace;
use super::reader::{Manner, Patience, Reader, Request, with_stored};
use crate::Result;
use crate::addr::{CHUNK_BYTES, ContainerId};
use crate::chunk::seal::DataKey;
use crate::read::gather::Wanted;

/// Bytes between two pieces that are read along for nobody: another call would be as dear.
const GAP_BYTES: usize = 2 * CHUNK_BYTES;
/// Those of one call.
const GAPS_BYTES: usize = 256 << 10;

impl Reader {
    /// Fills pieces of one container, sorted by slot, as far as memory and the page cache have them
    /// undamaged. The others go to `late`: who waits for them learns what is wrong.
    ///
    /// # Errors
    /// Of the container as a whole.
    pub(crate) fn read_ready<'a>(
        &self,
        container: ContainerId,
        place: &LocalPlace,
        key: Option<&DataKey>,
        manner: Manner,
        pieces: &mut [Wanted<'a>],
        late: &mut Vec<Wanted<'a>>,
    ) -> Result<()> {
        self.warmth.touch(container);
        let directory = self.directory(container, place)?;
        let mut request = Request {
            directory: &directory,
            place,
            key,
            manner,
            patience: Patience::None,
            start: 0,
        };
        let end = pieces.iter().map(|piece| piece.slots().end).max();
        request.check_bounds(end.unwrap_or(0) as usize * CHUNK_BYTES)?;
        let mut rest = pieces;
        while !rest.is_empty() {
            let count = request.plain_chunks_together(rest);
            let (now, then) = rest.split_at_mut(count.max(1));
            let done = if count > 0 {
                self.read_together(&request, now)?
            } else {
                request.start = now[0].slots().start as usize * CHUNK_BYTES;
                self.fill(&request, now[0].out)?.is_some()
            };
            if !done {
                late.extend(now.iter_mut().map(Wanted::take));
            }
            rest = then;
        }
        Ok(())
    }

    /// Reads chunks that are stored as they are with one call, if the page cache has all of them.
    fn read_together(&self, request: &Request<'_>, pieces: &mut [Wanted<'_>]) -> Result<bool> {
        let file = self.packs.file(request.place.pack)?;
        let first = request.stored_of(&pieces[0]).start;
        let offset = request.place.offset + first as u64;
        let cached = with_stored(GAPS_BYTES, |mut nobodys| {
            let mut buffers = Vec::with_capacity(2 * pieces.len());
            let mut at = first;
            for piece in &mut *pieces {
                let stored = request.stored_of(piece);
                let gap;
                (gap, nobodys) = nobodys.split_at_mut(stored.start - at);
                if !gap.is_empty() {
                    buffers.push(IoSliceMut::new(gap));
                }
                buffers.push(IoSliceMut::new(piece.out));
                at = stored.end;
            }
            file.read_cached_at(&mut buffers, offset)
        });
        let intact = |piece: &Wanted<'_>| request.check(piece.slots(), piece.out).is_ok();
        Ok(cached && pieces.iter().all(intact))
    }
}

impl Request<'_> {
    /// How many pieces from the first are chunks that are stored as they are, and near enough to each
    /// other to be read with one call.
    fn plain_chunks_together(&self, pieces: &[Wanted<'_>]) -> usize {
        let plain = |piece: &&Wanted<'_>| self.are_plain_chunks(piece.slots());
        let (mut gaps, mut end) = (0, None);
        let near = |piece: &&Wanted<'_>| {
            let stored = self.stored_of(piece);
            // Two pieces may be of the same chunk.
            let gap = stored.start.checked_sub(end.unwrap_or(stored.start));
            (gaps, end) = (gaps + gap.unwrap_or(0), Some(stored.end));
            gap.is_some_and(|gap| gap <= GAP_BYTES) && gaps <= GAPS_BYTES
        };
        pieces.iter().take_while(plain).take_while(near).count()
    }

    /// Where the chunks of a piece are stored, if each is a frame.
    fn stored_of(&self, piece: &Wanted<'_>) -> Range<usize> {
        let slots = piece.slots();
        self.stored(slots.start).start..self.stored(slots.end - 1).end
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::LocalPlace;
    use super::super::reader::{Manner, Reader};
    use super::super::tests::{build, pack_file, plain, reader, sim_packs};
    use super::super::writer::FrameOptions;
    use crate::addr::{Address, CHUNK_BYTES, ContainerId};
    use crate::error::ErrorKind;
    use crate::read::gather::Wanted;

    const ID: u64 = 7;
    const SLOTS: u32 = 200;

    /// Reads pieces, checks those that are there and says which are late.
    fn read(reader: &Reader, place: &LocalPlace, pieces: &[Range<u32>]) -> Vec<Range<u32>> {
        let id = ContainerId(ID);
        let mut found: Vec<Vec<u8>> = pieces
            .iter()
            .map(|slots| vec![0xee; slots.len() * CHUNK_BYTES])
            .collect();
        let mut wanted: Vec<Wanted<'_>> = pieces
            .iter()
            .zip(&mut found)
            .map(|(slots, out)| Wanted::new(Address::new(id, slots.start), out))
            .collect();
        let mut late = Vec::new();
        reader
            .read_ready(id, place, None, Manner::Usual, &mut wanted, &mut late)
            .unwrap();
        let late: Vec<_> = late.iter().map(Wanted::slots).collect();
        for (slots, found) in pieces.iter().zip(&found) {
            let is_late = late.contains(slots);
            assert!(is_late || *found == plain(ID, slots.clone()), "{slots:?}");
        }
        late
    }

    #[test]
    fn near_pieces_come_at_once_or_late_and_others_by_themselves() {
        let (_, packs) = sim_packs();
        let sealed = build(ID, SLOTS, FrameOptions::SCATTERED);
        let place = packs.append(&sealed).unwrap();
        let reader = reader(&packs);
        let mut late_ones = 0;
        // One of them begins in a block that the page cache has.
        for first in [0_u32, 1] {
            let piece = |from: u32, to: u32| first + from..first + to;
            // Up to two chunks between them, and one wanted twice.
            let near = [piece(0, 1), piece(1, 3), piece(4, 5), piece(7, 8)];
            let twice = [near.as_slice(), &[piece(6, 8), piece(6, 7)]].concat();
            for pieces in [&near[..], &twice] {
                let mut pieces = pieces.to_vec();
                pieces.sort_by_key(|slots| slots.start);
                let late = read(&reader, &place, &pieces);
                assert!(late.is_empty() || late == pieces, "{late:?}");
                late_ones += usize::from(late == near);
            }
            let far = [piece(0, 1), piece(4, 6), piece(9, 10)];
            let late = read(&reader, &place, &far);
            assert!(late == far[..2] || late == far[2..], "{late:?}");
        }
        assert_eq!(late_ones, 1, "the page cache has every other block");
        // More between them than the buffer for it takes.
        let all: Vec<_> = (0..SLOTS).step_by(3).map(|slot| slot..slot + 1).collect();
        assert!(read(&reader, &place, &all).len() < all.len());
    }

    #[test]
    fn frames_come_one_by_one_or_late() {
        let (_, packs) = sim_packs();
        let sealed = build(ID, SLOTS, FrameOptions::default());
        let place = packs.append(&sealed).unwrap();
        let reader = reader(&packs);
        let pieces: Vec<_> = (0..SLOTS).step_by(2).map(|slot| slot..slot + 1).collect();
        let late = read(&reader, &place, &pieces);
        assert!(!late.is_empty() && late.len() < pieces.len(), "{late:?}");
        // Once they are decoded, nothing is late.
        for slots in late {
            let mut out = vec![0; CHUNK_BYTES];
            let (id, manner) = (ContainerId(ID), Manner::Usual);
            reader
                .read(id, &place, None, manner, slots.start, &mut out)
                .unwrap();
        }
        assert_eq!(read(&reader, &place, &pieces), []);
    }

    #[test]
    fn damage_is_for_those_who_wait() {
        let (sim, packs) = sim_packs();
        let sealed = build(ID, SLOTS, FrameOptions::SCATTERED);
        let place = packs.append(&sealed).unwrap();
        let reader = reader(&packs);
        let whole = |first| [first..first + 2, first + 3..first + 4];
        let first = u32::from(!read(&reader, &place, &whole(0)).is_empty());
        assert_eq!(read(&reader, &place, &whole(first)), []);
        let file = pack_file(&sim, place.pack);
        let frame = sealed.directory.frames[first as usize + 3];
        let at = place.offset + u64::from(frame.offset) + 100;
        let mut byte = [0];
        file.read_at(&mut byte, at).unwrap();
        file.write_at(&[byte[0] ^ 1], at).unwrap();
        assert_eq!(read(&reader, &place, &whole(first)), whole(first));
        let alone = |slots: Range<u32>| {
            let mut out = vec![0xee; slots.len() * CHUNK_BYTES];
            let (id, manner) = (ContainerId(ID), Manner::Usual);
            let read = reader.read(id, &place, None, manner, slots.start, &mut out);
            read.map(|_| out)
        };
        let [intact, damaged] = whole(first);
        assert!(alone(intact.clone()).unwrap() == plain(ID, intact));
        assert_eq!(alone(damaged).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn slots_beyond_the_end_are_refused() {
        let (_, packs) = sim_packs();
        let place = packs.append(&build(ID, SLOTS, FrameOptions::SCATTERED));
        let (reader, id) = (reader(&packs), ContainerId(ID));
        let mut out = [0; 2 * CHUNK_BYTES];
        let mut wanted = [Wanted::new(Address::new(id, SLOTS - 1), &mut out)];
        let (place, mut late) = (place.unwrap(), Vec::new());
        let refused = reader.read_ready(id, &place, None, Manner::Usual, &mut wanted, &mut late);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
