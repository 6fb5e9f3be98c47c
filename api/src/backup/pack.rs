//! Packs: objects of many chunks.
//!
//! A pack is the header of [`super::seal`] with the length of the data, the data, a directory and a
//! digest of the pack's id and the directory. The data needs no digest of its own: every chunk has
//! its hash. A row of the directory:
//!
//! | bytes | field |
//! |---|---|
//! | 32 | BLAKE3 of the chunk, keyed with the repository's key |
//! | 4 | where it is in the object |
//! | 4 | length as stored |
//! | 4 | length of the chunk |
//! | 1 | 0 as it is, 1 LZ4 block; 128 more when it is encrypted after that, with the tag behind it |
//!
//! The seal of an encrypted chunk covers the pack's id, the chunk's slot (4 bytes) and that last byte.

use std::borrow::Cow;

use uuid::Uuid;

use super::error::{Error, Result};
use super::key::ChunkKey;
use super::seal::{self, DIGEST_BYTES, Digest, Fields, HEADER_BYTES, Kind};

/// Length of a chunk, but for the last of a disk.
pub(super) const UNIT_BYTES: usize = 32 << 10;
/// Data of a pack: one more chunk is not begun behind this.
const PACK_BYTES: usize = 16 << 20;
/// Longest pack that is read.
pub(super) const PACK_BYTES_MAX: u64 = 64 << 20;
const ROW_BYTES: usize = 45;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// Added to the codec of an encrypted chunk.
const SEALED: u8 = 128;

/// A pack as manifests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackRow {
    pub(super) id: Uuid,
    /// Length of the object.
    pub(super) length: u32,
    pub(super) chunks: u32,
    /// Digest of the directory.
    pub(super) digest: Digest,
}

impl PackRow {
    /// The bytes of the object in which its directory and digest are.
    pub(super) fn directory_range(&self) -> std::ops::Range<u64> {
        let tail = u64::from(self.chunks) * ROW_BYTES as u64 + DIGEST_BYTES as u64;
        u64::from(self.length).saturating_sub(tail)..u64::from(self.length)
    }
}

/// Where a chunk is in its pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkRow {
    pub(super) hash: Digest,
    pub(super) offset: u32,
    pub(super) stored: u32,
    pub(super) length: u32,
    codec: u8,
}

impl ChunkRow {
    /// The bytes of the object in which the chunk is.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        u64::from(self.offset)..u64::from(self.offset) + u64::from(self.stored)
    }

    /// Decodes the chunk of a slot and makes sure that it is the one that was stored.
    pub(super) fn decode(
        &self,
        key: &ChunkKey,
        slot: (Uuid, u32),
        object: &str,
        stored: &[u8],
    ) -> Result<Vec<u8>> {
        let damaged = |what: &str| {
            let found = format!("{what}, chunk {} at {}", seal::hex(&self.hash), self.offset);
            Error::corrupt(object, found)
        };
        let opened = self.unseal(key, slot, stored).map_err(damaged)?;
        let mut chunk = match self.codec & !SEALED {
            PLAIN => opened.into_owned(),
            LZ4 => lz4_flex::block::decompress(&opened, self.length as usize)
                .map_err(|_| damaged("data does not decompress"))?,
            _ => return Err(damaged("unknown compression")),
        };
        if chunk.len() != self.length as usize {
            return Err(damaged("wrong length"));
        }
        let found = key.name(&chunk);
        if found != self.hash {
            return Err(damaged(&format!("data has hash {}", seal::hex(&found))));
        }
        chunk.shrink_to_fit();
        Ok(chunk)
    }

    /// The stored bytes without their seal. What is encrypted under this key and what is not is
    /// never taken for one another.
    fn unseal<'b>(
        &self,
        key: &ChunkKey,
        slot: (Uuid, u32),
        stored: &'b [u8],
    ) -> std::result::Result<Cow<'b, [u8]>, &'static str> {
        match (key.sealer(), self.codec & SEALED != 0) {
            (None, false) => Ok(Cow::Borrowed(stored)),
            (Some(sealer), true) => {
                let mut bytes = stored.to_vec();
                sealer
                    .open(&place(slot, self.codec), &mut bytes)
                    .map_err(|_| "its seal is broken")?;
                Ok(Cow::Owned(bytes))
            }
            (None, true) => Err("it is encrypted, and its manifest has no key"),
            (Some(_), false) => Err("it is not encrypted, as it should be"),
        }
    }
}

/// What a seal says of where a chunk belongs.
fn place((pack, slot): (Uuid, u32), codec: u8) -> [u8; 21] {
    let mut place = [0; 21];
    place[..16].copy_from_slice(pack.as_bytes());
    place[16..20].copy_from_slice(&slot.to_le_bytes());
    place[20] = codec;
    place
}

/// Digest of a pack's directory.
fn directory_digest(id: Uuid, directory: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes()).update(directory);
    hasher.finalize().into()
}

/// A pack being filled.
pub(super) struct PackBuilder {
    pub(super) id: Uuid,
    key: ChunkKey,
    bytes: Vec<u8>,
    rows: Vec<ChunkRow>,
}

impl PackBuilder {
    pub(super) fn new(id: Uuid, key: ChunkKey) -> Self {
        Self {
            id,
            key,
            bytes: vec![0; HEADER_BYTES],
            rows: Vec::new(),
        }
    }

    /// Adds a chunk and says its slot.
    pub(super) fn add(&mut self, hash: Digest, chunk: &[u8]) -> u32 {
        let slot = self.rows.len() as u32;
        let packed = lz4_flex::block::compress(chunk);
        // What saves less than an eighth is not worth the time of reading it.
        let (mut codec, mut stored) = if packed.len() < chunk.len() - chunk.len() / 8 {
            (LZ4, Cow::Owned(packed))
        } else {
            (PLAIN, Cow::Borrowed(chunk))
        };
        if let Some(sealer) = self.key.sealer() {
            codec |= SEALED;
            sealer.seal(&place((self.id, slot), codec), stored.to_mut());
        }
        self.rows.push(ChunkRow {
            hash,
            offset: self.bytes.len() as u32,
            stored: stored.len() as u32,
            length: chunk.len() as u32,
            codec,
        });
        self.bytes.extend_from_slice(&stored);
        slot
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= PACK_BYTES
    }

    /// The object, and how manifests name it.
    pub(super) fn finish(mut self) -> (PackRow, Vec<u8>) {
        let data = (self.bytes.len() - HEADER_BYTES) as u64;
        let features = match &self.key {
            ChunkKey::Sealed(_) => seal::SEALED,
            ChunkKey::Named(_) => 0,
        };
        let header = seal::header(Kind::Pack, features, data);
        self.bytes[..HEADER_BYTES].copy_from_slice(&header);
        let start = self.bytes.len();
        for row in &self.rows {
            self.bytes.extend_from_slice(&row.hash);
            for number in [row.offset, row.stored, row.length] {
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            self.bytes.push(row.codec);
        }
        let digest = directory_digest(self.id, &self.bytes[start..]);
        self.bytes.extend_from_slice(&digest);
        let row = PackRow {
            id: self.id,
            length: self.bytes.len() as u32,
            chunks: self.rows.len() as u32,
            digest,
        };
        (row, self.bytes)
    }
}

/// Reads the directory out of the tail of a pack that a manifest names.
pub(super) fn open_directory(object: &str, pack: &PackRow, tail: &[u8]) -> Result<Vec<ChunkRow>> {
    let Some((directory, digest)) = tail.split_last_chunk::<DIGEST_BYTES>() else {
        return Err(Error::corrupt(object, "it is too short for its directory"));
    };
    if directory_digest(pack.id, directory) != *digest || *digest != pack.digest {
        return Err(Error::corrupt(
            object,
            "the checksum of its directory differs",
        ));
    }
    let data_end = pack.directory_range().start;
    let mut fields = Fields::new(object, directory);
    let mut rows = Vec::with_capacity(directory.len() / ROW_BYTES);
    let mut behind = HEADER_BYTES as u64;
    for _ in 0..pack.chunks {
        let row = ChunkRow {
            hash: fields.array()?,
            offset: fields.u32()?,
            stored: fields.u32()?,
            length: fields.u32()?,
            codec: fields.array::<1>()?[0],
        };
        let fits = row.range().start >= behind && row.range().end <= data_end && row.stored > 0;
        if !fits || row.length as usize > UNIT_BYTES || row.length == 0 {
            return Err(Error::corrupt(object, "its directory points outside it"));
        }
        behind = row.range().end;
        rows.push(row);
    }
    fields.end()?;
    Ok(rows)
}

/// Reads the directory of a pack of which only the object is known, as it was left by an attempt
/// that did not come to its manifest.
pub(super) fn open_whole(object: &str, id: Uuid, bytes: &[u8]) -> Result<(PackRow, Vec<ChunkRow>)> {
    let data = usize::try_from(seal::check_header(object, Kind::Pack, bytes)?).ok();
    let start = data.and_then(|data| data.checked_add(HEADER_BYTES));
    let tail = start
        .and_then(|start| bytes.get(start..))
        .unwrap_or_default();
    let chunks = tail.len().saturating_sub(DIGEST_BYTES) / ROW_BYTES;
    let row = PackRow {
        id,
        length: bytes.len() as u32,
        chunks: chunks as u32,
        digest: seal::digest_of(tail),
    };
    Ok((row, open_directory(object, &row, tail)?))
}
