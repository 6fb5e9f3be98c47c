//! Reading dump files back, trusting nothing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{
    BLOCK_HEADER_BYTES, BLOCK_MAGIC, BlockHeader, FILE_HEADER_BYTES, FileHeader, Kind,
};
use crate::disk::{Caching, Create, File, Io};
use crate::index::Changes;
use crate::{Error, ErrorKind, Result};

/// Bytes looked through at once for the start of a block.
const WINDOW_BYTES: usize = 1 << 20;
/// Starts of blocks that are tried behind a place that does not read: each may cost reading a block.
const STARTS_MAX: usize = 4096;

/// A file's name without its folder.
pub(crate) fn name(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Full => format!("{number:08}.full"),
        Kind::Log => format!("{number:08}.log"),
    }
}

/// The kind and number in a file's name; `None` for other names.
pub(crate) fn parse_name(text: &str) -> Option<(Kind, u64)> {
    let (digits, kind) = match text.split_once('.')? {
        (digits, "full") => (digits, Kind::Full),
        (digits, "log") => (digits, Kind::Log),
        _ => return None,
    };
    let number = digits.parse().ok()?;
    (name(kind, number) == text).then_some((kind, number))
}

/// Kinds and numbers of all dumps in a folder; none where there is no folder.
///
/// # Errors
/// `Io`.
pub(crate) fn list(io: &dyn Io, dir: &Path) -> Result<Vec<(Kind, u64)>> {
    let listed = match io.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|e| Error::io("listing the metadata dumps", e))?,
    };
    let names = listed.iter();
    Ok(names.filter_map(|entry| parse_name(&entry.name)).collect())
}

/// How far a file reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To its end.
    End {
        /// Whether a transaction ends there.
        ended: bool,
    },
    /// Up to the block that begins at this byte.
    Broken {
        at: u64,
        /// Whether a block of a later transaction can be read behind it. A transaction is durable
        /// before the next is written, so that no power loss leaves that.
        goes_on: bool,
    },
}

/// An open dump file.
pub(crate) struct DumpFile {
    pub(crate) header: FileHeader,
    file: Arc<dyn File>,
    len: u64,
}

/// A block of a whole transaction.
pub(crate) struct Block {
    pub(crate) header: BlockHeader,
    pub(crate) entries: Vec<u8>,
}

impl DumpFile {
    /// Opens a file and checks that it is what its name says.
    ///
    /// # Errors
    /// `Corrupt`, `UnsupportedFormat`, `Io`.
    pub(crate) fn open(
        io: &dyn Io,
        dir: &Path,
        kind: Kind,
        number: u64,
        pool: [u8; 16],
    ) -> Result<Self> {
        let path: PathBuf = dir.join(name(kind, number));
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Corrupt, format!("{}: too short", path.display()))
            }
            _ => Error::io(format!("reading {}", path.display()), e),
        };
        let file = io
            .open(&path, Create::Never, Caching::Buffered)
            .map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let mut bytes = [0; FILE_HEADER_BYTES];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        let header = FileHeader::decode(&bytes)?;
        if header.pool != pool || header.kind != kind || header.number != number {
            let context = format!("{}: belongs to another pool or number", path.display());
            return Err(Error::new(ErrorKind::Corrupt, context));
        }
        Ok(Self { header, file, len })
    }

    /// Walks the blocks from the start, until the end or the first that is damaged.
    fn blocks(&self) -> Blocks<'_> {
        Blocks {
            of: self,
            at: FILE_HEADER_BYTES as u64,
        }
    }

    /// The transactions of which every block is there.
    pub(crate) fn whole_transactions(&self) -> HashSet<u64> {
        let ends = self.blocks().filter(|block| block.header.last);
        ends.map(|block| block.header.transaction).collect()
    }

    /// The blocks of some transactions, in order.
    pub(crate) fn of_transactions<'a>(
        &'a self,
        whole: &'a HashSet<u64>,
    ) -> impl Iterator<Item = Block> + 'a {
        self.blocks()
            .filter(|block| whole.contains(&block.header.transaction))
    }

    /// Bytes of the transactions that can be read, from the start to the first that is not whole.
    pub(crate) fn whole_bytes(&self) -> u64 {
        let mut blocks = self.blocks();
        let mut end = blocks.at;
        while let Some(block) = blocks.next() {
            if block.header.last {
                end = blocks.at;
            }
        }
        end
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How far it reads, entries and all.
    pub(crate) fn reach(&self) -> Reach {
        let mut blocks = self.blocks();
        let (mut at, mut ended, mut transaction) = (blocks.at, false, 1);
        while let Some(block) = blocks.next() {
            if !Changes(&block.entries).all(|change| change.is_ok()) {
                break;
            }
            (at, ended) = (blocks.at, block.header.last);
            transaction = block.header.transaction.saturating_add(u64::from(ended));
        }
        match at == self.len {
            true => Reach::End { ended },
            false => Reach::Broken {
                at,
                goes_on: self.has_later(transaction, at + 1),
            },
        }
    }

    /// Whether a block of a later transaction can be read anywhere from `from` on.
    fn has_later(&self, transaction: u64, from: u64) -> bool {
        let mut tried = 0;
        let mut window = Vec::new();
        let mut from = from;
        while from < self.len && tried < STARTS_MAX {
            let len = (self.len - from).min(WINDOW_BYTES as u64);
            window.resize(len as usize, 0);
            if self.file.read_at(&mut window, from).is_err() {
                return false;
            }
            let starts = window.windows(BLOCK_MAGIC.len()).enumerate();
            for (offset, _) in starts.filter(|(_, bytes)| *bytes == BLOCK_MAGIC) {
                tried += 1;
                let at = from + offset as u64;
                let block = Blocks { of: self, at }.next();
                if block.is_some_and(|block| block.header.transaction > transaction) {
                    return true;
                }
            }
            // A start may lie across the end of the window.
            from += (len + 1).saturating_sub(BLOCK_MAGIC.len() as u64).max(1);
        }
        false
    }

    /// Whether blocks end where the file does.
    pub(crate) fn is_read_to_its_end(&self) -> bool {
        let mut blocks = self.blocks();
        while blocks.next().is_some() {}
        blocks.at == self.len
    }
}

struct Blocks<'a> {
    of: &'a DumpFile,
    at: u64,
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let mut start = [0; BLOCK_HEADER_BYTES];
        self.of.file.read_at(&mut start, self.at).ok()?;
        let header = BlockHeader::decode(&start)?;
        let mut stored = vec![0; header.stored_len()];
        let body = self.at + BLOCK_HEADER_BYTES as u64;
        self.of.file.read_at(&mut stored, body).ok()?;
        let entries = header.open(&start, &stored)?;
        self.at = body + stored.len() as u64;
        Some(Block { header, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::{name, parse_name};
    use crate::dump::format::Kind;

    #[test]
    fn names_lead_back_to_numbers() {
        for kind in [Kind::Full, Kind::Log] {
            assert_eq!(parse_name(&name(kind, 12)), Some((kind, 12)));
        }
        for foreign in ["00000012.full.new", "12.full", "00000012", "+0000012.log"] {
            assert_eq!(parse_name(foreign), None);
        }
    }
}
