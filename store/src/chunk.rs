//! What is done to one 4 KiB chunk: naming it by its content, finding out that it is all zeroes,
//! compressing several of them together as a frame, and sealing them.
//!
//! Everything here is a pure function over bytes.

mod batch;
pub(crate) mod compress;
mod fingerprint;
pub(crate) mod seal;

pub(crate) use batch::fingerprints;
pub(crate) use fingerprint::{DomainKey, Fingerprint, FingerprintMap, fingerprint};

/// Bytes looked at before deciding to go on; long enough for the widest vectors, short enough that
/// data, which rarely begins with this many zeroes, is turned down at once.
const ZERO_STEP: usize = 256;

/// Whether all bytes are zero.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(ZERO_STEP);
    // No early exit inside a block, so that the compiler turns it into vector instructions.
    let any = |block: &[u8]| block.iter().fold(0, |bits, byte| bits | byte) != 0;
    !blocks.by_ref().any(any) && !any(blocks.remainder())
}

#[cfg(test)]
mod tests {
    use super::is_zero;

    #[test]
    fn one_bit_anywhere_is_seen() {
        for len in [0, 1, 255, 256, 257, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 1 << (at % 8);
                assert!(!is_zero(&bytes), "byte {at} of {len}");
                bytes[at] = 0;
            }
        }
    }
}
