//! A disk in memory that remembers what was synced, for finding out what a power loss can do.
//!
//! [`SimIo`] is deterministic: no threads, files, clock or randomness of the system. It records
//! every operation that changed something. [`SimIo::crash`] makes one of the disks that a power
//! loss after any of them may leave behind; making one copies pointers, not files, so tens of
//! thousands a second can be looked at. [`SimIo::inject`] makes operations fail.
//!
//! ```
//! use std::path::Path;
//! use store::disk::sim::{Crash, SimIo, SplitMix64, Survive};
//! use store::disk::{Caching, Create, Io};
//!
//! let sim = SimIo::new(1);
//! let file = sim.open(Path::new("/file"), Create::New, Caching::Buffered)?;
//! sim.sync_dir(Path::new("/"))?;
//! file.write_at(b"synced", 0)?;
//! file.sync_data()?;
//! file.write_at(b"gone", 6)?;
//! let crash = Crash::new(Survive::Nothing);
//! let after = sim.crash(sim.op_count(), &crash, &mut SplitMix64::new(7));
//! let file = after.open(Path::new("/file"), Create::Never, Caching::Buffered)?;
//! assert_eq!(file.len()?, 6);
//! # std::io::Result::Ok(())
//! ```

mod content;
mod crash;
mod fault;
mod file;
mod history;
mod image;
mod rng;
mod state;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crash::{Crash, Survive};
pub use fault::{Effect, Fault, OpKind};
pub use rng::SplitMix64;

use super::{Caching, Create, Entry, File, Io, Space};
use crash::image_after;
use file::SimFile;
use history::History;
use image::{Image, Name, NameChange, Node};
use state::State;

/// The disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimIo {
    state: Arc<Mutex<State>>,
}

/// The state, also after a test has panicked while holding it.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SimIo {
    /// An empty disk; `seed` decides what [`Io::random`] answers, nothing else.
    pub fn new(seed: u64) -> Self {
        Self::from_image(Image::empty(), seed)
    }

    fn from_image(image: Image, seed: u64) -> Self {
        let state = Arc::new(Mutex::new(State::new(image, seed)));
        Self { state }
    }

    /// Number of operations in the history: those that succeeded in changing or syncing something.
    pub fn op_count(&self) -> usize {
        lock(&self.state).history.ops.len()
    }

    /// The history, one line an operation, for messages of failing tests.
    pub fn ops(&self) -> Vec<String> {
        lock(&self.state)
            .history
            .ops
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    /// Number of operations of a kind in the history, from operation `since` on.
    pub fn count_of(&self, kind: OpKind, since: usize) -> usize {
        let state = lock(&self.state);
        let ops = state.history.ops.iter().skip(since);
        ops.filter(|op| op.kind == kind).count()
    }

    /// How often anybody has said what will be read.
    pub fn advice_count(&self) -> usize {
        lock(&self.state).advices
    }

    /// Starts a new history here; all that happened before counts as durable.
    pub fn forget_history(&self) {
        let mut state = lock(&self.state);
        state.history = History::new(state.image.clone());
    }

    /// One of the disks that losing power right after the first `at` operations may leave. It has
    /// no history and no faults; its clock and its space are those of this one.
    pub fn crash(&self, at: usize, crash: &Crash, rng: &mut SplitMix64) -> Self {
        let state = lock(&self.state);
        let at = at.min(state.history.ops.len());
        let image = image_after(&state.history, at, crash, rng);
        let after = Self::from_image(image, rng.next_u64());
        {
            let mut fresh = lock(&after.state);
            fresh.now_us = state.now_us;
            fresh.total_bytes = state.total_bytes;
        }
        after
    }

    /// Adds a fault; the first that strikes an operation decides.
    pub fn inject(&self, fault: Fault) {
        lock(&self.state).faults.push(fault);
    }

    /// Tells `watcher` of every operation that changes or syncs something, while it happens and on
    /// the thread that does it. It must not use the disk; it may panic.
    pub fn watch(&self, watcher: impl FnMut(OpKind, &Path) + Send + 'static) {
        lock(&self.state).watcher = Some(Box::new(watcher));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        lock(&self.state).faults.clear();
    }

    /// Sets the capacity; writing and allocating beyond it is `StorageFull`.
    pub fn set_space_bytes(&self, total_bytes: u64) {
        lock(&self.state).total_bytes = total_bytes;
    }

    /// Sets the capacity so that this much of it is left.
    pub fn leave_free(&self, free_bytes: u64) {
        let mut state = lock(&self.state);
        state.total_bytes = state.image.allocated_bytes() + free_bytes;
    }

    /// Sets the clock. Asking for the time moves it by one microsecond.
    pub fn set_now_us(&self, now_us: u64) {
        lock(&self.state).now_us = now_us;
    }
}

impl Io for SimIo {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let name = Name::of(path)?;
        let path: Arc<Path> = Arc::from(path);
        let mut state = lock(&self.state);
        state
            .image
            .folder(&name.folder)
            .ok_or(io::ErrorKind::NotFound)?;
        let file = match (state.image.node(&name), create) {
            (Some(Node::Folder), _) => return Err(io::ErrorKind::IsADirectory.into()),
            (Some(Node::File(_)), Create::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (Some(Node::File(file)), Create::Never | Create::IfMissing) => file,
            (None, Create::Never) => return Err(io::ErrorKind::NotFound.into()),
            (None, Create::New | Create::IfMissing) => state.create_file(&path, name)?,
        };
        let opened = SimFile::new(&self.state, &mut state, path, file, caching);
        Ok(Arc::new(opened))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let path = Arc::from(from);
        let (from, to) = (Name::of(from)?, Name::of(to)?);
        let mut state = lock(&self.state);
        state
            .image
            .folder(&to.folder)
            .ok_or(io::ErrorKind::NotFound)?;
        check_file(state.image.node(&from))?;
        if state.image.node(&to) == Some(Node::Folder) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        state.change_names(OpKind::Rename, &path, NameChange::Rename { from, to })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let name = Name::of(path)?;
        let mut state = lock(&self.state);
        check_file(state.image.node(&name))?;
        state.change_names(
            OpKind::Remove,
            &Arc::from(path),
            NameChange::Remove { name },
        )
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.image.folder(path).is_some() {
            return Ok(());
        }
        let ancestors: Vec<&Path> = path.ancestors().collect();
        for &folder in ancestors.iter().rev() {
            if state.image.folder(folder).is_some() {
                continue;
            }
            let name = Name::of(folder)?;
            if state.image.node(&name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let node = Node::Folder;
            let change = NameChange::Create { name, node };
            state.change_names(OpKind::Create, &Arc::from(folder), change)?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = lock(&self.state);
        let folder = state.image.folder(path).ok_or(io::ErrorKind::NotFound)?;
        let entry = |(name, node): (&String, &Node)| Entry {
            name: name.clone(),
            is_dir: *node == Node::Folder,
        };
        Ok(folder.iter().map(entry).collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        lock(&self.state).sync_dir(path)
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = lock(&self.state);
        Ok(Space {
            total_bytes: state.total_bytes,
            free_bytes: state.free_bytes(),
        })
    }

    fn now_us(&self) -> u64 {
        let mut state = lock(&self.state);
        state.now_us += 1;
        state.now_us
    }

    fn random(&self, buffer: &mut [u8]) {
        lock(&self.state).rng.fill(buffer);
    }
}

fn check_file(node: Option<Node>) -> io::Result<()> {
    match node {
        Some(Node::File(_)) => Ok(()),
        Some(Node::Folder) => Err(io::ErrorKind::IsADirectory.into()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests;
