//! Objects of a target that are not what was written there, with their digests made right again: they
//! are refused, or read within their bounds. Longer with `PROPTEST_CASES`.

use std::num::NonZeroUsize;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};
use proptest::sample::Index;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::backup::key::ChunkKey;
use crate::backup::manifest::{Description, Manifest, Method, PageRow, VolumeFacts};
use crate::backup::map::{self, Page, WINDOW_UNITS, ZEROES};
use crate::backup::pack::{
    PACK_BYTES_MAX, PackBuilder, PackRow, UNIT_BYTES, open_directory, open_whole,
};
use crate::backup::seal::{self, DIGEST_BYTES, HEADER_BYTES, Kind};

const OBJECT: &str = "an object";
const PACK: Uuid = Uuid::from_u128(7);

/// Bytes to change, each by its place, and the new length.
type Edits = (Vec<(Index, u8)>, Option<usize>);

fn edits() -> impl Strategy<Value = Edits> {
    let byte = prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0xff)];
    (vec((any::<Index>(), byte), 0..6), of(0..600_usize))
}

fn mutant(bytes: &[u8], (changes, len): &Edits) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (at, byte) in changes {
        if let Some(len) = NonZeroUsize::new(bytes.len()) {
            bytes[at.index(len.get())] = *byte;
        }
    }
    bytes.resize(len.unwrap_or(bytes.len()), 0xff);
    bytes
}

/// A mutant of an object's body in an envelope that is right.
fn sealed(kind: Kind, object: &[u8], edits: &Edits) -> Vec<u8> {
    let body = &object[HEADER_BYTES..object.len() - DIGEST_BYTES];
    seal::seal(kind, &mutant(body, edits))
}

fn key() -> ChunkKey {
    ChunkKey::named(Zeroizing::new([3; DIGEST_BYTES]))
}

/// A pack of a few chunks, and its row.
fn pack() -> (PackRow, Vec<u8>) {
    let mut builder = PackBuilder::new(PACK, key());
    for number in 0..4_u8 {
        let mut chunk = vec![number; UNIT_BYTES];
        // One that does not compress.
        if number == 2 {
            blake3::Hasher::new().finalize_xof().fill(&mut chunk);
        }
        builder.add(key().name(&chunk), &chunk);
    }
    builder.finish()
}

fn manifest(pack: PackRow) -> Manifest {
    let page = |window| PageRow {
        window,
        length: 100,
        digest: [9; DIGEST_BYTES],
    };
    Manifest {
        description: Description {
            id: Uuid::from_u128(1),
            parent: None,
            method: Method::Full,
            size_bytes: 1 << 30,
            key_id: key().id(),
            sealed: None,
            created_us: 5,
            volume: VolumeFacts::default(),
        },
        packs: vec![pack; 3],
        pages: vec![page(0), page(4)],
    }
}

proptest! {
    #[test]
    fn manifests(edits in edits(), raw in any::<bool>()) {
        let bytes = manifest(pack().0).encode().unwrap();
        let bytes = match raw {
            true => mutant(&bytes, &edits),
            false => sealed(Kind::Manifest, &bytes, &edits),
        };
        if let Ok(read) = Manifest::decode(OBJECT, &bytes) {
            let bounded = |pack: &PackRow| u64::from(pack.length) <= PACK_BYTES_MAX;
            prop_assert!(read.packs.iter().all(bounded));
            prop_assert!(read.pages.is_sorted_by(|a, b| a.window < b.window));
        }
    }

    #[test]
    fn pages_of_maps(edits in edits(), units in 1..40_u32) {
        let (mut page, row) = (Page::default(), pack().0);
        for unit in 0..units {
            match unit % 5 {
                4 => page.push(unit, ZEROES, 0),
                slot => page.push(unit, slot % 2, slot),
            }
        }
        let bytes = sealed(Kind::Map, &page.encode(), &edits);
        for run in map::decode(OBJECT, &[row; 2], &bytes).unwrap_or_default() {
            prop_assert!(u64::from(run.first) + u64::from(run.units) <= WINDOW_UNITS);
            prop_assert!(run.pack == ZEROES || run.slot + run.units <= row.chunks);
        }
    }

    /// A directory leads to bytes of its pack alone, and chunks are what they are named for.
    #[test]
    fn packs(edits in edits(), header in edits(), length in of(any::<u32>())) {
        let (mut row, bytes) = pack();
        let _ = open_whole(OBJECT, PACK, &mutant(&bytes, &header));
        let data = &bytes[..row.directory_range().start as usize];
        let directory = &bytes[data.len()..bytes.len() - DIGEST_BYTES];
        let directory = mutant(directory, &edits);
        let mut hasher = blake3::Hasher::new();
        hasher.update(PACK.as_bytes()).update(&directory);
        let digest = hasher.finalize();
        row.digest = *digest.as_bytes();
        row.length = length.unwrap_or(row.length);
        let tail = [&directory[..], digest.as_bytes()].concat();
        let _ = open_whole(OBJECT, PACK, &[data, &tail[..]].concat());
        for (slot, chunk) in open_directory(OBJECT, &row, &tail).unwrap_or_default().iter().enumerate() {
            let range = chunk.range();
            prop_assert!(range.end <= u64::from(row.length));
            let stored = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
            if let Ok(read) = chunk.decode(&key(), (PACK, slot as u32), OBJECT, stored) {
                prop_assert!(key().name(&read) == chunk.hash && read.len() <= UNIT_BYTES);
            }
        }
    }

    #[test]
    fn what_is_no_object(bytes in vec(any::<u8>(), 0..300)) {
        for kind in [Kind::Repository, Kind::Marker] {
            let _ = seal::open(OBJECT, kind, &bytes);
        }
        let _ = seal::from_hex(&String::from_utf8_lossy(&bytes));
    }
}
