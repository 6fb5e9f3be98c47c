//! Test data: reproducible, half compressible, and telling where it belongs.

/// Bytes of a block that `seed` alone determines. Half of them are noise and half repeat, as real
/// data compresses by about a factor of two.
pub(crate) fn block(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len / 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.resize(len, seed as u8);
    bytes
}

/// A small generator for the choices of a test; its seed is printed by the tests that use it.
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed gives the same choices.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % limit
    }
}
