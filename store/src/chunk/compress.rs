//! Compressing frames, and undoing it safely for any bytes.

use std::cell::RefCell;

use lz4_flex::block::{
    CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size,
};
use zstd::bulk;

/// Level of zstd. Above it, time grows by far faster than what it saves; BENCHMARKS.md has figures.
const ZSTD_LEVEL: i32 = 3;

thread_local! {
    /// Working memory of zstd, kept between the frames that a thread reads.
    static INFLATER: RefCell<Option<bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// How the bytes of a frame are stored. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    /// As they are.
    Raw = 0,
    /// One LZ4 block.
    Lz4 = 1,
    /// One zstd frame, without checksum and content size: the directory has both.
    Zstd = 2,
}

impl Codec {
    /// The codec with this number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Raw),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What compressing a frame must save for it to be worth the decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gain {
    /// An eighth.
    Worthwhile,
    /// A byte: part of the frame is dead, and is to take no space.
    Any,
}

impl Gain {
    fn len_max(self, plain_len: usize) -> usize {
        match self {
            Self::Worthwhile => plain_len - plain_len / 8,
            Self::Any => plain_len.saturating_sub(1),
        }
    }
}

/// Compresses frame after frame with the same working memory.
pub(crate) struct Compressor {
    table: CompressTable,
    /// Made when it is first asked for: it takes more than a MiB.
    zstd: Option<bulk::Compressor<'static>>,
    scratch: Vec<u8>,
}

impl Compressor {
    /// A compressor for frames of any size.
    pub(crate) fn new() -> Self {
        Self {
            table: CompressTable::small(),
            zstd: None,
            scratch: Vec::new(),
        }
    }

    /// Appends `plain` to `out`, compressed with `codec` if that gains enough, and otherwise as it is.
    /// Returns what was used.
    pub(crate) fn compress_frame(
        &mut self,
        plain: &[u8],
        codec: Codec,
        gain: Gain,
        out: &mut Vec<u8>,
    ) -> Codec {
        let packed = match codec {
            Codec::Raw => None,
            Codec::Lz4 => self.lz4(plain),
            Codec::Zstd => self.zstd(plain),
        };
        match packed {
            Some(len) if len <= gain.len_max(plain.len()) => {
                out.extend_from_slice(&self.scratch[..len]);
                codec
            }
            _ => {
                out.extend_from_slice(plain);
                Codec::Raw
            }
        }
    }

    /// Compresses into the scratch buffer; the length, if it worked.
    fn lz4(&mut self, plain: &[u8]) -> Option<usize> {
        self.scratch.resize(get_maximum_output_size(plain.len()), 0);
        compress_into_with_table(plain, &mut self.scratch, &mut self.table).ok()
    }

    /// As [`Self::lz4`]. What cannot be compressed is stored as it is, whatever the reason.
    fn zstd(&mut self, plain: &[u8]) -> Option<usize> {
        if self.zstd.is_none() {
            self.zstd = Some(new_zstd().ok()?);
        }
        self.scratch
            .resize(zstd::zstd_safe::compress_bound(plain.len()), 0);
        let zstd = self.zstd.as_mut()?;
        zstd.compress_to_buffer(plain, &mut self.scratch[..]).ok()
    }
}

fn new_zstd() -> std::io::Result<bulk::Compressor<'static>> {
    let mut zstd = bulk::Compressor::new(ZSTD_LEVEL)?;
    zstd.include_contentsize(false)?;
    zstd.include_checksum(false)?;
    Ok(zstd)
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
        Codec::Zstd => match inflate(stored, out) {
            Some(len) if len == out.len() => Ok(()),
            _ => Err(BadFrame),
        },
    }
}

/// Decompresses into `out` and nowhere else, so that no frame can ask for more memory than that.
fn inflate(stored: &[u8], out: &mut [u8]) -> Option<usize> {
    INFLATER.with_borrow_mut(|inflater| {
        if inflater.is_none() {
            *inflater = bulk::Decompressor::new().ok();
        }
        inflater.as_mut()?.decompress_to_buffer(stored, out).ok()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{Codec, Compressor, Gain, decompress};

    const CODECS: [Codec; 3] = [Codec::Raw, Codec::Lz4, Codec::Zstd];

    fn noise(len: usize) -> Vec<u8> {
        let mut random = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut random);
        random
    }

    #[test]
    fn only_a_real_gain_is_taken() {
        let mut compressor = Compressor::new();
        let mut compress = |plain: &[u8], codec, gain| {
            let mut out = vec![9];
            let used = compressor.compress_frame(plain, codec, gain, &mut out);
            assert_eq!(out.remove(0), 9);
            (used, out)
        };
        let (even, random) = (vec![5; 16384], noise(16384));
        for codec in [Codec::Lz4, Codec::Zstd] {
            let (used, out) = compress(&even, codec, Gain::Worthwhile);
            assert_eq!(used, codec);
            assert!(out.len() < 200);
            for gain in [Gain::Worthwhile, Gain::Any] {
                assert_eq!(compress(&random, codec, gain), (Codec::Raw, random.clone()));
            }
            // A chunk of sixteen is dead.
            let mut holed = noise(65536);
            holed[4096..8192].fill(0);
            let (used, _) = compress(&holed, codec, Gain::Worthwhile);
            assert_eq!(used, Codec::Raw);
            let (used, out) = compress(&holed, codec, Gain::Any);
            assert_eq!(used, codec);
            assert!(out.len() < 61440 + 512);
        }
        let (used, out) = compress(&even, Codec::Raw, Gain::Any);
        assert_eq!((used, out), (Codec::Raw, even));
    }

    proptest! {
        #[test]
        fn frames_return(
            piece in prop::collection::vec(any::<u8>(), 1..300),
            log2 in 12_u32..=16,
        ) {
            let plain: Vec<u8> = piece.iter().copied().cycle().take(1 << log2).collect();
            for codec in CODECS {
                let mut stored = Vec::new();
                let mut compressor = Compressor::new();
                let used = compressor.compress_frame(&plain, codec, Gain::Any, &mut stored);
                let mut back = vec![0; plain.len()];
                decompress(used, &stored, &mut back).unwrap();
                assert_eq!(back, plain);
                for wrong in [plain.len() - 1, plain.len() + 1] {
                    assert!(decompress(used, &stored, &mut vec![0; wrong]).is_err());
                }
            }
        }

        #[test]
        fn foreign_bytes_are_safe(stored in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut out = vec![0; 4096];
            for codec in CODECS {
                let _ = decompress(codec, &stored, &mut out);
            }
        }

        #[test]
        fn damaged_zstd_is_safe(at in any::<prop::sample::Index>(), bit in 0..8) {
            let mut plain = noise(4096);
            plain.resize(65536, 3);
            let mut stored = Vec::new();
            Compressor::new().compress_frame(&plain, Codec::Zstd, Gain::Any, &mut stored);
            let at = at.index(stored.len());
            stored[at] ^= 1_u8 << bit;
            let _ = decompress(Codec::Zstd, &stored, &mut plain);
        }
    }
}
