//! Replies to options, and the greeting before them.

use super::constants::{
    NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES, NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION,
    NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_MAGIC, NBD_OPTS_MAGIC, NBD_REP_ACK, NBD_REP_FLAG_ERROR,
    NBD_REP_INFO, NBD_REP_MAGIC, NBD_REP_META_CONTEXT, NBD_REP_SERVER,
};
use super::wire::{Fields, put_string};
use crate::export::BlockSizes;

/// Bytes of the server's greeting.
pub const GREETING_LENGTH: usize = 18;
/// Bytes of an option reply's header.
pub const OPTION_REPLY_HEADER_LENGTH: usize = 20;

/// The server's first words.
pub fn encode_greeting() -> [u8; GREETING_LENGTH] {
    let mut bytes = [0; GREETING_LENGTH];
    bytes[0..8].copy_from_slice(&NBD_MAGIC.to_be_bytes());
    bytes[8..16].copy_from_slice(&NBD_OPTS_MAGIC.to_be_bytes());
    bytes[16..18].copy_from_slice(&(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES).to_be_bytes());
    bytes
}

/// The handshake flags of a greeting; `None` if these bytes are no newstyle greeting.
pub fn decode_greeting(bytes: &[u8; GREETING_LENGTH]) -> Option<u16> {
    let mut fields = Fields::new(bytes);
    let magics = (fields.u64()?, fields.u64()?);
    if magics == (NBD_MAGIC, NBD_OPTS_MAGIC) {
        fields.u16()
    } else {
        None
    }
}

/// The header of a reply to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionReplyHeader {
    /// The option answered.
    pub option: u32,
    /// `NBD_REP_*`.
    pub kind: u32,
    /// Length of the payload which follows.
    pub length: u32,
}

impl OptionReplyHeader {
    /// Reads a header; `None` for a wrong magic number.
    pub fn decode(bytes: &[u8; OPTION_REPLY_HEADER_LENGTH]) -> Option<OptionReplyHeader> {
        let mut fields = Fields::new(bytes);
        if fields.u64()? != NBD_REP_MAGIC {
            return None;
        }
        let (option, kind, length) = (fields.u32()?, fields.u32()?, fields.u32()?);
        Some(OptionReplyHeader {
            option,
            kind,
            length,
        })
    }
}

/// One reply to an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionReply {
    /// `NBD_REP_ACK`.
    Ack,
    /// `NBD_REP_SERVER`: an entry of a listing.
    Server {
        /// The name to open it by.
        name: String,
        /// Text for people.
        description: String,
    },
    /// `NBD_REP_INFO` with `NBD_INFO_EXPORT`.
    Export {
        /// Size in bytes.
        size_bytes: u64,
        /// Transmission flags.
        flags: u16,
    },
    /// `NBD_REP_INFO` with `NBD_INFO_NAME`.
    Name(String),
    /// `NBD_REP_INFO` with `NBD_INFO_DESCRIPTION`.
    Description(String),
    /// `NBD_REP_INFO` with `NBD_INFO_BLOCK_SIZE`.
    BlockSize(BlockSizes),
    /// `NBD_REP_META_CONTEXT`.
    MetaContext {
        /// Its number in block status replies.
        id: u32,
        /// Its name.
        name: String,
    },
    /// `NBD_REP_ERR_*`.
    Error {
        /// Which.
        code: u32,
        /// Text for people.
        text: String,
    },
    /// A reply or information of another kind, to be ignored.
    Other(u32),
}

impl OptionReply {
    /// Appends the reply to `option`.
    pub fn encode(&self, option: u32, out: &mut Vec<u8>) {
        let payload = self.payload();
        let length = u32::try_from(payload.len()).expect("every reply is a few KiB at most");
        out.extend_from_slice(&NBD_REP_MAGIC.to_be_bytes());
        out.extend_from_slice(&option.to_be_bytes());
        out.extend_from_slice(&self.kind().to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&payload);
    }

    /// Reads a reply's payload; `None` if malformed.
    pub fn decode(kind: u32, payload: &[u8]) -> Option<OptionReply> {
        let mut fields = Fields::new(payload);
        Some(match kind {
            NBD_REP_ACK => OptionReply::Ack,
            NBD_REP_SERVER => {
                let name = text(fields.string()?)?;
                OptionReply::Server {
                    name,
                    description: text(fields.rest())?,
                }
            }
            NBD_REP_INFO => decode_info(fields)?,
            NBD_REP_META_CONTEXT => OptionReply::MetaContext {
                id: fields.u32()?,
                name: text(fields.rest())?,
            },
            code if code & NBD_REP_FLAG_ERROR != 0 => {
                let text = String::from_utf8_lossy(payload).into_owned();
                OptionReply::Error { code, text }
            }
            other => OptionReply::Other(other),
        })
    }

    fn kind(&self) -> u32 {
        match self {
            OptionReply::Ack => NBD_REP_ACK,
            OptionReply::Server { .. } => NBD_REP_SERVER,
            OptionReply::Export { .. }
            | OptionReply::Name(_)
            | OptionReply::Description(_)
            | OptionReply::BlockSize(_) => NBD_REP_INFO,
            OptionReply::MetaContext { .. } => NBD_REP_META_CONTEXT,
            OptionReply::Error { code, .. } => *code,
            OptionReply::Other(kind) => *kind,
        }
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            OptionReply::Ack | OptionReply::Other(_) => {}
            OptionReply::Server { name, description } => {
                put_string(&mut bytes, name.as_bytes());
                bytes.extend_from_slice(description.as_bytes());
            }
            OptionReply::Export { size_bytes, flags } => {
                bytes.extend_from_slice(&NBD_INFO_EXPORT.to_be_bytes());
                bytes.extend_from_slice(&encode_export(*size_bytes, *flags));
            }
            OptionReply::Name(name) => {
                bytes.extend_from_slice(&NBD_INFO_NAME.to_be_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
            OptionReply::Description(description) => {
                bytes.extend_from_slice(&NBD_INFO_DESCRIPTION.to_be_bytes());
                bytes.extend_from_slice(description.as_bytes());
            }
            OptionReply::BlockSize(sizes) => {
                bytes.extend_from_slice(&NBD_INFO_BLOCK_SIZE.to_be_bytes());
                for size in [sizes.minimum, sizes.preferred, sizes.maximum] {
                    bytes.extend_from_slice(&size.to_be_bytes());
                }
            }
            OptionReply::MetaContext { id, name } => {
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(name.as_bytes());
            }
            OptionReply::Error { text, .. } => bytes.extend_from_slice(text.as_bytes()),
        }
        bytes
    }
}

/// Size and flags as both `NBD_INFO_EXPORT` and the answer to `NBD_OPT_EXPORT_NAME` have them.
pub fn encode_export(size_bytes: u64, flags: u16) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[0..8].copy_from_slice(&size_bytes.to_be_bytes());
    bytes[8..10].copy_from_slice(&flags.to_be_bytes());
    bytes
}

fn decode_info(mut fields: Fields<'_>) -> Option<OptionReply> {
    Some(match fields.u16()? {
        NBD_INFO_EXPORT => OptionReply::Export {
            size_bytes: fields.u64()?,
            flags: fields.u16()?,
        },
        NBD_INFO_NAME => OptionReply::Name(text(fields.rest())?),
        NBD_INFO_DESCRIPTION => OptionReply::Description(text(fields.rest())?),
        NBD_INFO_BLOCK_SIZE => OptionReply::BlockSize(BlockSizes {
            minimum: fields.u32()?,
            preferred: fields.u32()?,
            maximum: fields.u32()?,
        }),
        _ => OptionReply::Other(NBD_REP_INFO),
    })
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}
