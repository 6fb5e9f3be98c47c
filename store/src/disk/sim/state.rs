//! A simulated disk's present state, its history, its faults and its limits.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::content::{Content, ContentChange};
use super::fault::{Effect, Fault, OpKind, eio, no_space, strike};
use super::history::{Change, History, Op};
use super::image::{Image, Name, NameChange, Node};
use super::rng::SplitMix64;

/// Capacity unless a test sets another.
const DEFAULT_SPACE_BYTES: u64 = 1 << 40;

/// How long a slow operation takes.
const SLOW_US: u64 = 3_000_000;

/// Who is told of each operation.
pub(super) type Watcher = Box<dyn FnMut(OpKind, &Path) + Send>;

/// Everything behind the lock of a simulated disk.
pub(super) struct State {
    pub(super) image: Image,
    pub(super) history: History,
    pub(super) faults: Vec<Fault>,
    pub(super) watcher: Option<Watcher>,
    pub(super) total_bytes: u64,
    pub(super) now_us: u64,
    pub(super) rng: SplitMix64,
    /// How often anybody has said what will be read.
    pub(super) advices: usize,
    next_file: u64,
    next_handle: u64,
    /// Open handles of each file, and which of them has its lock.
    open: BTreeMap<u64, OpenFile>,
}

#[derive(Default)]
struct OpenFile {
    handles: u64,
    locked_by: Option<u64>,
    unlinked: bool,
}

impl State {
    pub(super) fn new(image: Image, seed: u64) -> Self {
        Self {
            next_file: image.files.keys().last().map_or(1, |last| last + 1),
            history: History::new(image.clone()),
            image,
            faults: Vec::new(),
            watcher: None,
            total_bytes: DEFAULT_SPACE_BYTES,
            now_us: 1,
            rng: SplitMix64::new(seed),
            advices: 0,
            next_handle: 1,
            open: BTreeMap::new(),
        }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.total_bytes
            .saturating_sub(self.image.allocated_bytes())
    }

    /// The bytes of a file; empty if it is gone, which an open one never is.
    pub(super) fn content(&self, file: u64) -> Option<&Content> {
        self.image.files.get(&file).map(|content| &**content)
    }

    /// The bytes of a file past the cache, where that shows others.
    pub(super) fn behind_the_cache(&mut self, file: u64) -> Option<Content> {
        self.history.behind_the_cache(file)
    }

    /// Makes the cache of a file show what the disk has.
    pub(super) fn forget_cached(&mut self, file: u64) {
        if let Some(content) = self.history.behind_the_cache(file) {
            self.image.files.insert(file, Arc::new(content));
            self.history.together(file);
        }
    }

    /// What strikes an operation that is about to run.
    pub(super) fn strike(&mut self, kind: OpKind) -> Option<Effect> {
        let struck = strike(&mut self.faults, kind);
        if struck == Some(Effect::Slow) {
            self.now_us += SLOW_US;
        }
        struck.filter(|effect| *effect != Effect::Slow)
    }

    fn record(&mut self, kind: OpKind, path: &Arc<Path>, change: Change) {
        if let Some(watcher) = &mut self.watcher {
            watcher(kind, path);
        }
        let path = Arc::clone(path);
        self.history.push(Op { kind, path, change }, &self.image);
    }

    /// Changes a file's bytes.
    pub(super) fn change_content(
        &mut self,
        kind: OpKind,
        path: &Arc<Path>,
        file: u64,
        change: ContentChange,
    ) -> io::Result<()> {
        let (change, outcome) = match (self.strike(kind), change) {
            (None | Some(Effect::Lie | Effect::Slow), change) => (change, Ok(())),
            (Some(Effect::ShortWrite), ContentChange::Write { offset, data }) => {
                let data = Arc::from(&data[..data.len() / 2]);
                (ContentChange::Write { offset, data }, Err(eio()))
            }
            (Some(Effect::NoSpace), _) => return Err(no_space()),
            (Some(Effect::Eio | Effect::ShortWrite), _) => return Err(eio()),
        };
        let content = self.image.file_mut(file);
        let growth = content.growth_bytes(&change);
        if growth > 0 && growth > self.free_bytes() {
            return Err(no_space());
        }
        self.image.file_mut(file).apply(&change);
        self.record(kind, path, Change::Content { file, change });
        outcome
    }

    /// Changes names, which the caller has checked to be possible.
    pub(super) fn change_names(
        &mut self,
        kind: OpKind,
        path: &Arc<Path>,
        change: NameChange,
    ) -> io::Result<()> {
        fail_if_struck(self.strike(kind))?;
        let replaced = match &change {
            NameChange::Create { .. } => None,
            NameChange::Remove { name } => self.image.node(name),
            NameChange::Rename { from, to } if from == to => None,
            NameChange::Rename { to, .. } => self.image.node(to),
        };
        self.image.apply(&change);
        self.record(kind, path, Change::Names(change));
        if let Some(Node::File(file)) = replaced {
            self.unlink(file);
        }
        Ok(())
    }

    pub(super) fn sync_data(&mut self, path: &Arc<Path>, file: u64) -> io::Result<()> {
        let struck = self.strike(OpKind::SyncData);
        if let Err(error) = fail_if_struck(struck) {
            self.history.doom(file);
            return Err(error);
        }
        let honest = struck.is_none();
        self.record(OpKind::SyncData, path, Change::SyncData { file, honest });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        self.image.folder(path).ok_or(io::ErrorKind::NotFound)?;
        let struck = self.strike(OpKind::SyncDir);
        fail_if_struck(struck)?;
        let change = Change::SyncDir {
            folder: path.to_owned(),
            honest: struck.is_none(),
        };
        self.record(OpKind::SyncDir, &Arc::from(path), change);
        Ok(())
    }

    /// Creates an empty file.
    pub(super) fn create_file(&mut self, path: &Arc<Path>, name: Name) -> io::Result<u64> {
        let file = self.next_file;
        let node = Node::File(file);
        self.change_names(OpKind::Create, path, NameChange::Create { name, node })?;
        self.next_file += 1;
        Ok(file)
    }

    /// Counts a new handle of a file and names it.
    pub(super) fn add_handle(&mut self, file: u64) -> u64 {
        self.open.entry(file).or_default().handles += 1;
        self.next_handle += 1;
        self.next_handle
    }

    pub(super) fn lock(&mut self, file: u64, handle: u64) -> io::Result<()> {
        let open = self.open.entry(file).or_default();
        if *open.locked_by.get_or_insert(handle) == handle {
            return Ok(());
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Forgets a handle, its lock, and the file if nothing leads to it any more.
    pub(super) fn drop_handle(&mut self, file: u64, handle: u64) {
        let Some(open) = self.open.get_mut(&file) else {
            return;
        };
        open.handles -= 1;
        if open.locked_by == Some(handle) {
            open.locked_by = None;
        }
        if open.handles == 0 {
            let unlinked = open.unlinked;
            self.open.remove(&file);
            if unlinked {
                self.image.files.remove(&file);
            }
        }
    }

    fn unlink(&mut self, file: u64) {
        match self.open.get_mut(&file) {
            Some(open) => open.unlinked = true,
            None => drop(self.image.files.remove(&file)),
        }
    }
}

/// The error of a struck operation that cannot happen by halves.
pub(super) fn fail_if_struck(struck: Option<Effect>) -> io::Result<()> {
    match struck {
        None | Some(Effect::Lie | Effect::Slow) => Ok(()),
        Some(Effect::NoSpace) => Err(no_space()),
        Some(Effect::Eio | Effect::ShortWrite) => Err(eio()),
    }
}
