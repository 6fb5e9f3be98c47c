//! Requests of the transmission phase.

use super::constants::{NBD_CMD_WRITE, NBD_REQUEST_MAGIC};
use super::wire::Fields;

/// Bytes of a request without its payload.
pub const REQUEST_LENGTH: usize = 28;

/// One request. Lengths are 64 bits wide so that extended headers change no signature; the
/// compact form on the wire carries 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// `NBD_CMD_FLAG_*`.
    pub flags: u16,
    /// `NBD_CMD_*`; unknown ones are kept, to be answered with an error.
    pub command: u16,
    /// The client's name for it, echoed in replies.
    pub cookie: u64,
    /// Bytes from the start of the export.
    pub offset: u64,
    /// Length of the range, and of the payload if this is a write.
    pub length: u64,
}

/// The bytes are no request: the stream cannot be trusted any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadMagic;

impl Request {
    /// Reads a request from the front of `bytes`; `None` if there are too few.
    pub fn decode(bytes: &[u8]) -> Option<Result<Request, BadMagic>> {
        let mut fields = Fields::new(bytes.get(..REQUEST_LENGTH)?);
        if fields.u32()? != NBD_REQUEST_MAGIC {
            return Some(Err(BadMagic));
        }
        Some(Ok(Request {
            flags: fields.u16()?,
            command: fields.u16()?,
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: u64::from(fields.u32()?),
        }))
    }

    /// Bytes of the request and its payload; `None` for a payload which amounts to an attack.
    pub(crate) fn whole_length(&self) -> Option<usize> {
        if self.command != NBD_CMD_WRITE {
            return Some(REQUEST_LENGTH);
        }
        let payload = u32::try_from(self.length)
            .ok()
            .filter(|&it| it <= crate::MAX_PAYLOAD)?;
        Some(REQUEST_LENGTH + payload as usize)
    }

    /// The request at the front of `bytes`, if it is all there, and its length with its payload.
    pub(crate) fn complete(bytes: &[u8]) -> Option<(Request, usize)> {
        let request = Request::decode(bytes)?.ok()?;
        let length = request.whole_length()?;
        (length <= bytes.len()).then_some((request, length))
    }

    /// The compact form; `None` if the length does not fit in it.
    pub fn encode(&self) -> Option<[u8; REQUEST_LENGTH]> {
        let length = u32::try_from(self.length).ok()?;
        let mut bytes = [0; REQUEST_LENGTH];
        bytes[0..4].copy_from_slice(&NBD_REQUEST_MAGIC.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.flags.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.command.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.cookie.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.offset.to_be_bytes());
        bytes[24..28].copy_from_slice(&length.to_be_bytes());
        Some(bytes)
    }
}
