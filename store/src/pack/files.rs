//! The pack files of a pool: appending containers, making them durable, giving their space back.
//!
//! A file takes containers until it has [`PACK_BYTES`] and is then left alone; after a restart a new
//! one is begun. Numbers of pack files are never used twice. [`PackSet::append`] makes nothing
//! durable: [`PackSet::sync`] does, and must have returned before the index names the places.
//!
//! After a failed sync nothing is accepted any more: what reached the disk is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::LocalPlace;
use super::format::{self, Bad, Directory, FOOTER_BYTES, HEADER_BYTES, Header};
use super::handles::{self, Handles};
use super::writer::SealedContainer;
use crate::addr::ContainerId;
use crate::disk::{Caching, Create, File, Io};
use crate::error::{Error, ErrorKind, Result};

/// A file at least this long takes no further container: big enough that files stay few, small
/// enough that one is soon free of live containers and can be removed.
const PACK_BYTES: u64 = 64 << 20;

/// The file being filled.
struct Current {
    pack: u64,
    file: Arc<dyn File>,
    end: u64,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    next_pack: u64,
    /// Live containers of each file: offset and length.
    live: BTreeMap<u64, BTreeMap<u64, u32>>,
    adopted: bool,
    /// Files written since the last sync; their handles stay open until then.
    dirty: BTreeMap<u64, Arc<dyn File>>,
    dirty_folders: BTreeSet<PathBuf>,
}

/// All pack files of a pool.
pub(crate) struct PackSet {
    pub(super) io: Arc<dyn Io>,
    pub(super) dir: PathBuf,
    pub(super) pool_id: [u8; 16],
    handles: Handles,
    state: Mutex<State>,
    /// Held while syncing, so that a second caller does not return before the first is done.
    syncing: Mutex<()>,
    failed: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded state is consistent between statements, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bad {
    /// The public error for `what`.
    pub(super) fn error(self, what: &str) -> Error {
        match self {
            Self::Unsupported => Error::new(
                ErrorKind::UnsupportedFormat,
                format!("{what}: written by a newer version"),
            ),
            Self::Magic => Error::new(ErrorKind::Corrupt, format!("{what}: magic not found")),
            Self::Short => Error::new(ErrorKind::Corrupt, format!("{what}: too short")),
            Self::Field(field) => {
                Error::new(ErrorKind::Corrupt, format!("{what}: impossible {field}"))
            }
            Self::Checksum { expected, found } => Error::new(
                ErrorKind::Corrupt,
                format!("{what}: checksum {found:08x}, expected {expected:08x}"),
            ),
        }
    }
}

/// Names a container in errors.
pub(super) fn describe(container: ContainerId, place: &LocalPlace) -> String {
    let (id, LocalPlace { pack, offset, .. }) = (container.0, place);
    format!("container {id} in pack {pack} at offset {offset}")
}

impl PackSet {
    /// The pack files in `dir`, which is created if needed. `next_pack` is the number of the next
    /// new file as the index knows it; files that are already there push it up.
    pub(crate) fn open(
        io: Arc<dyn Io>,
        dir: PathBuf,
        pool_id: [u8; 16],
        next_pack: u64,
    ) -> Result<Self> {
        let context = |e| Error::io(format!("creating {}", dir.display()), e);
        io.create_dir(&dir).map_err(context)?;
        let named = |parent: &&Path| !parent.as_os_str().is_empty();
        if let Some(parent) = dir.parent().filter(named) {
            io.sync_dir(parent).map_err(context)?;
        }
        let newest = handles::list(&*io, &dir)?.last().copied();
        let state = State {
            next_pack: next_pack.max(newest.map_or(1, |newest| newest.saturating_add(1))),
            ..State::default()
        };
        Ok(Self {
            handles: Handles::new(io.clone(), dir.clone(), pool_id),
            io,
            dir,
            pool_id,
            state: Mutex::new(state),
            syncing: Mutex::new(()),
            failed: AtomicBool::new(false),
        })
    }

    /// Takes over the places of all containers that the index knows. To be called once, before
    /// [`Self::free`] and [`Self::remove_orphans`].
    pub(crate) fn adopt(&self, live: &[LocalPlace]) -> Result<()> {
        let mut state = lock(&self.state);
        for place in live {
            if !format::is_plausible(place) {
                let context = format!("impossible place {place:?} of a container");
                return Err(Error::new(ErrorKind::Corrupt, context));
            }
            let pack = state.live.entry(place.pack).or_default();
            pack.insert(place.offset, place.len);
            state.next_pack = state.next_pack.max(place.pack + 1);
        }
        state.adopted = true;
        Ok(())
    }

    /// Number that the next new file will have.
    pub(crate) fn next_pack(&self) -> u64 {
        lock(&self.state).next_pack
    }

    /// Writes a container to the current file. Not durable before the next [`Self::sync`].
    pub(crate) fn append(&self, container: &SealedContainer) -> Result<LocalPlace> {
        self.check_usable()?;
        let (place, file) = self.reserve(container.bytes.len() as u32)?;
        if let Err(e) = file.write_at(&container.bytes, place.offset) {
            self.unreserve(&place);
            return Err(Error::io(
                format!("writing {}", describe(container.id, &place)),
                e,
            ));
        }
        lock(&self.state).dirty.insert(place.pack, file);
        Ok(place)
    }

    /// Makes everything appended before the call durable, names included.
    pub(crate) fn sync(&self) -> Result<()> {
        let _turn = lock(&self.syncing);
        self.check_usable()?;
        let (files, folders) = {
            let mut state = lock(&self.state);
            (
                std::mem::take(&mut state.dirty),
                std::mem::take(&mut state.dirty_folders),
            )
        };
        let result = self.sync_all(&files, &folders);
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        result
    }

    /// Gives a container's blocks back, and the file with its last live container. The index must
    /// have forgotten the place durably, and its readers must be gone.
    pub(crate) fn free(&self, place: &LocalPlace) -> Result<()> {
        let unused = {
            let mut state = lock(&self.state);
            let known = state.live.get_mut(&place.pack);
            let Some(pack) = known.filter(|pack| pack.get(&place.offset) == Some(&place.len))
            else {
                let context = format!("{place:?} is not the place of a live container");
                return Err(Error::new(ErrorKind::InvalidInput, context));
            };
            pack.remove(&place.offset);
            let filling = state.current.as_ref().map(|current| current.pack);
            state.take_unused(place.pack, filling)
        };
        if unused {
            return self.remove_file(place.pack);
        }
        let punch = |file: Arc<dyn File>| file.punch(place.offset, u64::from(place.len));
        let context = |e| Error::io(format!("giving back {place:?}"), e);
        punch(self.handles.get(place.pack)?).map_err(context)
    }

    /// What the container at `place` says it holds.
    pub(crate) fn read_directory(&self, place: &LocalPlace, id: ContainerId) -> Result<Directory> {
        // A second look tells damage on the way from damage on the disk.
        let directory = self
            .try_directory(place, id)
            .or_else(|first| match first.kind() {
                ErrorKind::Corrupt => self.try_directory(place, id),
                _ => Err(first),
            })?;
        if directory.header.id == id && directory.header.total_len == place.len {
            return Ok(directory);
        }
        let context = format!("{}: another container is there", describe(id, place));
        Err(Error::new(ErrorKind::Corrupt, context))
    }

    /// Numbers of all pack files.
    pub(crate) fn packs(&self) -> Result<Vec<u64>> {
        handles::list(&*self.io, &self.dir)
    }

    /// Live containers of a file, as offset and length, if nothing will be appended to it any more;
    /// none for a file that nobody knows. Fails before [`Self::adopt`].
    pub(super) fn settled(&self, pack: u64) -> Result<Option<Vec<(u64, u32)>>> {
        let state = lock(&self.state);
        if !state.adopted {
            let context = "orphans are unknown before the live containers are";
            return Err(Error::new(ErrorKind::InvalidInput, context));
        }
        if state
            .current
            .as_ref()
            .is_some_and(|current| current.pack == pack)
        {
            return Ok(None);
        }
        let live = state.live.get(&pack).into_iter().flatten();
        Ok(Some(live.map(|(offset, len)| (*offset, *len)).collect()))
    }

    /// Length of a pack file whatever is in it; 0 if it cannot be told.
    pub(super) fn raw_len(&self, pack: u64) -> u64 {
        let path = handles::path(&self.dir, pack);
        let open = self.io.open(&path, Create::Never, Caching::Buffered);
        open.and_then(|file| file.len()).unwrap_or(0)
    }

    /// An open handle of a pack file.
    pub(super) fn file(&self, pack: u64) -> Result<Arc<dyn File>> {
        self.handles.get(pack)
    }

    fn try_directory(&self, place: &LocalPlace, id: ContainerId) -> Result<Directory> {
        let what = || format!("directory of {}", describe(id, place));
        if !format::is_plausible(place) || (place.len as usize) < HEADER_BYTES + FOOTER_BYTES {
            return Err(Bad::Field("place").error(&what()));
        }
        let file = self.handles.get(place.pack)?;
        let mut start = [0; HEADER_BYTES];
        handles::read(&*file, &mut start, place.offset, what)?;
        let header = Header::parse(&start).map_err(|bad| bad.error(&what()))?;
        if header.total_len != place.len {
            return Err(Bad::Field("length").error(&what()));
        }
        let len = (header.total_len - header.directory_offset) as usize;
        let mut tail = vec![0; len];
        let offset = place.offset + u64::from(header.directory_offset);
        handles::read(&*file, &mut tail, offset, what)?;
        Directory::parse(&start, &tail).map_err(|bad| bad.error(&what()))
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed.load(Ordering::Acquire) {
            let context = "an earlier sync of a pack file failed";
            return Err(Error::new(ErrorKind::Failed, context));
        }
        Ok(())
    }

    /// Sets room aside in the current file, or in a new one.
    fn reserve(&self, len: u32) -> Result<(LocalPlace, Arc<dyn File>)> {
        let (reserved, finished) = {
            let mut state = lock(&self.state);
            let finished = state.close_current_if_full();
            if state.current.is_none() {
                self.begin_file(&mut state)?;
            }
            (state.reserve(len), finished)
        };
        if let Some(pack) = finished {
            self.remove_file(pack)?;
        }
        Ok(reserved)
    }

    fn unreserve(&self, place: &LocalPlace) {
        let mut state = lock(&self.state);
        if let Some(pack) = state.live.get_mut(&place.pack) {
            pack.remove(&place.offset);
        }
        let end = place.offset + u64::from(place.len);
        if let Some(current) = &mut state.current
            && current.pack == place.pack
            && current.end == end
        {
            current.end = place.offset;
        }
    }

    fn begin_file(&self, state: &mut State) -> Result<()> {
        let pack = state.next_pack;
        let (folder, path) = (
            handles::folder(&self.dir, pack),
            handles::path(&self.dir, pack),
        );
        let context = |e| Error::io(format!("creating {}", path.display()), e);
        self.io.create_dir(&folder).map_err(context)?;
        let file = self.io.open(&path, Create::New, Caching::Buffered);
        let file = file.map_err(context)?;
        // From here on the number is taken, whatever happens to the file.
        state.next_pack += 1;
        let header = format::encode_file_header(self.pool_id, pack);
        file.write_at(&header, 0).map_err(context)?;
        self.handles.insert(pack, &file);
        state.dirty_folders.insert(folder);
        state.dirty_folders.insert(self.dir.clone());
        state.dirty.insert(pack, file.clone());
        state.live.entry(pack).or_default();
        let end = header.len() as u64;
        state.current = Some(Current { pack, file, end });
        Ok(())
    }

    fn sync_all(
        &self,
        files: &BTreeMap<u64, Arc<dyn File>>,
        folders: &BTreeSet<PathBuf>,
    ) -> Result<()> {
        for (pack, file) in files {
            file.sync_data()
                .map_err(|e| Error::io(format!("syncing pack {pack}"), e))?;
        }
        for folder in folders {
            self.sync_dir(folder)?;
        }
        Ok(())
    }

    fn sync_dir(&self, folder: &Path) -> Result<()> {
        let context = |e| Error::io(format!("syncing {}", folder.display()), e);
        self.io.sync_dir(folder).map_err(context)
    }

    pub(super) fn remove_file(&self, pack: u64) -> Result<()> {
        self.handles.forget(pack);
        lock(&self.state).dirty.remove(&pack);
        let path = handles::path(&self.dir, pack);
        match self.io.remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("removing {}", path.display()), e))
            }
            _ => Ok(()),
        }
    }
}

impl State {
    fn reserve(&mut self, len: u32) -> (LocalPlace, Arc<dyn File>) {
        let current = self.current.as_mut().expect("a file was just begun");
        let (pack, offset) = (current.pack, current.end);
        current.end += u64::from(len);
        let file = current.file.clone();
        self.live.entry(pack).or_default().insert(offset, len);
        (LocalPlace { pack, offset, len }, file)
    }

    /// Leaves a full file behind; gives its number if nothing in it lives any more.
    fn close_current_if_full(&mut self) -> Option<u64> {
        let current = self.current.take_if(|current| current.end >= PACK_BYTES)?;
        self.take_unused(current.pack, None).then_some(current.pack)
    }

    /// Forgets a file without live containers, unless it is being filled.
    fn take_unused(&mut self, pack: u64, filling: Option<u64>) -> bool {
        let unused = filling != Some(pack) && self.live.get(&pack).is_some_and(BTreeMap::is_empty);
        if unused {
            self.live.remove(&pack);
        }
        unused
    }
}
