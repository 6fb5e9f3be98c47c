//! An [`Io`] that counts what passes through it to another one.
//!
//! For tests and measurements that ask how much work something made: how many syncs, how many bytes
//! written. It keeps no history; [`super::sim::SimIo`] does.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Caching, Create, Entry, File, Io, Space};

/// Operations that succeeded, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// Reads of files.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes of files.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of folders.
    pub dir_syncs: u64,
    /// Allocations, punches and changes of length.
    pub resizes: u64,
    /// Files opened, created, renamed and removed, and folders created.
    pub names: u64,
}

/// The counters behind [`IoCounts`].
#[derive(Default)]
struct Counters {
    reads: AtomicU64,
    read_bytes: AtomicU64,
    writes: AtomicU64,
    written_bytes: AtomicU64,
    syncs: AtomicU64,
    dir_syncs: AtomicU64,
    resizes: AtomicU64,
    names: AtomicU64,
}

/// Counts one success.
fn count<T>(result: io::Result<T>, counter: &AtomicU64) -> io::Result<T> {
    if result.is_ok() {
        counter.fetch_add(1, Ordering::Relaxed);
    }
    result
}

/// Passes everything on and counts it. Clones count together.
#[derive(Clone)]
pub struct RecordingIo {
    inner: Arc<dyn Io>,
    counters: Arc<Counters>,
}

impl RecordingIo {
    /// Counts what passes to `inner`, from zero.
    pub fn new(inner: Arc<dyn Io>) -> Self {
        Self {
            inner,
            counters: Arc::default(),
        }
    }

    /// What has passed so far.
    pub fn counts(&self) -> IoCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &*self.counters;
        IoCounts {
            reads: load(&counters.reads),
            read_bytes: load(&counters.read_bytes),
            writes: load(&counters.writes),
            written_bytes: load(&counters.written_bytes),
            syncs: load(&counters.syncs),
            dir_syncs: load(&counters.dir_syncs),
            resizes: load(&counters.resizes),
            names: load(&counters.names),
        }
    }
}

impl Io for RecordingIo {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let inner = count(self.inner.open(path, create, caching), &self.counters.names)?;
        let counters = Arc::clone(&self.counters);
        Ok(Arc::new(RecordingFile { inner, counters }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        count(self.inner.rename(from, to), &self.counters.names)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        count(self.inner.remove(path), &self.counters.names)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        count(self.inner.create_dir(path), &self.counters.names)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        count(self.inner.sync_dir(path), &self.counters.dir_syncs)
    }

    fn is_private(&self, path: &Path) -> io::Result<bool> {
        self.inner.is_private(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }

    fn open_files_max(&self) -> u64 {
        self.inner.open_files_max()
    }

    fn now_us(&self) -> u64 {
        self.inner.now_us()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.inner.random(buffer);
    }
}

struct RecordingFile {
    inner: Arc<dyn File>,
    counters: Arc<Counters>,
}

impl File for RecordingFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let len = buffer.len() as u64;
        count(self.inner.read_at(buffer, offset), &self.counters.reads)?;
        self.counters.read_bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn read_cached_at(&self, buffers: &mut [io::IoSliceMut<'_>], offset: u64) -> bool {
        self.inner.read_cached_at(buffers, offset)
    }

    fn will_read(&self, offset: u64, len: u64) {
        self.inner.will_read(offset, len);
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        count(self.inner.write_at(data, offset), &self.counters.writes)?;
        let len = data.len() as u64;
        self.counters
            .written_bytes
            .fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn forget_cached(&self) {
        self.inner.forget_cached();
    }

    fn sync_data(&self) -> io::Result<()> {
        count(self.inner.sync_data(), &self.counters.syncs)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        count(self.inner.set_len(len), &self.counters.resizes)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        count(self.inner.allocate(offset, len), &self.counters.resizes)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        count(self.inner.punch(offset, len), &self.counters.resizes)
    }

    fn lock(&self) -> io::Result<()> {
        self.inner.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::{IoCounts, RecordingIo};
    use crate::disk::sim::{Effect, Fault, SimIo};
    use crate::disk::{Caching, Create, Io};

    #[test]
    fn successes_are_counted_and_failures_are_not() {
        let sim = SimIo::new(1);
        let io = RecordingIo::new(Arc::new(sim.clone()));
        let path = Path::new("/f");
        let file = io.open(path, Create::New, Caching::Buffered).unwrap();
        file.write_at(&[1; 100], 0).unwrap();
        file.write_at(&[1; 20], 0).unwrap();
        sim.inject(Fault::once(None, 0, Effect::Eio));
        file.write_at(&[1; 7], 0).unwrap_err();
        file.read_at(&mut [0; 50], 0).unwrap();
        file.sync_data().unwrap();
        file.allocate(0, 4096).unwrap();
        io.sync_dir(Path::new("/")).unwrap();
        let expected = IoCounts {
            reads: 1,
            read_bytes: 50,
            writes: 2,
            written_bytes: 120,
            syncs: 1,
            dir_syncs: 1,
            resizes: 1,
            names: 1,
        };
        assert_eq!(io.clone().counts(), expected);
    }
}
