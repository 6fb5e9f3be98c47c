//! The codec: bytes to values and back. No I/O, no state, no decisions.
//!
//! Decoders take any bytes without panicking, and allocate no more than what they were given.

pub mod constants;
mod errno;
mod option;
mod option_reply;
mod reply;
mod request;
#[cfg(test)]
mod tests;
mod wire;

pub use option::{
    BadOption, InfoRequest, MAX_LIST_ENTRIES, MAX_NAME_LENGTH, MAX_OPTION_LENGTH, MetaRequest,
    OPTION_HEADER_LENGTH, OptionHeader, OptionRequest,
};
pub use option_reply::{
    GREETING_LENGTH, OPTION_REPLY_HEADER_LENGTH, OptionReply, OptionReplyHeader, decode_greeting,
    encode_export, encode_greeting,
};
pub(crate) use reply::cut;
pub use reply::{
    CHUNK_HEADER_LENGTH, ChunkHeader, DecodedReply, MAX_ERROR_TEXT, ReplyHeader,
    SIMPLE_REPLY_LENGTH, SimpleReply, decode_error, decode_reply, decode_status,
    encode_error_chunk, encode_status,
};
pub use request::{BadMagic, REQUEST_LENGTH, Request};
