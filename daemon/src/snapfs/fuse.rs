//! The file system: FUSE requests answered from the tree and the disks. Nothing is decided here.
//!
//! Requests come from a few threads at once. Names are remembered by the kernel for long and
//! forgotten when told; data of snapshots never changes and stays in the page cache.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::disks::Disks;
use super::info;
use super::names::Names;
use super::tree::{Entry, EntryKind, Node, Tree};

/// For names and for files, whose attributes never change: the kernel is told when they go.
const LONG: Duration = Duration::from_secs(3600);
/// For folders, whose time and size change.
const SHORT: Duration = Duration::from_secs(1);
/// Read-ahead asked for, in bytes; the kernel may allow less.
const READ_AHEAD: u32 = 1 << 20;
/// Largest read answered, in bytes; the kernel asks for less.
const READ_MAX: u32 = 16 << 20;
/// Unit of `st_blocks`, as POSIX has it.
const BLOCK: u64 = 512;

/// Who owns the files and who may read them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether others may read too.
    pub(super) others: bool,
}

/// The mounted tree.
pub(super) struct SnapshotFs {
    names: Arc<Names>,
    disks: Arc<Disks>,
    owner: Owner,
    /// Listings under way: each folder is read as it was when it was opened.
    listings: Mutex<HashMap<u64, Arc<Vec<Entry>>>>,
    next_listing: AtomicU64,
}

/// Open folders at a time.
const LISTINGS_MAX: usize = 4096;

impl SnapshotFs {
    /// A file system of these names and disks.
    pub(super) fn new(names: Arc<Names>, disks: Arc<Disks>, owner: Owner) -> Self {
        Self {
            names,
            disks,
            owner,
            listings: Mutex::default(),
            next_listing: AtomicU64::new(1),
        }
    }

    fn listings(&self) -> MutexGuard<'_, HashMap<u64, Arc<Vec<Entry>>>> {
        // No code can panic while holding it, so poison carries no news.
        self.listings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attributes(&self, ino: INodeNo, node: &Node) -> (FileAttr, Duration) {
        let (kind, size, blocks, changed_us, ttl) = match node {
            Node::Dir { changed_us } => (FileType::Directory, 0, 0, *changed_us, SHORT),
            Node::Link { target, changed_us } => (
                FileType::Symlink,
                target.len() as u64,
                0,
                *changed_us,
                SHORT,
            ),
            Node::Info(record) => {
                let size = info::text(record).len() as u64;
                (
                    FileType::RegularFile,
                    size,
                    size.div_ceil(BLOCK),
                    record.created_us,
                    LONG,
                )
            }
            Node::Disk(record) => {
                // Without an answer it counts as full, and is asked again soon.
                let map = self.disks.map(record.id);
                let ttl = if map.is_ok() { LONG } else { SHORT };
                let data = map.map_or(record.size_bytes, |map| map.data_bytes());
                let (size, created) = (record.size_bytes, record.created_us);
                (
                    FileType::RegularFile,
                    size,
                    data.div_ceil(BLOCK),
                    created,
                    ttl,
                )
            }
        };
        let time = UNIX_EPOCH + Duration::from_micros(changed_us);
        (self.attr(ino, kind, size, blocks, time), ttl)
    }

    fn attr(
        &self,
        ino: INodeNo,
        kind: FileType,
        size: u64,
        blocks: u64,
        at: SystemTime,
    ) -> FileAttr {
        let (own, all) = match kind {
            FileType::Directory => (0o500, 0o555),
            FileType::Symlink => (0o777, 0o777),
            _ => (0o400, 0o444),
        };
        FileAttr {
            ino,
            size,
            blocks,
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind,
            perm: if self.owner.others { all } else { own },
            nlink: if kind == FileType::Directory { 2 } else { 1 },
            uid: self.owner.uid,
            gid: self.owner.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    fn read_node(&self, node: &Node, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let length = |end: u64| {
            end.saturating_sub(offset)
                .min(u64::from(size.min(READ_MAX)))
        };
        match node {
            Node::Disk(record) => {
                let mut buffer = vec![0; length(record.size_bytes) as usize];
                if !buffer.is_empty() {
                    let read = self.disks.read(record.id, offset, &mut buffer);
                    read.map_err(|error| failed(record.id, &error))?;
                }
                Ok(buffer)
            }
            Node::Info(record) => {
                let text = info::text(record);
                let start = offset.min(text.len() as u64) as usize;
                let end = start + length(text.len() as u64) as usize;
                Ok(text.as_bytes()[start..end].to_vec())
            }
            Node::Dir { .. } => Err(Errno::EISDIR),
            Node::Link { .. } => Err(Errno::EINVAL),
        }
    }

    fn seek(&self, node: &Node, offset: i64, whence: i32) -> Result<i64, Errno> {
        let Node::Disk(record) = node else {
            return Err(Errno::EINVAL);
        };
        let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        if from >= record.size_bytes {
            return Err(Errno::ENXIO);
        }
        let map = self
            .disks
            .map(record.id)
            .map_err(|error| failed(record.id, &error))?;
        let found = match whence {
            SEEK_DATA => map.seek_data(from),
            SEEK_HOLE => map.seek_hole(from),
            _ => return Err(Errno::EINVAL),
        };
        found
            .and_then(|at| i64::try_from(at).ok())
            .ok_or(Errno::ENXIO)
    }
}

/// Data stays in the page cache after a close, and there is nothing to flush.
const KEEP_CACHE_NO_FLUSH: FopenFlags =
    FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);

/// `lseek(2)` on Linux.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

fn failed(snapshot: uuid::Uuid, error: &io::Error) -> Errno {
    tracing::warn!(%snapshot, %error, "not read");
    Errno::EIO
}

/// The node of an inode in the present tree.
fn find(tree: &Tree, ino: INodeNo) -> Result<Node, Errno> {
    tree.node(u64::from(ino)).ok_or(Errno::ENOENT)
}

impl Filesystem for SnapshotFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Less is fine where the kernel allows less.
        if let Err(most) = config.set_max_readahead(READ_AHEAD) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let Some(name) = name.to_str() else {
            return reply.error(Errno::ENOENT);
        };
        let find = |tree: Arc<Tree>| {
            let ino = tree.lookup(u64::from(parent), name)?;
            Some((INodeNo(ino), tree.node(ino)?))
        };
        let found = find(self.names.tree()).or_else(|| find(self.names.fresh_tree()));
        let Some((ino, node)) = found else {
            return reply.error(Errno::ENOENT);
        };
        let (attr, ttl) = self.attributes(ino, &node);
        reply.entry_with_ttls(&LONG, &ttl, &attr, Generation(0));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match find(&self.names.tree(), ino) {
            Ok(node) => {
                let (attr, ttl) = self.attributes(ino, &node);
                reply.attr(&ttl, &attr);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.names.fresh_tree().node(u64::from(ino)) {
            Some(Node::Link { target, .. }) => reply.data(target.as_bytes()),
            Some(_) => reply.error(Errno::EINVAL),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match find(&self.names.tree(), ino) {
            Ok(_) => reply.opened(FileHandle(0), KEEP_CACHE_NO_FLUSH),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let node = find(&self.names.tree(), ino);
        match node.and_then(|node| self.read_node(&node, offset, size)) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        }
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let node = find(&self.names.tree(), ino);
        match node.and_then(|node| self.seek(&node, offset, whence)) {
            Ok(at) => reply.offset(at),
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let tree = self.names.fresh_tree();
        let Some(mut entries) = tree.entries(u64::from(ino)) else {
            return reply.error(Errno::ENOTDIR);
        };
        let dir = |name: &str, ino| Entry {
            name: name.to_owned(),
            ino,
            kind: EntryKind::Dir,
        };
        let parent = tree.parent(u64::from(ino));
        entries.splice(..0, [dir(".", u64::from(ino)), dir("..", parent)]);
        let mut listings = self.listings();
        if listings.len() >= LISTINGS_MAX {
            return reply.error(Errno::ENFILE);
        }
        let handle = self.next_listing.fetch_add(1, Ordering::Relaxed);
        listings.insert(handle, Arc::new(entries));
        drop(listings);
        reply.opened(FileHandle(handle), FopenFlags::empty());
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = self.listings().get(&u64::from(handle)).cloned();
        let Some(entries) = entries else {
            return reply.error(Errno::EBADF);
        };
        let numbered = entries.iter().zip(1u64..);
        for (entry, next) in numbered.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let kind = match entry.kind {
                EntryKind::Dir => FileType::Directory,
                EntryKind::File => FileType::RegularFile,
                EntryKind::Link => FileType::Symlink,
            };
            if reply.add(INodeNo(entry.ino), next, kind, &entry.name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.listings().remove(&u64::from(handle));
        reply.ok();
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        // There are none; after this answer the kernel does not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        // Read-only and without a size of its own.
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }
}
