//! In which order a round reads and packs.

use uuid::Uuid;

use super::ahead::ranges;
use crate::addr::{Address, CHUNK_BYTES};
use crate::disk::sim::{SimIo, SplitMix64};
use crate::model::{open, spec};
use crate::read::RUN;
use crate::{Durability, VolumeId};

const ID: VolumeId = VolumeId(Uuid::from_u128(1));
const CHUNKS: usize = 2048;

#[test]
fn neighbours_on_a_disk_are_packed_together_whenever_they_were_written() {
    let sim = SimIo::new(1);
    let store = open(&sim).unwrap();
    store.create_volume(ID, spec(64 << 20)).unwrap();
    let (engine, volume) = (store.engine_for_tests(), store.volume(ID).unwrap());
    let mut data = vec![0; CHUNKS * CHUNK_BYTES];
    SplitMix64::new(2).fill(&mut data);
    let chunks: Vec<&[u8]> = data.chunks(CHUNK_BYTES).collect();
    // More than memory keeps, in several segments, and no two neighbours in one.
    for odd in [0, 1] {
        for (chunk, part) in chunks.iter().enumerate().filter(|(at, _)| at % 2 == odd) {
            let at = (chunk * CHUNK_BYTES) as u64;
            volume.write(at, part, Durability::Buffered).unwrap();
        }
        engine.journal.roll_now().unwrap();
    }
    let advice = sim.advice_count();
    {
        let mut maintenance = engine.maintenance().unwrap();
        engine.checkpoint(&mut maintenance).unwrap();
        while engine.pack_round(&mut maintenance).unwrap() {}
    }
    let asked = sim.advice_count() - advice;
    assert!((1..=8).contains(&asked), "{asked} requests for many chunks");
    let chain = engine.state.read().unwrap().volume(ID).unwrap().chain();
    let mut found = [Address::HOLE; CHUNKS];
    for (run, part) in found.chunks_mut(RUN).enumerate() {
        let first = (run * RUN) as u64;
        engine.resolve(&chain, first, part).unwrap();
    }
    let breaks = found.windows(2).filter(|two| two[1] != two[0].advance(1));
    assert!(breaks.count() <= 2, "but where a container ends");
    let mut read = vec![0; data.len()];
    volume.read(0, &mut read).unwrap();
    assert!(read == data);
}

#[test]
fn pieces_that_lie_close_together_are_fetched_as_one() {
    let pieces = vec![(0, 1..2), (0, 2..5), (0, 21..22), (0, 40..41), (1, 41..42)];
    let expected = [(0, 1..22), (0, 40..41), (1, 41..42)];
    assert_eq!(ranges(pieces), expected);
}
