//! What the journal does to its files so that syncs are cheap, and what it believes of them.

use std::io;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::disk::sim::{Crash, SimIo, SplitMix64, Survive};
use crate::disk::{Caching, Create, Entry, File, Io, RecordingIo, Space};
use crate::model::{open, options, spec};
use crate::{Durability, OpenOptions, Store, VolumeId};

const CHUNK: usize = 4096;
const VOLUME: VolumeId = VolumeId(Uuid::from_u128(1));

/// A disk whose journal, read through the page cache, looks like that of another disk: as it does
/// once the system has dropped what it could not write.
struct StaleCache {
    disk: SimIo,
    cache: SimIo,
}

struct StaleFile {
    disk: Arc<dyn File>,
    cache: Arc<dyn File>,
}

impl Io for StaleCache {
    fn open(&self, path: &Path, create: Create, caching: Caching) -> io::Result<Arc<dyn File>> {
        let disk = self.disk.open(path, create, caching)?;
        let journal = path.extension().is_some_and(|extension| extension == "wal");
        if !journal || caching == Caching::Direct {
            return Ok(disk);
        }
        let cache = self.cache.open(path, Create::Never, caching)?;
        Ok(Arc::new(StaleFile { disk, cache }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.disk.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.disk.space(path)
    }

    fn now_us(&self) -> u64 {
        self.disk.now_us()
    }

    fn random(&self, buffer: &mut [u8]) {
        self.disk.random(buffer);
    }
}

impl File for StaleFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.cache.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.disk.write_at(data, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.allocate(offset, len)
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        self.disk.punch(offset, len)
    }

    fn lock(&self) -> io::Result<()> {
        self.disk.lock()
    }
}

fn chunk_of(store: &Store) -> [u8; CHUNK] {
    let mut found = [0; CHUNK];
    store.volume(VOLUME).unwrap().read(0, &mut found).unwrap();
    found
}

#[test]
fn what_only_the_page_cache_has_is_not_recovered() {
    let sim = SimIo::new(1);
    let store = open(&sim).unwrap();
    store.create_volume(VOLUME, spec(1 << 20)).unwrap();
    let volume = store.volume(VOLUME).unwrap();
    volume.write(0, &[1; CHUNK], Durability::Durable).unwrap();
    let first = sim.op_count();
    volume.write(0, &[2; CHUNK], Durability::Durable).unwrap();
    let mut rng = SplitMix64::new(1);
    let cache = sim.crash(sim.op_count(), &Crash::new(Survive::Everything), &mut rng);
    let disk = sim.crash(first, &Crash::new(Survive::Everything), &mut rng);
    assert_eq!(chunk_of(&open(&cache).unwrap()), [2; CHUNK]);

    let cache = sim.crash(sim.op_count(), &Crash::new(Survive::Everything), &mut rng);
    let stale = Arc::new(StaleCache { disk, cache });
    let store = Store::open(stale, Path::new("/pool"), options()).unwrap();
    assert_eq!(chunk_of(&store), [1; CHUNK]);
}

#[test]
fn zeroes_are_written_ahead_of_small_batches_once_for_many() {
    let io = RecordingIo::new(Arc::new(SimIo::new(1)));
    let filling = OpenOptions {
        prefill_journal: true,
        ..options()
    };
    let store = Store::open(Arc::new(io.clone()), Path::new("/pool"), filling).unwrap();
    store.create_volume(VOLUME, spec(1 << 20)).unwrap();
    let volume = store.volume(VOLUME).unwrap();
    // The first makes spare files.
    volume.write(0, &[9; CHUNK], Durability::Durable).unwrap();
    let before = io.counts();
    let batches = 200;
    for byte in 0..batches {
        let data = [byte as u8 + 1; CHUNK];
        volume.write(0, &data, Durability::Durable).unwrap();
    }
    let after = io.counts();
    assert_eq!(after.syncs - before.syncs, batches);
    // A header and a block each, and 1 MiB of zeroes for every 1 MiB of those.
    let own = batches * 2 * CHUNK as u64;
    let filled = after.written_bytes - before.written_bytes - own;
    assert_eq!(
        (after.writes - before.writes, filled),
        (batches + 1, 1 << 20)
    );
}
