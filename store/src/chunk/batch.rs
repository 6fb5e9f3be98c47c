//! Naming many chunks at once: the same names as one by one, in two thirds of the time.
//!
//! A chunk of 4 KiB is four BLAKE3 chunks of 1 KiB, a tree of three parents above them. Vector registers
//! have room for eight or sixteen of those at a time, so the leaves of eight chunks go through side by
//! side, then their parents, then their roots. The library's own interface takes one input at a time; what
//! is used here is its platform layer, which is public but without promises. So its version is pinned, and
//! a program that finds the two to differ on its processor names chunks one by one.

use std::sync::LazyLock;

use blake3::IncrementCounter;
use blake3::platform::Platform;

use super::fingerprint::{DomainKey, Fingerprint, fingerprint};
use crate::addr::CHUNK_BYTES;

/// Chunks hashed side by side: the vectors of AVX2. Wider ones are filled by twice as many parents.
const WIDTH: usize = 8;
/// Of BLAKE3: bytes of a leaf of the tree, of a parent, and of what each hands up.
const LEAF: usize = 1024;
const PARENT: usize = 64;
const VALUE: usize = 32;
const LEAVES: usize = CHUNK_BYTES / LEAF;
/// BLAKE3's domain separation flags.
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const IS_PARENT: u8 = 1 << 2;
const IS_ROOT: u8 = 1 << 3;
const KEYED: u8 = 1 << 4;

/// Whether this processor's vector code gives the names that the library gives one by one.
static AGREES: LazyLock<bool> = LazyLock::new(|| {
    let mut chunks = vec![0; WIDTH * CHUNK_BYTES];
    for (at, byte) in chunks.iter_mut().enumerate() {
        *byte = ((at / 7) ^ (at >> 9)) as u8;
    }
    let key = DomainKey::new(*blake3::hash(&chunks).as_bytes());
    let mut names = Vec::new();
    name_side_by_side(&key, &chunks, &mut names);
    let alone = chunks.chunks_exact(CHUNK_BYTES);
    alone.map(|chunk| fingerprint(&key, chunk)).eq(names)
});

/// Names chunks that lie one behind the other, and appends the names.
pub(crate) fn fingerprints(key: &DomainKey, chunks: &[u8], names: &mut Vec<Fingerprint>) {
    for some in chunks.chunks(WIDTH * CHUNK_BYTES) {
        if some.len() == WIDTH * CHUNK_BYTES && *AGREES {
            name_side_by_side(key, some, names);
        } else {
            let alone = some.chunks_exact(CHUNK_BYTES);
            names.extend(alone.map(|chunk| fingerprint(key, chunk)));
        }
    }
}

fn name_side_by_side(key: &DomainKey, chunks: &[u8], names: &mut Vec<Fingerprint>) {
    let platform = Platform::detect();
    let key = key.words();
    let (chunks, _) = chunks.as_chunks::<CHUNK_BYTES>();
    // What each leaf hands up: of the first leaves of all chunks, then of the second.
    let mut values = [0; WIDTH * LEAVES * VALUE];
    for (leaf, out) in values.chunks_exact_mut(WIDTH * VALUE).enumerate() {
        let inputs: [&[u8; LEAF]; WIDTH] =
            std::array::from_fn(|chunk| &chunks[chunk].as_chunks::<LEAF>().0[leaf]);
        let counter = leaf as u64;
        let (start, end) = (CHUNK_START, CHUNK_END);
        let no = IncrementCounter::No;
        platform.hash_many(&inputs, &key, counter, no, KEYED, start, end, out);
    }
    let (values, _) = values.as_chunks::<VALUE>();
    let pairs: [[u8; PARENT]; 2 * WIDTH] = std::array::from_fn(|at| {
        let (chunk, left) = (at / 2, at % 2 * 2);
        pair(
            &values[left * WIDTH + chunk],
            &values[(left + 1) * WIDTH + chunk],
        )
    });
    let mut parents = [0; 2 * WIDTH * VALUE];
    join(platform, &key, &pairs.each_ref(), 0, &mut parents);
    let (parents, _) = parents.as_chunks::<PARENT>();
    let mut roots = [0; WIDTH * VALUE];
    let inputs: [&[u8; PARENT]; WIDTH] = std::array::from_fn(|chunk| &parents[chunk]);
    join(platform, &key, &inputs, IS_ROOT, &mut roots);
    let roots = roots.as_chunks::<VALUE>().0.iter();
    names.extend(roots.map(Fingerprint::of_hash));
}

/// Hashes the inputs of parents.
fn join(platform: Platform, key: &[u32; 8], inputs: &[&[u8; PARENT]], root: u8, out: &mut [u8]) {
    let flags = KEYED | IS_PARENT | root;
    platform.hash_many(inputs, key, 0, IncrementCounter::No, flags, 0, 0, out);
}

/// The input of a parent.
fn pair(left: &[u8; VALUE], right: &[u8; VALUE]) -> [u8; PARENT] {
    let mut both = [0; PARENT];
    both[..VALUE].copy_from_slice(left);
    both[VALUE..].copy_from_slice(right);
    both
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{collection, prop_assert_eq, proptest};

    use super::{AGREES, WIDTH, fingerprints};
    use crate::addr::CHUNK_BYTES;
    use crate::chunk::{DomainKey, fingerprint};

    #[test]
    fn this_processor_hashes_side_by_side() {
        assert!(*AGREES);
    }

    proptest! {
        #[test]
        fn names_are_those_of_single_chunks(
            key in any::<[u8; 32]>(),
            seed in collection::vec(any::<u8>(), 1..40),
            count in 0..3 * WIDTH,
        ) {
            let key = DomainKey::new(key);
            let chunks: Vec<u8> = (0..count * CHUNK_BYTES)
                .map(|at| seed[at % seed.len()] ^ (at / CHUNK_BYTES) as u8)
                .collect();
            let mut names = Vec::new();
            fingerprints(&key, &chunks, &mut names);
            let alone: Vec<_> = chunks
                .chunks_exact(CHUNK_BYTES)
                .map(|chunk| fingerprint(&key, chunk))
                .collect();
            prop_assert_eq!(names, alone);
        }
    }
}
