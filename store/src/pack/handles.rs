//! Names of pack files, and a bounded number of them kept open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::format;
use crate::disk::{Caching, Create, File, Io};
use crate::error::{Error, ErrorKind, Result};

/// Pack files kept open for reading at least and at most: 4 GiB and 1 TiB of packs.
const OPEN_FILES: std::ops::RangeInclusive<u64> = 64..=16_384;

/// How many to keep open: opening one again costs three calls, so as many as leave enough for
/// connections and everything else.
fn open_files(program_max: u64) -> usize {
    (program_max / 4).clamp(*OPEN_FILES.start(), *OPEN_FILES.end()) as usize
}

/// The folder of a pack file.
pub(super) fn folder(dir: &Path, pack: u64) -> PathBuf {
    dir.join(format!("{:02x}", pack & 0xff))
}

/// A pack file's path.
pub(super) fn path(dir: &Path, pack: u64) -> PathBuf {
    folder(dir, pack).join(format!("{pack:016x}.pack"))
}

/// The number in a pack file's name; `None` for other names.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".pack")?;
    (digits.len() == 16)
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

/// The numbers of all pack files, sorted.
pub(super) fn list(io: &dyn Io, dir: &Path) -> Result<Vec<u64>> {
    let entries = |path: &Path| {
        io.list(path)
            .map_err(|e| Error::io(format!("listing {}", path.display()), e))
    };
    let mut packs = Vec::new();
    for folder in entries(dir)?.iter().filter(|entry| entry.is_dir) {
        for file in entries(&dir.join(&folder.name))? {
            // A file in a wrong folder is not ours.
            packs.extend(
                number(&file.name)
                    .filter(|pack| !file.is_dir && folder.name == format!("{:02x}", pack & 0xff)),
            );
        }
    }
    packs.sort_unstable();
    Ok(packs)
}

/// Open pack files.
pub(super) struct Handles {
    io: Arc<dyn Io>,
    dir: PathBuf,
    pool_id: [u8; 16],
    open: Cache<u64, Arc<dyn File>>,
}

impl Handles {
    pub(super) fn new(io: Arc<dyn Io>, dir: PathBuf, pool_id: [u8; 16]) -> Self {
        Self {
            open: Cache::new(open_files(io.open_files_max())),
            io,
            dir,
            pool_id,
        }
    }

    /// The file, whose header is checked when it is opened.
    pub(super) fn get(&self, pack: u64) -> Result<Arc<dyn File>> {
        self.open
            .get_or_insert_with(&pack, || self.open_existing(pack))
    }

    pub(super) fn insert(&self, pack: u64, file: &Arc<dyn File>) {
        self.open.insert(pack, file.clone());
    }

    pub(super) fn forget(&self, pack: u64) {
        self.open.remove(&pack);
    }

    fn open_existing(&self, pack: u64) -> Result<Arc<dyn File>> {
        let path = path(&self.dir, pack);
        let open = self.io.open(&path, Create::Never, Caching::Buffered);
        let file = open.map_err(|e| Error::io(format!("opening {}", path.display()), e))?;
        let mut block = vec![0; format::FILE_HEADER_BYTES];
        read(&*file, &mut block, 0, || format!("header of pack {pack}"))?;
        match format::parse_file_header(&block) {
            Ok(found) if found == (self.pool_id, pack) => Ok(file),
            Ok(_) => Err(Error::new(
                ErrorKind::Corrupt,
                format!("{} belongs to another pool or number", path.display()),
            )),
            Err(bad) => Err(bad.error(&format!("header of pack {pack}"))),
        }
    }
}

/// Reads exactly; a file that ends too early is damaged.
pub(super) fn read(
    file: &dyn File,
    buffer: &mut [u8],
    offset: u64,
    what: impl Fn() -> String,
) -> Result<()> {
    file.read_at(buffer, offset).map_err(|e| {
        if e.kind() == io::ErrorKind::UnexpectedEof {
            let end = offset + buffer.len() as u64;
            let context = format!("{} at offset {offset}: file ends before {end}", what());
            Error::new(ErrorKind::Corrupt, context)
        } else {
            Error::io(format!("reading {} at offset {offset}", what()), e)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{number, open_files, path};
    use std::path::Path;

    #[test]
    fn the_limit_of_the_program_decides_how_many_stay_open() {
        assert_eq!(open_files(256), 64);
        assert_eq!(open_files(1024), 256);
        assert_eq!(open_files(u64::MAX), 16_384);
    }

    #[test]
    fn names_lead_back_to_numbers() {
        let name = path(Path::new("/p"), 0x1_02ab);
        assert_eq!(name, Path::new("/p/ab/00000000000102ab.pack"));
        assert_eq!(number("00000000000102ab.pack"), Some(0x1_02ab));
        for foreign in [
            "102ab.pack",
            "00000000000102ab.tmp",
            "+0000000000102ab.pack",
            "",
        ] {
            assert_eq!(number(foreign).filter(|_| foreign.starts_with('0')), None);
        }
    }
}
