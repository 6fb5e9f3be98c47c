//! Compressing frames, and undoing it safely for any bytes.

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};

/// How the bytes of a frame are stored. The number is on disk; 2 is set aside for zstd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    /// As they are.
    Raw = 0,
    /// One LZ4 block.
    Lz4 = 1,
}

impl Codec {
    /// The codec with this number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// Compresses frame after frame with the same working memory.
pub(crate) struct Compressor {
    table: CompressTable,
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor for frames of any size.
    pub(crate) fn new() -> Self {
        Self {
            table: CompressTable::small(),
            scratch: Vec::new(),
        }
    }

    /// Appends `plain` to `out`, compressed with `codec` if that saves an eighth or more, and
    /// otherwise as it is: a small gain is not worth the decompression. Returns what was used.
    pub(crate) fn compress_frame(
        &mut self,
        plain: &[u8],
        codec: Codec,
        out: &mut Vec<u8>,
    ) -> Codec {
        if codec == Codec::Lz4 {
            self.scratch.resize(get_maximum_output_size(plain.len()), 0);
            let packed = compress_into_with_table(plain, &mut self.scratch, &mut self.table);
            if let Ok(len) = packed
                && len <= plain.len() - plain.len() / 8
            {
                out.extend_from_slice(&self.scratch[..len]);
                return Codec::Lz4;
            }
        }
        out.extend_from_slice(plain);
        Codec::Raw
    }
}

/// Stored bytes that are not what `codec` makes from a frame of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadFrame;

/// Fills `out` with the frame stored as `stored`. The caller knows the plain length; bytes that give
/// any other are refused, whatever they are.
pub(crate) fn decompress(codec: Codec, stored: &[u8], out: &mut [u8]) -> Result<(), BadFrame> {
    match codec {
        Codec::Raw if stored.len() == out.len() => {
            out.copy_from_slice(stored);
            Ok(())
        }
        Codec::Raw => Err(BadFrame),
        Codec::Lz4 => match decompress_into(stored, out) {
            Ok(len) if len == out.len() => Ok(()),
            _ => Err(BadFrame),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{Codec, Compressor, decompress};

    #[test]
    fn only_a_real_gain_is_taken() {
        let mut compressor = Compressor::new();
        let mut out = vec![9];
        let even = vec![5; 16384];
        let used = compressor.compress_frame(&even, Codec::Lz4, &mut out);
        assert_eq!((used, out.remove(0)), (Codec::Lz4, 9));
        assert!(out.len() < 200);
        let mut random = vec![0; 16384];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        out.clear();
        assert_eq!(
            compressor.compress_frame(&random, Codec::Lz4, &mut out),
            Codec::Raw
        );
        assert_eq!(out, random);
        out.clear();
        assert_eq!(
            compressor.compress_frame(&even, Codec::Raw, &mut out),
            Codec::Raw
        );
    }

    proptest! {
        #[test]
        fn frames_return(
            piece in prop::collection::vec(any::<u8>(), 1..300),
            log2 in 12_u32..=16,
        ) {
            let plain: Vec<u8> = piece.iter().copied().cycle().take(1 << log2).collect();
            let mut stored = Vec::new();
            let used = Compressor::new().compress_frame(&plain, Codec::Lz4, &mut stored);
            let mut back = vec![0; plain.len()];
            decompress(used, &stored, &mut back).unwrap();
            assert_eq!(back, plain);
            let mut short = vec![0; plain.len() - 1];
            assert!(decompress(used, &stored, &mut short).is_err());
        }

        #[test]
        fn foreign_bytes_are_safe(stored in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut out = vec![0; 4096];
            let _ = decompress(Codec::Lz4, &stored, &mut out);
            let _ = decompress(Codec::Raw, &stored, &mut out);
        }
    }
}
