//! [`Io`] on the operating system's files, clock and random source.
//!
//! Direct files fall back to the page cache where the file system refuses `O_DIRECT` (tmpfs does);
//! the alignment rules hold all the same, so that a program which works here works everywhere.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{
    Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock, statvfs,
};
use rustix::io::{ReadWriteFlags, preadv2};
use rustix::process::{Resource, getrlimit};

use super::{BLOCK_BYTES, Caching, Create, Entry, File, Io, Space, check_aligned};

/// Zeroes are written in pieces of this size where the file system cannot allocate or punch.
const ZEROES: &[u8] = &[0; 64 << 10];

/// How far one call of advice goes: Linux cuts off what is longer than the disk's read-ahead, which is
/// as much as this by default.
const ADVICE_BYTES: u64 = 128 << 10;

/// The operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealIo;

impl RealIo {
    /// The operating system.
    pub fn new() -> Self {
        Self
    }
}

impl Io for RealIo {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let inner = match caching {
            Caching::Buffered => open(path, create, OFlags::empty())?,
            Caching::Direct => open_direct(path, create)?,
        };
        Ok(Arc::new(RealFile { inner, caching }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_dir = entry.file_type()?.is_dir();
            // The crate makes ASCII names only; anything else is not its own.
            if let Ok(name) = OsString::into_string(entry.file_name()) {
                entries.push(Entry { name, is_dir });
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn is_private(&self, path: &Path) -> io::Result<bool> {
        let status = rustix::fs::stat(path)?;
        Ok(status.st_mode & 0o077 == 0)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = statvfs(path)?;
        Ok(Space {
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }

    fn open_files_max(&self) -> u64 {
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
    }

    fn now_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |elapsed| elapsed.as_micros() as u64)
    }

    fn random(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the kernel's random source works once the system is up");
    }
}

fn open(path: &Path, create: Create, flags: OFlags) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options.custom_flags(flags.bits().cast_signed());
    match create {
        Create::Never => {}
        Create::New => {
            options.create_new(true);
        }
        Create::IfMissing => {
            options.create(true);
        }
    }
    options.open(path)
}

fn open_direct(path: &Path, create: Create) -> io::Result<fs::File> {
    match open(path, create, OFlags::DIRECT) {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INVAL.raw_os_error()) => {
            // The refusal may come after the file was created.
            let again = match create {
                Create::New => Create::IfMissing,
                other => other,
            };
            open(path, again, OFlags::empty())
        }
        opened => opened,
    }
}

struct RealFile {
    inner: fs::File,
    caching: Caching,
}

impl RealFile {
    /// Overwrites a range with zeroes.
    fn write_zeroes(&self, mut offset: u64, end: u64) -> io::Result<()> {
        while offset < end {
            let len = (end - offset).min(ZEROES.len() as u64) as usize;
            self.inner.write_all_at(&ZEROES[..len], offset)?;
            offset += len as u64;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        check_aligned(self.caching, buffer, offset)?;
        let mut done = 0;
        while done < buffer.len() {
            match self
                .inner
                .read_at(&mut buffer[done..], offset + done as u64)
            {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The file's end inside a block leaves an offset that direct reads refuse.
                Err(_) if done % BLOCK_BYTES != 0 && self.caching == Caching::Direct => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        check_aligned(self.caching, data, offset)?;
        self.inner.write_all_at(data, offset)
    }

    fn forget_cached(&self) {
        // What is refused costs nothing but the look at the disk itself.
        let _ = fadvise(&self.inner, 0, None, Advice::DontNeed);
    }

    fn read_cached_at(&self, buffers: &mut [io::IoSliceMut<'_>], offset: u64) -> bool {
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        let read = preadv2(&self.inner, buffers, offset, ReadWriteFlags::NOWAIT);
        // File systems that cannot tell refuse; a part is as good as nothing.
        self.caching == Caching::Buffered && read == Ok(wanted)
    }

    fn will_read(&self, offset: u64, len: u64) {
        let end = offset + len;
        for at in (offset..end).step_by(ADVICE_BYTES as usize) {
            let part = NonZeroU64::new((end - at).min(ADVICE_BYTES));
            // Reading finds out by itself what is wrong.
            let _ = fadvise(&self.inner, at, part, Advice::WillNeed);
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.inner.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        match retry(|| fallocate(&self.inner, FallocateFlags::empty(), offset, len)) {
            // Blocks before the end cannot be told from holes here; they stay as they are.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.write_zeroes(offset.max(self.len()?), offset + len)
            }
            done => done,
        }
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry(|| fallocate(&self.inner, flags, offset, len)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                self.write_zeroes(offset, self.len()?.min(offset.saturating_add(len)))
            }
            done => done,
        }
    }

    fn lock(&self) -> io::Result<()> {
        retry(|| flock(&self.inner, FlockOperation::NonBlockingLockExclusive))
    }
}

fn retry(mut call: impl FnMut() -> rustix::io::Result<()>) -> io::Result<()> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use super::RealIo;
    use crate::disk::{AlignedBuf, BLOCK_BYTES, Caching, Create, Entry, Io};

    fn temp() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn filled(byte: u8, len: usize) -> AlignedBuf {
        let mut buffer = AlignedBuf::zeroed(len);
        buffer.fill(byte);
        buffer
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn bytes_come_back_buffered_and_direct() {
        let dir = temp();
        for (name, caching) in [("b", Caching::Buffered), ("d", Caching::Direct)] {
            let file = RealIo
                .open(&dir.path().join(name), Create::New, caching)
                .unwrap();
            file.write_at(&filled(7, 3 * BLOCK_BYTES), BLOCK_BYTES as u64)
                .unwrap();
            file.sync_data().unwrap();
            let mut read = filled(1, 4 * BLOCK_BYTES);
            file.read_at(&mut read, 0).unwrap();
            assert!(read[..BLOCK_BYTES].iter().all(|&byte| byte == 0));
            assert!(read[BLOCK_BYTES..].iter().all(|&byte| byte == 7));
            let beyond = file.read_at(&mut read, BLOCK_BYTES as u64).unwrap_err();
            assert_eq!(beyond.kind(), ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn direct_files_refuse_unaligned_use_on_any_file_system() {
        let dir = temp();
        let path = dir.path().join("d");
        let file = RealIo.open(&path, Create::New, Caching::Direct).unwrap();
        let block = filled(1, BLOCK_BYTES);
        for error in [
            file.write_at(&block, 512).unwrap_err(),
            file.write_at(&block[..512], 0).unwrap_err(),
            file.write_at(&filled(1, 2 * BLOCK_BYTES)[1..=BLOCK_BYTES], 0)
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        file.set_len(100).unwrap();
        let error = file.read_at(&mut filled(0, BLOCK_BYTES), 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn allocation_takes_blocks_and_punching_returns_them() {
        let dir = temp();
        let path = dir.path().join("f");
        let file = RealIo.open(&path, Create::New, Caching::Buffered).unwrap();
        file.allocate(0, 1 << 20).unwrap();
        assert_eq!(file.len().unwrap(), 1 << 20);
        let blocks = std::fs::metadata(&path).unwrap().blocks();
        assert!(blocks * 512 >= 1 << 20);
        file.write_at(&[9; 8192], 0).unwrap();
        file.allocate(0, 8192).unwrap();
        file.punch(0, 4096).unwrap();
        let mut read = [1; 8192];
        file.read_at(&mut read, 0).unwrap();
        assert!(read[..4096] == [0; 4096] && read[4096..] == [9; 4096]);
        assert_eq!(file.len().unwrap(), 1 << 20);
    }

    #[test]
    fn the_lock_keeps_other_handles_out_until_dropped() {
        let dir = temp();
        let open = || RealIo.open(&dir.path().join("l"), Create::IfMissing, Caching::Buffered);
        let (first, second) = (open().unwrap(), open().unwrap());
        first.lock().unwrap();
        first.lock().unwrap();
        assert_eq!(second.lock().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(first);
        second.lock().unwrap();
    }

    #[test]
    fn folders_and_files_are_private_and_listed_in_order() {
        let dir = temp();
        let pool = dir.path().join("a/pool");
        RealIo.create_dir(&pool).unwrap();
        RealIo.create_dir(&pool).unwrap();
        let open = |name: &str, create| RealIo.open(&pool.join(name), create, Caching::Buffered);
        open("b", Create::New).unwrap();
        open("c", Create::IfMissing).unwrap();
        RealIo.create_dir(&pool.join("a")).unwrap();
        assert_eq!((mode(&pool), mode(&pool.join("b"))), (0o700, 0o600));
        let kind = |create, name| open(name, create).err().map(|error| error.kind());
        assert_eq!(kind(Create::New, "b"), Some(ErrorKind::AlreadyExists));
        assert_eq!(kind(Create::Never, "x"), Some(ErrorKind::NotFound));
        RealIo.rename(&pool.join("c"), &pool.join("b")).unwrap();
        RealIo.sync_dir(&pool).unwrap();
        let entry = |name: &str, is_dir| Entry {
            name: name.into(),
            is_dir,
        };
        assert_eq!(
            RealIo.list(&pool).unwrap(),
            [entry("a", true), entry("b", false)]
        );
        RealIo.remove(&pool.join("b")).unwrap();
        assert_eq!(RealIo.list(&pool).unwrap().len(), 1);
        let space = RealIo.space(&pool).unwrap();
        assert!(space.free_bytes > 0 && space.free_bytes <= space.total_bytes);
    }

    #[test]
    fn clock_and_randomness_move() {
        assert!(RealIo.now_us() > 1_700_000_000_000_000);
        let (mut a, mut b) = ([0; 32], [0; 32]);
        RealIo.random(&mut a);
        RealIo.random(&mut b);
        assert_ne!(a, b);
    }
}
