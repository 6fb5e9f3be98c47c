//! The row that says what the metadata file is, looked at before anything else in it.

use super::codec::{Fields, Row};
use crate::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"cbindex\0";
/// The layout that this program writes.
const VERSION: u32 = 1;

/// Magic, version, and what a program must know to read or write the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FormatRow {
    version: u32,
    /// Features that others may ignore.
    compat: u64,
    /// Features that must be known to write.
    ro_compat: u64,
    /// Features that must be known to read.
    incompat: u64,
}

impl FormatRow {
    /// What this program writes: no features yet.
    pub(super) const CURRENT: Self = Self {
        version: VERSION,
        compat: 0,
        ro_compat: 0,
        incompat: 0,
    };

    /// Refuses what this program cannot write without doing harm.
    pub(super) fn check(&self) -> Result<()> {
        let known = self.version == VERSION && self.incompat == 0 && self.ro_compat == 0;
        if known {
            return Ok(());
        }
        let message = format!(
            "metadata of version {}, features {:#x}/{:#x}; this program knows version {VERSION}",
            self.version, self.incompat, self.ro_compat
        );
        Err(Error::new(ErrorKind::UnsupportedFormat, message))
    }
}

impl Row for FormatRow {
    const NAME: &'static str = "format";

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        for features in [self.compat, self.ro_compat, self.incompat] {
            out.extend_from_slice(&features.to_le_bytes());
        }
    }

    fn take(format: u8, fields: &mut Fields<'_>) -> Option<Self> {
        (format == 1 && fields.array()? == MAGIC).then_some(())?;
        Some(Self {
            version: fields.u32()?,
            compat: fields.u64()?,
            ro_compat: fields.u64()?,
            incompat: fields.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FormatRow;
    use crate::ErrorKind;
    use crate::index::codec::Row;

    #[test]
    fn the_row_is_as_documented() {
        let bytes = FormatRow::CURRENT.encode();
        assert_eq!(bytes.len(), 41);
        assert_eq!(bytes[..13], *b"\x01cbindex\0\x01\0\0\0");
        assert_eq!(bytes[13..37], [0; 24]);
        assert_eq!(FormatRow::decode(&bytes).unwrap(), FormatRow::CURRENT);
    }

    #[test]
    fn newer_files_are_refused_and_harmless_features_are_not() {
        let current = FormatRow::CURRENT;
        FormatRow {
            compat: 5,
            ..current
        }
        .check()
        .unwrap();
        for newer in [
            FormatRow {
                version: 2,
                ..current
            },
            FormatRow {
                incompat: 1,
                ..current
            },
            FormatRow {
                ro_compat: 1,
                ..current
            },
        ] {
            assert_eq!(
                newer.check().unwrap_err().kind(),
                ErrorKind::UnsupportedFormat
            );
        }
    }
}
