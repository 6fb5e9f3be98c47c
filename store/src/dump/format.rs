//! The bytes of metadata dumps, as ARCHITECTURE.md describes them. Pure, no I/O.

use crate::chunk::compress::{Codec, Compressor, Gain, decompress};
use crate::{Error, ErrorKind, Result};

const FILE_MAGIC: [u8; 8] = *b"CBDUMP\r\n";
const VERSION: u16 = 1;
/// Bytes of a file before its first block.
pub(crate) const FILE_HEADER_BYTES: usize = 64;

/// How a block begins.
pub(crate) const BLOCK_MAGIC: [u8; 4] = *b"CBDB";
/// Bytes of a block before its entries.
pub(crate) const BLOCK_HEADER_BYTES: usize = 40;
/// No block has more entries, in bytes: those gathered at once and one more.
pub(crate) const BLOCK_BYTES_MAX: usize = (1 << 20) + (64 << 10);
/// Set in the last block of a transaction.
const FLAG_LAST: u8 = 1;

/// What a dump file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// All rows, as one transaction.
    Full = 1,
    /// Transactions that follow the full dump of the same number.
    Log = 2,
}

/// The start of a dump file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: Kind,
    /// Of a log: whether it goes on exactly where the log before it ends.
    pub(crate) continues: bool,
    pub(crate) pool: [u8; 16],
    pub(crate) number: u64,
    /// When the file was begun, in microseconds since 1970.
    pub(crate) begun_us: u64,
    /// Of a log: bytes that the log before it has for certain, all of whole transactions; 0 if unknown.
    pub(crate) before_bytes: u64,
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[11] = u8::from(self.continues);
        bytes[16..32].copy_from_slice(&self.pool);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.begun_us.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.before_bytes.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header back.
    ///
    /// # Errors
    /// `Corrupt`, and `UnsupportedFormat` for another version or unknown features.
    pub(crate) fn decode(bytes: &[u8; FILE_HEADER_BYTES]) -> Result<Self> {
        if bytes[..8] != FILE_MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(corrupt("the header does not read"));
        }
        let (version, features) = (u16::from_le_bytes([bytes[8], bytes[9]]), u32_at(bytes, 12));
        if version != VERSION || features != 0 {
            let context = format!(
                "metadata dump of version {version} with features {features:#x}; this program knows \
                 version {VERSION}"
            );
            return Err(Error::new(ErrorKind::UnsupportedFormat, context));
        }
        let kind = match bytes[10] {
            1 => Kind::Full,
            2 => Kind::Log,
            _ => return Err(corrupt("of an unknown kind")),
        };
        let mut pool = [0; 16];
        pool.copy_from_slice(&bytes[16..32]);
        Ok(Self {
            kind,
            continues: bytes[11] == 1,
            pool,
            number: u64_at(bytes, 32),
            begun_us: u64_at(bytes, 40),
            before_bytes: u64_at(bytes, 48),
        })
    }
}

/// The start of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Which of the file's transactions it belongs to.
    pub(crate) transaction: u64,
    /// Whether the transaction ends with it.
    pub(crate) last: bool,
    /// When the block was written, in microseconds since 1970.
    pub(crate) at_us: u64,
    codec: Codec,
    plain_len: u32,
    stored_len: u32,
    crc: u32,
}

impl BlockHeader {
    /// Reads the start of a block; `None` if it is none. Nothing of it is believed before
    /// [`Self::open`] has checked all of the block.
    pub(crate) fn decode(bytes: &[u8; BLOCK_HEADER_BYTES]) -> Option<Self> {
        let header = Self {
            transaction: u64_at(bytes, 8),
            last: bytes[4] & FLAG_LAST != 0,
            at_us: u64_at(bytes, 16),
            codec: Codec::from_byte(bytes[5])?,
            plain_len: u32_at(bytes, 24),
            stored_len: u32_at(bytes, 28),
            crc: u32_at(bytes, 36),
        };
        let fits = header.plain_len as usize <= BLOCK_BYTES_MAX
            && header.stored_len <= header.plain_len
            && bytes[..4] == BLOCK_MAGIC;
        fits.then_some(header)
    }

    /// Bytes behind the header.
    pub(crate) fn stored_len(&self) -> usize {
        self.stored_len as usize
    }

    /// The entries of a block; `None` if it is damaged.
    pub(crate) fn open(&self, header: &[u8; BLOCK_HEADER_BYTES], stored: &[u8]) -> Option<Vec<u8>> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..36]), stored);
        if crc != self.crc {
            return None;
        }
        let mut plain = vec![0; self.plain_len as usize];
        if plain.is_empty() {
            return stored.is_empty().then_some(plain);
        }
        decompress(self.codec, stored, &mut plain).ok()?;
        Some(plain)
    }
}

/// Appends a block to `out`.
pub(crate) fn put_block(
    out: &mut Vec<u8>,
    compressor: &mut Compressor,
    transaction: u64,
    last: bool,
    at_us: u64,
    entries: &[u8],
) {
    let start = out.len();
    out.resize(start + BLOCK_HEADER_BYTES, 0);
    let codec = match entries.is_empty() {
        true => Codec::Raw,
        false => compressor.compress_frame(entries, Codec::Lz4, Gain::Worthwhile, out),
    };
    let stored_len = (out.len() - start - BLOCK_HEADER_BYTES) as u32;
    let (header, stored) = out[start..].split_at_mut(BLOCK_HEADER_BYTES);
    header[..4].copy_from_slice(&BLOCK_MAGIC);
    header[4] = if last { FLAG_LAST } else { 0 };
    header[5] = codec as u8;
    header[8..16].copy_from_slice(&transaction.to_le_bytes());
    header[16..24].copy_from_slice(&at_us.to_le_bytes());
    header[24..28].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    header[28..32].copy_from_slice(&stored_len.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..36]), stored);
    header[36..].copy_from_slice(&crc.to_le_bytes());
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("metadata dump: {what}"))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{collection, prop_assert, prop_assert_eq, proptest};

    use super::{BLOCK_HEADER_BYTES, BlockHeader, FileHeader, Kind, put_block};
    use crate::ErrorKind;
    use crate::chunk::compress::Compressor;

    const HEADER: FileHeader = FileHeader {
        kind: Kind::Log,
        continues: true,
        pool: [7; 16],
        number: 3,
        begun_us: 5,
        before_bytes: 6,
    };

    #[test]
    fn the_header_is_as_documented_and_newer_ones_are_refused() {
        let bytes = HEADER.encode();
        assert_eq!(bytes[..12], *b"CBDUMP\r\n\x01\0\x02\x01");
        assert_eq!(
            bytes[16..33],
            [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 3]
        );
        assert_eq!(bytes[48..60], [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(FileHeader::decode(&bytes).unwrap(), HEADER);
        for (at, kind) in [
            (0, ErrorKind::Corrupt),
            (8, ErrorKind::UnsupportedFormat),
            (12, ErrorKind::UnsupportedFormat),
            (10, ErrorKind::Corrupt),
        ] {
            let mut bad = bytes;
            bad[at] = 9;
            let crc = crc32c::crc32c(&bad[..60]);
            bad[60..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(
                FileHeader::decode(&bad).unwrap_err().kind(),
                kind,
                "byte {at}"
            );
            bad[61] ^= 1;
            assert_eq!(
                FileHeader::decode(&bad).unwrap_err().kind(),
                ErrorKind::Corrupt
            );
        }
    }

    fn open(bytes: &[u8]) -> Option<(BlockHeader, Vec<u8>)> {
        let header: &[u8; BLOCK_HEADER_BYTES] = bytes.first_chunk()?;
        let parsed = BlockHeader::decode(header)?;
        let stored = bytes
            .get(BLOCK_HEADER_BYTES..)?
            .get(..parsed.stored_len())?;
        Some((parsed, parsed.open(header, stored)?))
    }

    proptest! {
        #[test]
        fn blocks_are_read_back_and_no_flipped_bit_is_missed(
            entries in collection::vec(0u8..4, 0..400),
            at in any::<usize>(),
            bit in 0u8..8,
        ) {
            let mut bytes = Vec::new();
            put_block(&mut bytes, &mut Compressor::new(), 4, true, 77, &entries);
            let (header, read) = open(&bytes).unwrap();
            prop_assert_eq!((header.transaction, header.last, header.at_us), (4, true, 77));
            prop_assert_eq!(read, entries);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&bytes).is_none());
        }

        #[test]
        fn any_bytes_are_a_block_or_not(bytes in collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&bytes);
        }
    }
}
