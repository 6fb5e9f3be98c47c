//! Replies of the transmission phase: simple replies and chunks of structured ones.

use super::constants::{
    NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_ERROR, NBD_REPLY_TYPE_FLAG_ERROR, NBD_SIMPLE_REPLY_MAGIC,
    NBD_STATE_HOLE, NBD_STATE_ZERO, NBD_STRUCTURED_REPLY_MAGIC,
};
use super::wire::Fields;
use crate::export::{Errno, Extent};

/// Bytes of a simple reply without data.
pub const SIMPLE_REPLY_LENGTH: usize = 16;
/// Bytes of a chunk's header.
pub const CHUNK_HEADER_LENGTH: usize = 20;
/// The longest text in an error chunk which we send: a line for a human being.
pub const MAX_ERROR_TEXT: usize = 512;

/// A simple reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimpleReply {
    /// 0 for success.
    pub error: u32,
    /// The request's.
    pub cookie: u64,
}

impl SimpleReply {
    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; SIMPLE_REPLY_LENGTH] {
        let mut bytes = [0; SIMPLE_REPLY_LENGTH];
        bytes[0..4].copy_from_slice(&NBD_SIMPLE_REPLY_MAGIC.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.error.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes
    }
}

/// The header of a structured reply's chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// `NBD_REPLY_FLAG_*`.
    pub flags: u16,
    /// `NBD_REPLY_TYPE_*`.
    pub kind: u16,
    /// The request's.
    pub cookie: u64,
    /// Length of the payload which follows.
    pub length: u32,
}

impl ChunkHeader {
    /// The bytes on the wire.
    pub fn encode(&self) -> [u8; CHUNK_HEADER_LENGTH] {
        let mut bytes = [0; CHUNK_HEADER_LENGTH];
        bytes[0..4].copy_from_slice(&NBD_STRUCTURED_REPLY_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.kind.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_be_bytes());
        bytes
    }

    /// Whether it ends the reply.
    pub fn is_done(&self) -> bool {
        self.flags & NBD_REPLY_FLAG_DONE != 0
    }

    /// Whether it reports an error, of a known or an unknown kind.
    pub fn is_error(&self) -> bool {
        self.kind & NBD_REPLY_TYPE_FLAG_ERROR != 0
    }
}

/// The start of any reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyHeader {
    /// A simple reply.
    Simple(SimpleReply),
    /// A chunk.
    Chunk(ChunkHeader),
}

/// How the front of a byte stream reads as a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodedReply {
    /// So many bytes are needed.
    Need(usize),
    /// A header, without what follows it.
    Header(ReplyHeader),
    /// Neither magic number.
    Bad,
}

/// Reads a reply's header from the front of `bytes`.
pub fn decode_reply(bytes: &[u8]) -> DecodedReply {
    let mut fields = Fields::new(bytes);
    let decoded = match fields.u32() {
        None => return DecodedReply::Need(SIMPLE_REPLY_LENGTH),
        Some(NBD_SIMPLE_REPLY_MAGIC) => (|| {
            Some(ReplyHeader::Simple(SimpleReply {
                error: fields.u32()?,
                cookie: fields.u64()?,
            }))
        })()
        .ok_or(SIMPLE_REPLY_LENGTH),
        Some(NBD_STRUCTURED_REPLY_MAGIC) => (|| {
            Some(ReplyHeader::Chunk(ChunkHeader {
                flags: fields.u16()?,
                kind: fields.u16()?,
                cookie: fields.u64()?,
                length: fields.u32()?,
            }))
        })()
        .ok_or(CHUNK_HEADER_LENGTH),
        Some(_) => return DecodedReply::Bad,
    };
    match decoded {
        Ok(header) => DecodedReply::Header(header),
        Err(need) => DecodedReply::Need(need),
    }
}

/// A whole error chunk, which ends its reply.
pub fn encode_error_chunk(cookie: u64, errno: Errno, text: &str) -> Vec<u8> {
    let text = cut(text, MAX_ERROR_TEXT);
    let text_length = u16::try_from(text.len()).expect("the text was cut to a few hundred bytes");
    let header = ChunkHeader {
        flags: NBD_REPLY_FLAG_DONE,
        kind: NBD_REPLY_TYPE_ERROR,
        cookie,
        length: 6 + u32::from(text_length),
    };
    let mut bytes = header.encode().to_vec();
    bytes.extend_from_slice(&errno.to_wire().to_be_bytes());
    bytes.extend_from_slice(&text_length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// An error chunk's payload: its number and text; `None` if malformed.
pub fn decode_error(payload: &[u8]) -> Option<(u32, String)> {
    let mut fields = Fields::new(payload);
    let error = fields.u32()?;
    let length = fields.u16()?;
    let text = fields.take(usize::from(length))?;
    (error != 0).then(|| (error, String::from_utf8_lossy(text).into_owned()))
}

/// Appends the payload of a `NBD_REPLY_TYPE_BLOCK_STATUS` chunk. Extents longer than the wire can
/// say are cut, and end the list.
pub fn encode_status(context: u32, extents: &[Extent]) -> Vec<u8> {
    let mut bytes = context.to_be_bytes().to_vec();
    for extent in extents {
        let length = u32::try_from(extent.length);
        bytes.extend_from_slice(&length.unwrap_or(1 << 31).to_be_bytes());
        let hole = if extent.hole { NBD_STATE_HOLE } else { 0 };
        let zero = if extent.zero { NBD_STATE_ZERO } else { 0 };
        bytes.extend_from_slice(&(hole | zero).to_be_bytes());
        if length.is_err() {
            break;
        }
    }
    bytes
}

/// A block status payload: its context and extents; `None` if malformed or empty.
pub fn decode_status(payload: &[u8]) -> Option<(u32, Vec<Extent>)> {
    let mut fields = Fields::new(payload);
    let context = fields.u32()?;
    let mut extents = Vec::with_capacity(fields.rest().len() / 8);
    while !fields.is_empty() {
        let (length, flags) = (u64::from(fields.u32()?), fields.u32()?);
        if length == 0 {
            return None;
        }
        let (hole, zero) = (flags & NBD_STATE_HOLE != 0, flags & NBD_STATE_ZERO != 0);
        extents.push(Extent { length, hole, zero });
    }
    (!extents.is_empty()).then_some((context, extents))
}

/// The longest prefix of `text` with at most `limit` bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
