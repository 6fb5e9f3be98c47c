//! The frames that a thread decoded last while it passed through data that is not kept.
//!
//! What was written at random is packed in the order of the guest's disk, but of several moments: a long
//! read takes a chunk here and one there from a few frames at a time, and comes back to each soon. A
//! handful of them, which the processor's cache holds, is all that it needs.

use std::array;
use std::cell::RefCell;

use super::frames::FrameKey;

/// Frames that a thread holds, until it ends: 128 KiB of those of the usual size.
const FRAMES: usize = 8;

/// A frame's name in the whole process: pools number their containers alike.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Name {
    /// That of the reader.
    pub(super) reader: u64,
    pub(super) key: FrameKey,
}

struct Passing {
    frames: [(Option<Name>, Vec<u8>); FRAMES],
    next: usize,
}

thread_local! {
    static PASSING: RefCell<Passing> = RefCell::new(Passing {
        frames: array::from_fn(|_| (None, Vec::new())),
        next: 0,
    });
}

/// Lets a frame be looked at, if this thread holds it; says whether it does, and had what was sought.
pub(super) fn look(name: Name, look: impl FnOnce(&[u8]) -> bool) -> bool {
    PASSING.with_borrow(|passing| {
        let found = passing.frames.iter().find(|(held, _)| *held == Some(name));
        found.is_some_and(|(_, plain)| look(plain))
    })
}

/// Lets a frame of `len` bytes be filled and looked at, and holds it from then on.
pub(super) fn hold<E>(
    name: Name,
    len: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    look: impl FnOnce(&[u8]),
) -> Result<(), E> {
    PASSING.with_borrow_mut(|passing| {
        let at = passing.next;
        passing.next = (at + 1) % FRAMES;
        let (held, plain) = &mut passing.frames[at];
        *held = None;
        plain.reserve_exact(len.saturating_sub(plain.len()));
        plain.resize(len, 0);
        fill(plain)?;
        *held = Some(name);
        look(plain);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{FRAMES, Name, hold, look};
    use crate::addr::{CHUNK_BYTES, ContainerId};
    use crate::disk::sim::{SimIo, SplitMix64};
    use crate::model::{open, spec};
    use crate::pack::frames::FrameKey;
    use crate::{Durability, VolumeId};

    fn name(reader: u64, frame: u32) -> Name {
        let key = FrameKey {
            container: ContainerId(1),
            frame,
            frame_log2: 14,
        };
        Name { reader, key }
    }

    fn held(reader: u64, frame: u32) -> bool {
        look(name(reader, frame), |plain| {
            assert_eq!(plain, [frame as u8; 9]);
            true
        })
    }

    fn pass(reader: u64, frame: u32) {
        let fill = |plain: &mut [u8]| {
            plain.fill(frame as u8);
            Ok::<_, ()>(())
        };
        let look = |plain: &[u8]| assert_eq!(plain, [frame as u8; 9]);
        hold(name(reader, frame), 9, fill, look).unwrap();
    }

    #[test]
    fn the_last_frames_of_each_reader_are_held() {
        let last = FRAMES as u32;
        for frame in 0..=last {
            assert!(!held(1, frame));
            pass(1, frame);
            assert!(held(1, frame) && !held(2, frame));
        }
        assert!(!held(1, 0), "it made room");
        assert!((1..=last).all(|frame| held(1, frame)));
    }

    #[test]
    fn what_does_not_decode_is_not_held() {
        pass(1, 1);
        for _ in 0..FRAMES {
            let fill = |plain: &mut [u8]| {
                plain.fill(2);
                Err("damaged")
            };
            let failed = hold(name(1, 2), 9, fill, |_| panic!("nothing to see"));
            assert_eq!(failed, Err("damaged"));
        }
        assert!(!held(1, 2) && !held(1, 1));
    }

    #[test]
    fn long_reads_of_what_was_written_at_random_push_nothing_out() {
        const SIZE: usize = 4 << 20;
        let id = VolumeId(Uuid::from_u128(1));
        // Two pools, whose containers have the same numbers.
        let pools = [1, 2].map(|seed| {
            let store = open(&SimIo::new(seed)).unwrap();
            store.create_volume(id, spec(SIZE as u64)).unwrap();
            let (volume, mut rng) = (store.volume(id).unwrap(), SplitMix64::new(seed));
            let mut data = vec![0; SIZE];
            rng.fill(&mut data);
            volume.write(0, &data, Durability::Buffered).unwrap();
            store.reclaim_now().unwrap();
            for _ in 0..2 {
                for _ in 0..SIZE / CHUNK_BYTES / 4 {
                    let at = rng.below((SIZE / CHUNK_BYTES) as u64) as usize * CHUNK_BYTES;
                    let chunk = &mut data[at..at + CHUNK_BYTES];
                    rng.fill(&mut chunk[..64]);
                    volume
                        .write(at as u64, chunk, Durability::Buffered)
                        .unwrap();
                }
                store.reclaim_now().unwrap();
            }
            (store, volume, data)
        });
        for (store, volume, data) in &pools {
            // No room is left.
            let mut chunk = [0; CHUNK_BYTES];
            for at in (0..SIZE).step_by(CHUNK_BYTES) {
                volume.read(at as u64, &mut chunk).unwrap();
                assert!(chunk[..] == data[at..at + CHUNK_BYTES], "at {at}");
            }
            let frames = &store.engine_for_tests().reader.frames;
            assert!(!frames.has_room());
        }
        let kept = || {
            pools
                .each_ref()
                .map(|(store, ..)| store.engine_for_tests().reader.frames.names())
        };
        let before = kept();
        let mut piece = vec![0; 256 << 10];
        for at in (0..SIZE).step_by(piece.len()) {
            for (_, volume, data) in &pools {
                volume.read(at as u64, &mut piece).unwrap();
                assert!(piece == data[at..at + piece.len()], "at {at}");
            }
        }
        assert!(kept() == before);
    }
}
