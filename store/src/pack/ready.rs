//! Reading much of a container at once, without waiting for the disk to give its chunks.
//!
//! What was written here and there is packed chunk by chunk, in the order of the guest's disk, with
//! what other rounds have packed between them. So a read of consecutive chunks wants many short pieces
//! of a few containers, and in each of these they lie one behind the other, or nearly so.

use std::io::IoSliceMut;

use super::LocalPlace;
use super::reader::{Manner, Patience, Reader, Request};
use crate::Result;
use crate::addr::{CHUNK_BYTES, ContainerId};
use crate::chunk::seal::DataKey;
use crate::read::gather::Wanted;

impl Reader {
    /// Fills pieces of one container, sorted by slot, as far as memory and the page cache have them
    /// undamaged. The others go to `late`: who waits for them learns what is wrong.
    ///
    /// # Errors
    /// Of the container as a whole, and of frames that are intact and yet do not decode.
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
        let first = request.stored(pieces[0].slots().start).start;
        let mut buffers: Vec<_> = pieces
            .iter_mut()
            .map(|piece| IoSliceMut::new(piece.out))
            .collect();
        let cached = file.read_cached_at(&mut buffers, request.place.offset + first as u64);
        let intact = |piece: &Wanted<'_>| request.check(piece.slots(), piece.out).is_ok();
        Ok(cached && pieces.iter().all(intact))
    }
}

impl Request<'_> {
    /// How many pieces from the first are chunks that are stored as they are, one behind the other.
    fn plain_chunks_together(&self, pieces: &[Wanted<'_>]) -> usize {
        let plain = |piece: &&Wanted<'_>| piece.slots().all(|slot| self.is_a_plain_chunk(slot));
        let mut end = None;
        let follows = |piece: &&Wanted<'_>| {
            let slots = piece.slots();
            let last = end.replace(slots.end);
            last.is_none_or(|last| last == slots.start)
        };
        pieces.iter().take_while(plain).take_while(follows).count()
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
    fn pieces_in_a_row_come_at_once_or_late_and_others_by_themselves() {
        let (_, packs) = sim_packs();
        let sealed = build(ID, SLOTS, FrameOptions::SCATTERED);
        let place = packs.append(&sealed).unwrap();
        let reader = reader(&packs);
        let mut late_ones = 0;
        // One of them begins in a block that the page cache has.
        for first in [0_u32, 1] {
            let piece = |from: u32, to: u32| first + from..first + to;
            let row = [piece(0, 1), piece(1, 3), piece(3, 4), piece(4, 9)];
            let late = read(&reader, &place, &row);
            assert!(late.is_empty() || late == row, "{late:?}");
            late_ones += usize::from(late == row);
            let apart = [piece(0, 1), piece(2, 4), piece(5, 6)];
            let late = read(&reader, &place, &apart);
            assert!(late == apart[..2] || late == apart[2..], "{late:?}");
            // What lies before a hole in a map may be wanted again behind it.
            let twice = [piece(0, 2), piece(0, 1), piece(0, 1)];
            let late = read(&reader, &place, &twice);
            assert!(late.is_empty() || late == twice, "{late:?}");
        }
        assert_eq!(late_ones, 1, "the page cache has every other block");
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
        let whole = |first| [first..first + 2, first + 2..first + 4];
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
