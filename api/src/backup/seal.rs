//! The envelope of an object: what it is, for which readers, and that it is whole.
//!
//! | at | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `CBbackup` |
//! | 8 | 1 | kind of object |
//! | 9 | 1 | format version, 1 |
//! | 10 | 2 | zero |
//! | 12 | 4 | features: bits of which a reader must know every one; 1 the chunks are encrypted |
//! | 16 | 8 | length of the body |
//! | 24 | | body |
//! | end - 32 | 32 | BLAKE3 of all before |
//!
//! Numbers are little-endian.

use super::error::{Error, ErrorKind, Result};

const MAGIC: &[u8; 8] = b"CBbackup";
const VERSION: u8 = 1;
/// The feature of packs and manifests whose chunks are encrypted.
pub(super) const SEALED: u32 = 1;
/// Features that this program reads.
const KNOWN_FEATURES: u32 = SEALED;
/// Length of what comes before the body.
pub(super) const HEADER_BYTES: usize = 24;
/// Length of a digest.
pub(super) const DIGEST_BYTES: usize = 32;

/// A full-length BLAKE3 hash, plain or keyed.
pub(super) type Digest = [u8; DIGEST_BYTES];

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Repository = 1,
    Pack = 2,
    Map = 3,
    Manifest = 4,
    /// Says that a backup is being written, or that a sweep is due.
    Marker = 5,
}

/// The bytes before a body of so many bytes.
pub(super) fn header(kind: Kind, features: u32, body_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8] = kind as u8;
    header[9] = VERSION;
    header[12..16].copy_from_slice(&features.to_le_bytes());
    header[16..].copy_from_slice(&body_bytes.to_le_bytes());
    header
}

/// An object around a body.
pub(super) fn seal(kind: Kind, body: &[u8]) -> Vec<u8> {
    seal_with(kind, 0, body)
}

/// As [`seal`], with features.
pub(super) fn seal_with(kind: Kind, features: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, features, body.len() as u64).to_vec();
    bytes.extend_from_slice(body);
    let digest = blake3::hash(&bytes);
    bytes.extend_from_slice(digest.as_bytes());
    bytes
}

/// The digest at the end of an object, which names its exact content.
pub(super) fn digest_of(bytes: &[u8]) -> Digest {
    let mut digest = [0; DIGEST_BYTES];
    if let Some(tail) = bytes.last_chunk() {
        digest = *tail;
    }
    digest
}

/// The length of the body that a header promises, once the header itself is in order.
pub(super) fn check_header(object: &str, kind: Kind, bytes: &[u8]) -> Result<u64> {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(Error::corrupt(object, "it is too short for its header"));
    };
    if &header[..8] != MAGIC || header[8] != kind as u8 || header[10..12] != [0, 0] {
        return Err(Error::corrupt(object, format!("it is no {kind:?}")));
    }
    let features = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    if header[9] != VERSION || features & !KNOWN_FEATURES != 0 {
        let context = format!(
            "{object} has format version {} with features {features:#x}, which is too new",
            header[9]
        );
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let mut length = [0; 8];
    length.copy_from_slice(&header[16..]);
    Ok(u64::from_le_bytes(length))
}

/// The body of an object that is what it should be, and whole.
pub(super) fn open<'a>(object: &str, kind: Kind, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let promised = check_header(object, kind, bytes)?;
    let Some((sealed, digest)) = bytes.split_last_chunk::<DIGEST_BYTES>() else {
        return Err(Error::corrupt(object, "it is too short"));
    };
    let body = sealed.get(HEADER_BYTES..).unwrap_or_default();
    if body.len() as u64 != promised {
        let what = format!("it has {} bytes of {promised}", body.len());
        return Err(Error::corrupt(object, what));
    }
    if blake3::hash(sealed).as_bytes() != digest {
        return Err(Error::corrupt(object, "its checksum differs"));
    }
    Ok(body)
}

/// Takes numbers and bytes off a body in order; an end that comes too early is damage.
pub(super) struct Fields<'a> {
    object: &'a str,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(object: &'a str, body: &'a [u8]) -> Self {
        Self { object, rest: body }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            return Err(Error::corrupt(self.object, "it ends too early"));
        };
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A count of rows of `row_bytes` each, all of which must be there: what is allocated for them
    /// is bounded by what was really read.
    pub(super) fn count(&mut self, row_bytes: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count
            .checked_mul(row_bytes)
            .is_none_or(|all| all > self.rest.len())
        {
            return Err(Error::corrupt(
                self.object,
                "it has fewer rows than it says",
            ));
        }
        Ok(count)
    }

    pub(super) fn end(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::corrupt(
                self.object,
                "there is more than belongs there",
            ))
        }
    }
}

/// A digest or key as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The digest that [`hex`] wrote.
pub(super) fn from_hex(text: &str) -> Option<Digest> {
    blake3::Hash::from_hex(text).ok().map(Into::into)
}
