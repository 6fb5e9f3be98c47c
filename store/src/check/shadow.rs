//! A door to the disk through which nothing is written: what is changed stays in memory.
//!
//! It lets the engine open a pool, recovery and all, and leaves the pool as it is. Locks are real, so
//! that nobody else opens the pool meanwhile, unless the pool looks at itself. What is punched out stays readable: the engine gives
//! back what it does not look at again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{BLOCK_BYTES, Caching, Create, Entry, File, Io, Space};

/// What may be changed in one file: opening a pool changes little.
const CHANGED_BLOCKS_MAX: usize = (256 << 20) / BLOCK_BYTES;

/// What is under a name, where that differs from the disk.
#[derive(Clone)]
enum Node {
    File(Arc<Mutex<Content>>),
    Folder,
    Gone,
}

/// A file as it would be.
struct Content {
    /// The file on the disk.
    base: Option<Arc<dyn File>>,
    /// How much of that is still seen.
    base_len: u64,
    len: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

/// The door.
pub(crate) struct Shadow {
    inner: Arc<dyn Io>,
    names: Mutex<HashMap<PathBuf, Node>>,
    /// Whether locks are taken on the disk.
    locks: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is consistent between statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shadow {
    /// The disk behind `inner`, as long as nothing is written.
    pub(crate) fn new(inner: Arc<dyn Io>) -> Self {
        Self {
            inner,
            names: Mutex::default(),
            locks: true,
        }
    }

    /// The same without locks, for who has the files open already.
    pub(crate) fn unlocked(inner: Arc<dyn Io>) -> Self {
        Self {
            locks: false,
            ..Self::new(inner)
        }
    }

    /// What is under a path now; `None` when there is nothing.
    fn find(&self, path: &Path) -> io::Result<Option<Arc<Mutex<Content>>>> {
        match lock(&self.names).get(path).cloned() {
            Some(Node::File(content)) => return Ok(Some(content)),
            Some(Node::Gone) => return Ok(None),
            Some(Node::Folder) => return Err(io::ErrorKind::IsADirectory.into()),
            None => {}
        }
        let base = match self.inner.open(path, Create::Never, Caching::Buffered) {
            Ok(base) => base,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let len = base.len()?;
        let content = Content {
            base: Some(base),
            base_len: len,
            len,
            blocks: BTreeMap::new(),
        };
        Ok(Some(self.put(path, content)))
    }

    fn put(&self, path: &Path, content: Content) -> Arc<Mutex<Content>> {
        let content = Arc::new(Mutex::new(content));
        let node = Node::File(Arc::clone(&content));
        lock(&self.names).insert(path.to_owned(), node);
        content
    }
}

impl Io for Shadow {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let content = match (self.find(path)?, create) {
            (Some(_), Create::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(content), _) => content,
            (None, Create::Never) => return Err(io::ErrorKind::NotFound.into()),
            (None, _) => self.put(
                path,
                Content {
                    base: None,
                    base_len: 0,
                    len: 0,
                    blocks: BTreeMap::new(),
                },
            ),
        };
        let has_base = lock(&content).base.is_some();
        // A file that was renamed is read through the page cache alone.
        let direct = (caching == Caching::Direct && has_base)
            .then(|| self.inner.open(path, Create::Never, Caching::Direct).ok())
            .flatten();
        Ok(Arc::new(ShadowFile {
            content,
            direct,
            locks: self.locks,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let content = self.find(from)?.ok_or(io::ErrorKind::NotFound)?;
        let mut names = lock(&self.names);
        names.insert(to.to_owned(), Node::File(content));
        names.insert(from.to_owned(), Node::Gone);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.find(path)?.ok_or(io::ErrorKind::NotFound)?;
        lock(&self.names).insert(path.to_owned(), Node::Gone);
        Ok(())
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.inner.list(path).is_err() {
            lock(&self.names).insert(path.to_owned(), Node::Folder);
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let names = lock(&self.names);
        let made = matches!(names.get(path), Some(Node::Folder));
        let found = match self.inner.list(path) {
            Err(_) if made => Vec::new(),
            found => found?,
        };
        let mut entries: BTreeMap<String, bool> =
            found.into_iter().map(|e| (e.name, e.is_dir)).collect();
        for (changed, node) in names.iter().filter(|(p, _)| p.parent() == Some(path)) {
            let Some(name) = changed.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            match node {
                Node::Gone => entries.remove(name),
                Node::File(_) => entries.insert(name.to_owned(), false),
                Node::Folder => entries.insert(name.to_owned(), true),
            };
        }
        let entry = |(name, is_dir)| Entry { name, is_dir };
        Ok(entries.into_iter().map(entry).collect())
    }

    fn sync_dir(&self, _path: &Path) -> io::Result<()> {
        Ok(())
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

struct ShadowFile {
    content: Arc<Mutex<Content>>,
    /// For reading past the page cache what was not changed.
    direct: Option<Arc<dyn File>>,
    locks: bool,
}

impl Content {
    /// Reads what the disk has of a range, and zeroes behind it.
    fn read_base(&self, direct: Option<&dyn File>, out: &mut [u8], offset: u64) -> io::Result<()> {
        let seen = self.base_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (there, behind) = out.split_at_mut(seen);
        behind.fill(0);
        if there.is_empty() {
            return Ok(());
        }
        match (direct, &self.base) {
            (Some(direct), _) if behind.is_empty() => direct.read_at(there, offset),
            (_, Some(base)) => base.read_at(there, offset),
            (_, None) => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies what was changed over what was read.
    fn overlay(&self, out: &mut [u8], offset: u64) {
        let block = BLOCK_BYTES as u64;
        let end = offset + out.len() as u64;
        for (number, bytes) in self.blocks.range(offset / block..end.div_ceil(block)) {
            let start = number * block;
            let (from, to) = (start.max(offset), (start + block).min(end));
            let part = &bytes[(from - start) as usize..(to - start) as usize];
            out[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
    }

    fn change_block(&mut self, number: u64) -> io::Result<&mut Box<[u8]>> {
        if !self.blocks.contains_key(&number) {
            if self.blocks.len() == CHANGED_BLOCKS_MAX {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let mut bytes = vec![0; BLOCK_BYTES].into_boxed_slice();
            self.read_base(None, &mut bytes, number * BLOCK_BYTES as u64)?;
            self.blocks.insert(number, bytes);
        }
        Ok(self
            .blocks
            .get_mut(&number)
            .expect("it has just been put there"))
    }
}

impl File for ShadowFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let content = lock(&self.content);
        if offset.saturating_add(buffer.len() as u64) > content.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.read_base(self.direct.as_deref(), buffer, offset)?;
        content.overlay(buffer, offset);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        let block = BLOCK_BYTES as u64;
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let skip = (at % block) as usize;
            let (part, behind) = rest.split_at(rest.len().min(BLOCK_BYTES - skip));
            content.change_block(at / block)?[skip..skip + part.len()].copy_from_slice(part);
            (at, rest) = (at + part.len() as u64, behind);
        }
        content.len = content.len.max(at);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.content).len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        if len < content.len {
            let block = BLOCK_BYTES as u64;
            content.base_len = content.base_len.min(len);
            content.blocks.split_off(&len.div_ceil(block));
            if let Some(last) = content.blocks.get_mut(&(len / block)) {
                last[(len % block) as usize..].fill(0);
            }
        }
        content.len = len;
        Ok(())
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let mut content = lock(&self.content);
        content.len = content.len.max(offset + len);
        Ok(())
    }

    fn punch(&self, _offset: u64, _len: u64) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<()> {
        let base = lock(&self.content).base.clone().filter(|_| self.locks);
        base.map_or(Ok(()), |base| base.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::Shadow;
    use crate::disk::sim::SimIo;
    use crate::disk::{Caching, Create, Io};

    #[test]
    fn changes_are_seen_through_it_and_nowhere_else() {
        let sim = SimIo::new(1);
        let open = |io: &dyn Io, create| io.open(Path::new("/f"), create, Caching::Buffered);
        open(&sim, Create::New)
            .unwrap()
            .write_at(&[7; 10_000], 0)
            .unwrap();
        let ops = sim.op_count();
        let shadow = Shadow::new(Arc::new(sim.clone()));
        let file = open(&shadow, Create::Never).unwrap();
        file.write_at(&[8; 10], 4090).unwrap();
        file.set_len(9000).unwrap();
        file.set_len(9100).unwrap();
        let mut bytes = vec![0; 9100];
        file.read_at(&mut bytes, 0).unwrap();
        let mut expected = vec![7; 10_000];
        expected[4090..4100].fill(8);
        expected[9000..].fill(0);
        assert!(bytes == expected[..9100]);
        assert!(file.read_at(&mut bytes, 1).is_err());
        shadow.rename(Path::new("/f"), Path::new("/g")).unwrap();
        let names: Vec<_> = shadow.list(Path::new("/")).unwrap();
        assert_eq!(names.len(), 1);
        assert_eq!(names[0].name, "g");
        shadow.remove(Path::new("/g")).unwrap();
        assert!(open(&shadow, Create::Never).is_err());
        assert_eq!(sim.op_count(), ops);
    }
}
