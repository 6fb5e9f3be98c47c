//! redb's storage on a [`File`], so that the metadata file is recorded, failed and cut like any
//! other.

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::File;

/// What a growing file must get in real blocks at least, the more the better.
const STEPS_BYTES: [u64; 3] = [16 << 20, 4 << 20, 1 << 20];

/// A file as redb uses it. It grows by real blocks, so that a commit cannot run out of space inside
/// what the file already has. redb doubles its file, though, and gives up on everything until it is
/// reopened if it cannot: where there is no space for all of that, a step of real blocks and a hole
/// serve until there is.
pub struct RedbFile {
    file: Arc<dyn File>,
    relief: Option<Relief>,
}

/// Frees space that was kept for the moment when there is none; says whether there was any.
pub type Relief = Arc<dyn Fn() -> bool + Send + Sync>;

impl RedbFile {
    /// Takes the file's lock, which is held until the database is closed and all handles of `file`
    /// are gone.
    ///
    /// # Errors
    /// `WouldBlock` when another has it.
    pub fn locked(file: Arc<dyn File>) -> io::Result<Self> {
        file.lock()?;
        Ok(Self { file, relief: None })
    }

    /// Asks `relief` for space when the disk is full, and tries again.
    #[must_use]
    pub fn relieved_by(mut self, relief: Relief) -> Self {
        self.relief = Some(relief);
        self
    }

    fn with_relief(&self, change: impl Fn() -> io::Result<()>) -> io::Result<()> {
        match (change(), &self.relief) {
            (Err(error), Some(relief)) if error.kind() == io::ErrorKind::StorageFull => {
                if relief() { change() } else { Err(error) }
            }
            (outcome, _) => outcome,
        }
    }

    fn grow(&self, old: u64, len: u64) -> io::Result<()> {
        let mut grown = self.file.allocate(old, len - old);
        for step in STEPS_BYTES.into_iter().filter(|step| len - old > *step) {
            match &grown {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    // A part of the blocks may have been given; redb writes nothing there meanwhile.
                    self.file.set_len(old)?;
                    grown = self.file.allocate(old, step);
                }
                _ => break,
            }
        }
        if grown.is_err() {
            self.file.set_len(old)?;
        }
        grown.and_then(|()| self.file.set_len(len))
    }
}

impl fmt::Debug for RedbFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbFile")
    }
}

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.file.len()?;
        if len <= old {
            return self.file.set_len(len);
        }
        self.with_relief(|| self.grow(old, len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // A hole gets its blocks only now.
        self.with_relief(|| self.file.write_at(data, offset))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use redb::StorageBackend;

    use super::{RedbFile, STEPS_BYTES};
    use crate::disk::sim::SimIo;
    use crate::disk::{Caching, Create, Io};

    #[test]
    fn it_grows_by_blocks_and_on_a_full_disk_by_a_step() {
        let sim = SimIo::new(1);
        let path = Path::new("/f");
        let file = sim.open(path, Create::New, Caching::Buffered).unwrap();
        let file = RedbFile::locked(file).unwrap();
        let free = || sim.space(path).unwrap().free_bytes;
        sim.set_space_bytes(100 << 20);
        file.set_len(64 << 20).unwrap();
        assert_eq!(free(), 36 << 20);
        file.set_len(128 << 20).unwrap();
        assert_eq!(
            (file.len().unwrap(), free()),
            (128 << 20, (36 << 20) - STEPS_BYTES[0])
        );
        file.set_len(64 << 20).unwrap();
        assert_eq!(free(), 36 << 20);
        sim.set_space_bytes(65 << 20);
        file.set_len(128 << 20).unwrap();
        assert_eq!(free(), 0);
        file.set_len(256 << 20).unwrap_err();
        assert_eq!(file.len().unwrap(), 128 << 20);
    }

    #[test]
    fn it_takes_what_was_kept_when_there_is_nothing_else() {
        let sim = SimIo::new(1);
        let open = |name| sim.open(Path::new(name), Create::New, Caching::Buffered);
        sim.set_space_bytes(10 << 20);
        open("/kept").unwrap().allocate(0, 4 << 20).unwrap();
        let disk = sim.clone();
        let file = RedbFile::locked(open("/f").unwrap()).unwrap();
        let file = file.relieved_by(Arc::new(move || disk.remove(Path::new("/kept")).is_ok()));
        file.set_len(6 << 20).unwrap();
        file.set_len(9 << 20).unwrap();
        assert!(
            sim.list(Path::new("/"))
                .unwrap()
                .iter()
                .all(|e| e.name != "kept")
        );
        file.set_len(10 << 20).unwrap();
        // Nothing is left to be given up.
        file.set_len(12 << 20).unwrap_err();
        assert_eq!(file.len().unwrap(), 10 << 20);
    }
}
