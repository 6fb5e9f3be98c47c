//! The file of a dump: written and read from its start to its end, its checksum over all of it.
//!
//! What stands in the pairs is not looked at here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::disk::{Caching, Create, File, Io};

use crate::catalogue::{Error, ErrorKind, Result};

const MAGIC: [u8; 8] = *b"CBCATD\r\n";
const END_MAGIC: [u8; 8] = *b"CBCATE\r\n";
const VERSION: u16 = 1;
/// Bytes before the first pair.
const HEADER_BYTES: usize = 32;
/// Bytes behind the last.
const FOOTER_BYTES: usize = 24 + blake3::OUT_LEN;
/// Bytes of a pair before its table's name.
const PAIR_BYTES: usize = 9;
/// Bytes written and read at once.
const STEP_BYTES: usize = 1 << 20;
/// No record is longer by far; what is read into memory at once is bounded by it.
const PART_BYTES_MAX: usize = 64 << 20;

/// A dump being written.
pub(super) struct Output {
    file: Arc<dyn File>,
    path: PathBuf,
    buffer: Vec<u8>,
    end: u64,
    hasher: blake3::Hasher,
    pairs: u64,
}

impl Output {
    /// A file with nothing but its header; what was there is overwritten.
    pub(super) fn create(io: &dyn Io, path: &Path) -> Result<Self> {
        let emptied = |file: Arc<dyn File>| file.set_len(0).map(|()| file);
        let file = io
            .open(path, Create::IfMissing, Caching::Buffered)
            .and_then(emptied);
        Ok(Self {
            file: file.map_err(|error| io_failed("creating", path, error))?,
            path: path.to_owned(),
            buffer: header(io.now_us()).to_vec(),
            end: 0,
            hasher: blake3::Hasher::new(),
            pairs: 0,
        })
    }

    /// Adds a pair.
    pub(super) fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.buffer.push(table.len() as u8);
        self.buffer
            .extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.buffer
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        for part in [table.as_bytes(), key, value] {
            self.buffer.extend_from_slice(part);
        }
        self.pairs += 1;
        match self.buffer.len() >= STEP_BYTES {
            true => self.write_out(),
            false => Ok(()),
        }
    }

    fn write_out(&mut self) -> Result<()> {
        self.hasher.update(&self.buffer);
        let written = self.file.write_at(&self.buffer, self.end);
        written.map_err(|error| io_failed("writing", &self.path, error))?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Adds the footer, and makes the file durable.
    pub(super) fn finish(mut self) -> Result<()> {
        self.write_out()?;
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&END_MAGIC);
        footer[8..16].copy_from_slice(&self.pairs.to_le_bytes());
        footer[16..24].copy_from_slice(&self.end.to_le_bytes());
        let hash = self.hasher.update(&footer[..24]).finalize();
        footer[24..].copy_from_slice(hash.as_bytes());
        let written = self.file.write_at(&footer, self.end);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|error| io_failed("writing", &self.path, error))
    }
}

fn header(now_us: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&now_us.to_le_bytes());
    header
}

/// A dump being read.
pub(super) struct Input {
    file: Arc<dyn File>,
    path: PathBuf,
    at: u64,
    end: u64,
    /// The moment it is as of, in microseconds since 1970.
    pub(super) as_of_us: u64,
    /// Pairs it holds, by its footer.
    pub(super) pairs: u64,
}

/// A table's name, a key and a value.
pub(super) type Pair = (String, Vec<u8>, Vec<u8>);

impl Input {
    /// Opens a dump and checks all of it.
    pub(super) fn open(io: &dyn Io, path: &Path) -> Result<Self> {
        let broken = |error| io_failed("reading", path, error);
        let file = io
            .open(path, Create::Never, Caching::Buffered)
            .map_err(broken)?;
        let len = file.len().map_err(broken)?;
        let mut input = Self {
            file,
            path: path.to_owned(),
            at: 0,
            end: len.saturating_sub(FOOTER_BYTES as u64),
            as_of_us: 0,
            pairs: 0,
        };
        let start: [u8; HEADER_BYTES] = input.array()?;
        let (version, features) = ([start[8], start[9]], number_at(&start, 12, 4));
        if start[..8] != MAGIC {
            return Err(input.damaged("no dump of a catalogue"));
        }
        input.check_footer()?;
        if version != VERSION.to_le_bytes() || features != 0 {
            let context = format!(
                "{}: of version {} with features {features:#x}; this program knows version {VERSION}",
                path.display(),
                u16::from_le_bytes(version)
            );
            return Err(Error::new(ErrorKind::UnsupportedFormat, context));
        }
        input.as_of_us = number_at(&start, 16, 8);
        Ok(input)
    }

    /// Holds the footer against all that lies before it.
    fn check_footer(&mut self) -> Result<()> {
        let body = self.at;
        let (mut hasher, mut step) = (blake3::Hasher::new(), vec![0; STEP_BYTES]);
        self.at = 0;
        while self.at < self.end {
            let len = (self.end - self.at).min(STEP_BYTES as u64) as usize;
            self.fill(&mut step[..len])?;
            hasher.update(&step[..len]);
        }
        let end = std::mem::replace(&mut self.end, u64::MAX);
        let footer: [u8; FOOTER_BYTES] = self.array()?;
        self.end = end;
        let found = hasher.update(&footer[..24]).finalize();
        let whole = footer[..8] == END_MAGIC
            && number_at(&footer, 16, 8) == self.end
            && footer[24..] == *found.as_bytes();
        if !whole {
            return Err(self.damaged("damaged"));
        }
        self.pairs = number_at(&footer, 8, 8);
        self.at = body;
        Ok(())
    }

    fn damaged(&self, what: &str) -> Error {
        Error::new(
            ErrorKind::Corrupt,
            format!("{}: {what}", self.path.display()),
        )
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        if self.at + out.len() as u64 > self.end && self.end != u64::MAX {
            return Err(self.damaged("ends too early"));
        }
        let read = self.file.read_at(out, self.at);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("ends too early"),
            _ => io_failed("reading", &self.path, error),
        })?;
        self.at += out.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn part(&mut self, len: u64) -> Result<Vec<u8>> {
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= PART_BYTES_MAX);
        let mut part = vec![0; len.ok_or_else(|| self.damaged("an impossible length"))?];
        self.fill(&mut part)?;
        Ok(part)
    }

    /// The next pair.
    pub(super) fn next(&mut self) -> Result<Option<Pair>> {
        if self.at == self.end {
            return Ok(None);
        }
        let head: [u8; PAIR_BYTES] = self.array()?;
        let table = self.part(u64::from(head[0]))?;
        let table = String::from_utf8(table).map_err(|_| self.damaged("an impossible name"))?;
        let key = self.part(number_at(&head, 1, 4))?;
        let value = self.part(number_at(&head, 5, 4))?;
        Ok(Some((table, key, value)))
    }
}

fn number_at(bytes: &[u8], at: usize, len: usize) -> u64 {
    let mut number = [0; 8];
    number[..len].copy_from_slice(&bytes[at..at + len]);
    u64::from_le_bytes(number)
}

/// What the file system said, as an error of the catalogue.
pub(super) fn io_failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Failed,
    };
    Error::with_source(kind, format!("{what} {}: {error}", path.display()), error)
}
