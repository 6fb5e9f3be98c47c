//! redb's storage on a [`File`], so that the metadata file is recorded, failed and cut like any
//! other.

use std::fmt;
use std::io;
use std::sync::Arc;

use redb::StorageBackend;

use super::File;

/// A file as redb uses it. It grows by real blocks, so that a commit cannot run out of space inside
/// what the file already has.
pub(crate) struct RedbFile(Arc<dyn File>);

impl RedbFile {
    /// Takes the file's lock, which is held until the database is closed and all handles of `file`
    /// are gone; `WouldBlock` when another has it.
    pub(crate) fn locked(file: Arc<dyn File>) -> io::Result<Self> {
        file.lock()?;
        Ok(Self(file))
    }
}

impl fmt::Debug for RedbFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbFile")
    }
}

impl StorageBackend for RedbFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.0.len()?;
        if len > old {
            self.0.allocate(old, len - old)
        } else {
            self.0.set_len(len)
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}
