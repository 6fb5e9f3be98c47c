//! What an image is, by its headers.
//!
//! Each format has a file of its own, which answers the size of the disk or why the image is not taken.
//! *Promises*: reads are few and of bounded length, whatever the headers say; nothing is allocated by a
//! number from the image that was not checked before; arbitrary bytes never panic.

mod qcow2;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::io;

use super::bytes::Bytes;
use super::error::Refusal;
use super::format::Format;

/// Largest disk there is.
const VIRTUAL_BYTES_MAX: u64 = store::VOLUME_BYTES_MAX;
/// Where an ISO 9660 file system names itself.
const ISO_WORD_AT: u64 = 32769;

/// What an image was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Its format.
    pub format: Format,
    /// Length of the disk in it.
    pub virtual_size_bytes: u64,
}

/// Looks at a complete image that says of itself that it is `disk_format`; `None` for formats that
/// nobody here reads.
///
/// # Errors
/// Why the image is not taken.
pub fn inspect(bytes: &dyn Bytes, disk_format: &str) -> Result<Option<Inspected>, Refusal> {
    let Some(format) = Format::of_disk_format(disk_format) else {
        return Ok(None);
    };
    let found = magic(bytes)?;
    let same = match format {
        // Nothing tells a raw disk; whatever it begins with is refused if it is a format's own magic.
        Format::Raw => !matches!(found, Found::Other(_) | Found::Is(_)),
        Format::Iso => found == Found::Nothing && is_iso(bytes)?,
        // A fixed one has its only header at the end.
        Format::Vhd => matches!(found, Found::Is(Format::Vhd) | Found::Nothing),
        _ => found == Found::Is(format),
    };
    if !same {
        return Err(Refusal::Mismatch {
            declared: format.name(),
            found: found.name(),
        });
    }
    let virtual_size_bytes = match format {
        Format::Raw | Format::Iso => bytes.count(),
        Format::Qcow2 => qcow2::virtual_size(bytes)?,
        Format::Vmdk => vmdk::virtual_size(bytes)?,
        Format::Vdi => vdi::virtual_size(bytes)?,
        Format::Vhd => vhd::virtual_size(bytes)?,
        Format::Vhdx => vhdx::virtual_size(bytes)?,
    };
    let damaged = |what| Refusal::Damaged {
        format: format.name(),
        what,
    };
    if virtual_size_bytes == 0 {
        return Err(damaged("it holds no disk"));
    }
    if virtual_size_bytes > VIRTUAL_BYTES_MAX {
        return Err(damaged("its disk is larger than any volume"));
    }
    Ok(Some(Inspected {
        format,
        virtual_size_bytes,
    }))
}

/// What first bytes can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Is(Format),
    /// A format that nobody here reads.
    Other(&'static str),
    Nothing,
}

impl Found {
    fn name(self) -> &'static str {
        match self {
            Self::Is(format) => format.name(),
            Self::Other(name) => name,
            Self::Nothing => "not of that format",
        }
    }
}

/// What the beginning says the image is.
fn magic(bytes: &dyn Bytes) -> Result<Found, Refusal> {
    let mut head = [0; 512];
    let len = bytes.count().min(512) as usize;
    bytes
        .read_at(0, &mut head[..len])
        .map_err(Refusal::Unreadable)?;
    Ok(match () {
        () if head.starts_with(b"QFI\xfb") => Found::Is(Format::Qcow2),
        () if head.starts_with(b"KDMV") => Found::Is(Format::Vmdk),
        () if head.starts_with(b"COWD") => Found::Other("an old vmdk"),
        () if head.starts_with(b"# Disk DescriptorFile") => Found::Other("a vmdk descriptor"),
        () if head.starts_with(b"conectix") => Found::Is(Format::Vhd),
        () if head.starts_with(b"vhdxfile") => Found::Is(Format::Vhdx),
        () if head.starts_with(b"QED\0") => Found::Other("qed"),
        () if head[64..68] == vdi::SIGNATURE => Found::Is(Format::Vdi),
        () => Found::Nothing,
    })
}

fn is_iso(bytes: &dyn Bytes) -> Result<bool, Refusal> {
    if bytes.count() < ISO_WORD_AT + 5 {
        return Ok(false);
    }
    let mut word = [0; 5];
    let read = bytes.read_at(ISO_WORD_AT, &mut word);
    read.map_err(Refusal::Unreadable)?;
    Ok(&word == b"CD001")
}

/// The reader of one format: bytes, and the format's name for what is refused.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a dyn Bytes,
    format: &'static str,
}

impl Reader<'_> {
    /// `N` bytes from `offset`.
    fn array<const N: usize>(&self, offset: u64) -> Result<[u8; N], Refusal> {
        let mut array = [0; N];
        self.fill(offset, &mut array)?;
        Ok(array)
    }

    fn fill(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let read = self.bytes.read_at(offset, buffer);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("it ends too early"),
            _ => Refusal::Unreadable(error),
        })
    }

    /// Whether a table of so many bytes lies in the file.
    fn holds(&self, offset: u64, len: u64) -> bool {
        let end = offset.checked_add(len);
        end.is_some_and(|end| end <= self.bytes.count())
    }

    fn damaged(&self, what: &'static str) -> Refusal {
        Refusal::Damaged {
            format: self.format,
            what,
        }
    }

    fn outside(&self, what: &'static str) -> Refusal {
        Refusal::Outside {
            format: self.format,
            what,
        }
    }

    fn unsupported(&self, what: &'static str) -> Refusal {
        Refusal::Unsupported {
            format: self.format,
            what,
        }
    }
}

/// A field of a header that was read whole; headers are arrays, so that fields are within them.
macro_rules! field {
    ($name:ident, $kind:ty, $read:ident) => {
        fn $name(header: &[u8], at: usize) -> $kind {
            const LEN: usize = size_of::<$kind>();
            let found = header.get(at..at + LEN);
            let bytes: Option<[u8; LEN]> = found.and_then(|bytes| bytes.try_into().ok());
            <$kind>::$read(bytes.expect("the field lies in the header"))
        }
    };
}

field!(be32, u32, from_be_bytes);
field!(be64, u64, from_be_bytes);
field!(le16, u16, from_le_bytes);
field!(le32, u32, from_le_bytes);
field!(le64, u64, from_le_bytes);
