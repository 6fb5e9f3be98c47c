//! The bytes of snapshots, read as an NBD client of the operators' socket.
//!
//! One connection a snapshot, shared by all readers, opened when first needed and closed when idle.
//! A connection that broke is replaced once per request; after that the reader gets an error. One
//! whose server does not answer is an error at once, and the next reader's request makes a new one.
//! What a snapshot's holes are is asked once: a snapshot never changes.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nbd::{Address, Client, Timeouts, Uri};
use uuid::Uuid;

use super::datamap::DataMap;

/// Connections open at a time; the least used goes when one more is needed.
const OPEN_MAX: usize = 64;
/// A connection without requests is closed after this long.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long a reader waits for a daemon that hangs; it cannot be interrupted before.
pub(super) const TIMEOUTS: Timeouts = Timeouts {
    handshake: Duration::from_secs(5),
    request: Duration::from_secs(30),
};
/// Maps kept; each takes at most 4 MiB and mostly a few KiB.
const MAPS_MAX: usize = 1024;

/// An open snapshot.
struct Disk {
    client: Arc<Client>,
    used: Instant,
}

/// The map of one snapshot, made by whoever asks first while others wait.
type SharedMap = Arc<OnceLock<Arc<DataMap>>>;

/// All snapshots that are in use.
pub(crate) struct Disks {
    socket: PathBuf,
    timeouts: Timeouts,
    open: Mutex<HashMap<Uuid, Disk>>,
    maps: Mutex<HashMap<Uuid, SharedMap>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code can panic while holding one, so poison carries no news.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a new connection may do better at once.
fn is_lost(error: &nbd::Error) -> bool {
    matches!(error, nbd::Error::Disconnected(_) | nbd::Error::Socket(_))
}

/// Whether the connection is of no more use.
fn is_over(error: &nbd::Error) -> bool {
    is_lost(error) || matches!(error, nbd::Error::TimedOut { .. })
}

impl Disks {
    /// Snapshots behind the operators' socket at `socket`.
    pub(crate) fn new(socket: PathBuf, timeouts: Timeouts) -> Self {
        Self {
            socket,
            timeouts,
            open: Mutex::default(),
            maps: Mutex::default(),
        }
    }

    /// Fills `buffer` from `offset`, which lies with it inside the disk.
    pub(crate) fn read(&self, id: Uuid, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let known = lock(&self.maps).get(&id).and_then(|map| map.get().cloned());
        if known.is_some_and(|map| map.is_hole(offset, buffer.len() as u64)) {
            buffer.fill(0);
            return Ok(());
        }
        self.with(id, |client| client.read(offset, buffer))
    }

    /// Where the snapshot has data.
    pub(crate) fn map(&self, id: Uuid) -> io::Result<Arc<DataMap>> {
        let slot = self.slot(id);
        if let Some(map) = slot.get() {
            return Ok(map.clone());
        }
        let map = Arc::new(self.with(id, read_map)?);
        Ok(slot.get_or_init(|| map).clone())
    }

    fn slot(&self, id: Uuid) -> SharedMap {
        let mut maps = lock(&self.maps);
        if maps.len() >= MAPS_MAX && !maps.contains_key(&id) {
            // Any will do: a map is cheap to make again.
            let victim = maps.keys().next().copied();
            victim.and_then(|victim| maps.remove(&victim));
        }
        maps.entry(id).or_default().clone()
    }

    /// Runs `work` on the snapshot's connection, and once more on a new one if it is lost.
    fn with<T>(
        &self,
        id: Uuid,
        mut work: impl FnMut(&Client) -> Result<T, nbd::Error>,
    ) -> io::Result<T> {
        let first = self.attempt(id, &mut work);
        match first {
            Err(error) if is_lost(&error) => self.attempt(id, &mut work),
            done => done,
        }
        .map_err(|error| io::Error::other(error.to_string()))
    }

    fn attempt<T>(
        &self,
        id: Uuid,
        work: &mut impl FnMut(&Client) -> Result<T, nbd::Error>,
    ) -> Result<T, nbd::Error> {
        let client = self.client(id)?;
        work(&client).inspect_err(|error| {
            if is_over(error) {
                self.forget(id, &client);
            }
        })
    }

    fn client(&self, id: Uuid) -> Result<Arc<Client>, nbd::Error> {
        if let Some(disk) = lock(&self.open).get_mut(&id) {
            disk.used = Instant::now();
            return Ok(disk.client.clone());
        }
        let uri = Uri {
            address: Address::Unix(self.socket.clone()),
            export: id.to_string(),
        };
        let client = Arc::new(Client::open_with(&uri, self.timeouts)?);
        if !client.read_only() {
            return Err(nbd::Error::Usage("the snapshot's export is writable"));
        }
        let mut open = lock(&self.open);
        if open.len() >= OPEN_MAX {
            let least = open
                .iter()
                .min_by_key(|(_, disk)| disk.used)
                .map(|(id, _)| *id);
            least.and_then(|least| open.remove(&least));
        }
        let used = Instant::now();
        // Two readers may have connected at once; the later one's connection stays.
        open.insert(
            id,
            Disk {
                client: client.clone(),
                used,
            },
        );
        Ok(client)
    }

    fn forget(&self, id: Uuid, broken: &Arc<Client>) {
        let mut open = lock(&self.open);
        if open
            .get(&id)
            .is_some_and(|disk| Arc::ptr_eq(&disk.client, broken))
        {
            open.remove(&id);
        }
    }

    /// Closes connections that were not used for a while.
    pub(crate) fn close_idle(&self) {
        let mut idle = Vec::new();
        lock(&self.open).retain(|_, disk| {
            let keep = disk.used.elapsed() < IDLE_LIMIT;
            if !keep {
                idle.push(disk.client.clone());
            }
            keep
        });
        // Closing says goodbye to the server; not under the lock.
        drop(idle);
    }
}

fn read_map(client: &Client) -> Result<DataMap, nbd::Error> {
    let size = client.size_bytes();
    let mut map = DataMap::new();
    while map.size_bytes() < size {
        let at = map.size_bytes();
        let extents = client.block_status(at, size - at)?;
        for extent in extents {
            let length = extent.length.min(size - map.size_bytes());
            map.push(length, !extent.zero);
        }
        if map.size_bytes() == at {
            return Err(nbd::Error::Protocol("a block status that covers nothing"));
        }
    }
    Ok(map)
}
