//! Runs: the map of 512 KiB of one layer, as one row.

use super::codec::{Fields, Row, addresses_format, put_addresses, take_addresses};
use crate::addr::Address;

/// Chunks of a run.
pub(crate) const RUN_CHUNKS: u64 = 128;

const ENTRIES: usize = RUN_CHUNKS as usize;

/// The addresses of [`RUN_CHUNKS`] chunks in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run(Box<[Address; ENTRIES]>);

impl Run {
    /// A run without data.
    pub(crate) fn holes() -> Self {
        Self(Box::new([Address::HOLE; ENTRIES]))
    }

    /// The address of chunk `i` of the run.
    pub(crate) fn get(&self, i: usize) -> Address {
        self.0[i]
    }

    /// Changes the address of chunk `i` of the run.
    pub(crate) fn set(&mut self, i: usize, address: Address) {
        self.0[i] = address;
    }

    /// Whether there is nothing to store.
    pub(crate) fn is_all_holes(&self) -> bool {
        self.0.iter().all(|&address| address == Address::HOLE)
    }

    /// The addresses in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Address> {
        self.0.iter().copied()
    }

    /// The addresses in order.
    pub(crate) fn as_slice(&self) -> &[Address] {
        &self.0[..]
    }

    /// The addresses in order, for changing.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [Address] {
        &mut self.0[..]
    }
}

impl Row for Run {
    const NAME: &'static str = "run";

    fn format(&self) -> u8 {
        addresses_format(self.as_slice())
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_addresses(out, self.as_slice());
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        let mut run = Self::holes();
        take_addresses(format, fields, run.as_mut_slice())?;
        Some(run)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_oneof};
    use proptest::{collection, prop_assert, prop_assert_eq, proptest};

    use super::{ENTRIES, Run};
    use crate::ErrorKind;
    use crate::addr::{Address, CONTAINER_ID_MAX, ContainerId};
    use crate::index::codec::Row;

    fn data(container: u64, slot: u32) -> Address {
        Address::new(ContainerId(container), slot)
    }

    #[test]
    fn a_sequential_run_takes_thirteen_bytes() {
        let mut run = Run::holes();
        for i in 0..ENTRIES {
            run.set(i, data(0x0102, 1000).advance(i as u64));
        }
        // 0x0102 << 10 | 1000 = 0x040BE8.
        let expected = [2, 128, 0, 0xE8, 0x0B, 0x04, 0, 0, 0, 0x9F, 0x4C, 0xFD, 0x63];
        assert_eq!(run.encode(), expected);
        assert_eq!(Run::decode(&expected).unwrap(), run);
    }

    #[test]
    fn scattered_addresses_are_stored_densely() {
        let mut run = Run::holes();
        for i in 0..ENTRIES {
            run.set(i, data(CONTAINER_ID_MAX - 2 * i as u64, 7));
        }
        let bytes = run.encode();
        assert_eq!(bytes.len(), 1 + 128 * 6 + 4);
        assert_eq!(
            bytes[..13],
            [
                1, 7, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 7, 0xF4, 0xFF, 0xFF, 0xFF, 0xFF
            ]
        );
        assert_eq!(Run::decode(&bytes).unwrap(), run);
    }

    #[test]
    fn pieces_must_cover_the_run_and_stay_in_range() {
        let decode = |body: &[u8]| {
            let mut bytes = body.to_vec();
            bytes.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
            Run::decode(&bytes)
        };
        let last = [0, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF];
        assert!(
            decode(&[2, 128, 0, 0, 0, 0, 0, 0, 0])
                .unwrap()
                .is_all_holes()
        );
        for bad in [
            &[2, 127, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 129, 0, 0, 0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0, 0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0],
            &[2, 128, 0, 2, 0, 0, 0, 0, 0],
            &[2, 128, 0, 0, 0, 0, 0, 0, 0, 9],
            &[3, 128, 0, 0, 0, 0, 0, 0, 0],
            &[[2, 128, 0].as_slice(), &[0xFF; 6]].concat(),
            &[],
        ] {
            assert_eq!(
                decode(bad).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{bad:?}"
            );
        }
        assert!(decode(&[[2, 128, 0].as_slice(), &last].concat()).is_ok());
    }

    fn address() -> impl Strategy<Value = Address> {
        prop_oneof![
            proptest::strategy::Just(Address::HOLE),
            proptest::strategy::Just(Address::ZERO),
            (1..=CONTAINER_ID_MAX, 0u32..1024).prop_map(|(c, slot)| data(c, slot)),
            (1u64..3, 0u32..8).prop_map(|(c, slot)| data(c, slot)),
        ]
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(entries in collection::vec((0..ENTRIES, 1usize..40, address()), 0..90)) {
            let mut run = Run::holes();
            for (at, len, first) in entries {
                let len = len.min(ENTRIES - at);
                let fits = Address::from_raw(first.advance(len as u64).raw()).is_some();
                for i in 0..len {
                    run.set(at + i, if fits { first.advance(i as u64) } else { first });
                }
            }
            let bytes = run.encode();
            prop_assert!(bytes.len() <= 790);
            prop_assert_eq!(Run::decode(&bytes).unwrap(), run);
        }

        #[test]
        fn any_bytes_decode_or_fail(mut bytes in collection::vec(any::<u8>(), 0..900)) {
            let _ = Run::decode(&bytes);
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_le_bytes());
            let _ = Run::decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_found(at in 0usize..13, bit in 0u8..8) {
            let mut bytes = Run::holes().encode();
            bytes[at] ^= 1 << bit;
            prop_assert!(Run::decode(&bytes).is_err());
        }
    }
}
