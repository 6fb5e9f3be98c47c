//! The name of a chunk's content within a domain: keyed BLAKE3, cut to 16 bytes.
//!
//! The key is random and belongs to the domain, so that nobody outside can aim a collision or find
//! out what other tenants store, and equal chunks of two domains have unrelated names.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The secret of a dedup domain.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DomainKey([u8; 32]);

impl DomainKey {
    /// Takes the key's bytes.
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The full-length name of bytes that are kept outside the pool.
    pub(crate) fn keyed_hash(&self, data: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0, data).as_bytes()
    }

    /// The key as BLAKE3 works with it.
    pub(super) fn words(&self) -> [u32; 8] {
        let (words, _) = self.0.as_chunks::<4>();
        std::array::from_fn(|at| u32::from_le_bytes(words[at]))
    }

    /// The key's bytes, to be stored.
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for DomainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DomainKey(..)")
    }
}

/// The name of a chunk's content within its domain.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Fingerprint(pub(crate) [u8; 16]);

impl Fingerprint {
    /// Stands in the list of a container for a slot that holds nothing.
    pub(crate) const NONE: Self = Self([0; 16]);

    /// The name that a chunk with this hash has.
    pub(super) fn of_hash(hash: &[u8; 32]) -> Self {
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        Self(short)
    }

    /// Half of the name as a number; as even as a hash can be.
    pub(crate) fn low(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// The other half.
    pub(crate) fn high(self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low());
    }
}

/// Names `chunk`.
pub(crate) fn fingerprint(key: &DomainKey, chunk: &[u8]) -> Fingerprint {
    Fingerprint::of_hash(&key.keyed_hash(chunk))
}

/// A map keyed by fingerprints, which are hashes already: no second hashing.
pub(crate) type FingerprintMap<V> = HashMap<Fingerprint, V, BuildHasherDefault<TakeLow>>;

/// Hasher of a [`FingerprintMap`].
#[derive(Default)]
pub(crate) struct TakeLow(u64);

impl Hasher for TakeLow {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::{DomainKey, fingerprint};

    #[test]
    fn names_depend_on_key_and_content() {
        let (one, two) = (DomainKey::new([1; 32]), DomainKey::new([2; 32]));
        let name = fingerprint(&one, &[7; 4096]);
        assert_eq!(name, fingerprint(&one, &[7; 4096]));
        assert_ne!(name, fingerprint(&two, &[7; 4096]));
        assert_ne!(name, fingerprint(&one, &[8; 4096]));
        // What stored containers hold must never change.
        let whole = blake3::keyed_hash(&[1; 32], &[7; 4096]);
        assert_eq!(name.0, whole.as_bytes()[..16]);
    }

    #[test]
    fn the_key_is_not_printed() {
        assert_eq!(format!("{:?}", DomainKey::new([9; 32])), "DomainKey(..)");
    }
}
