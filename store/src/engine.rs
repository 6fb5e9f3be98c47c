//! The open pool: what its parts share.
//!
//! Locks, in the order in which they may be taken: `maintenance`, `structure`, volume gates (by id),
//! `cut`, `state`, a layer's overlay, the journal's. Only `maintenance` and `structure` are held over a sync.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use quick_cache::sync::Cache;

use crate::addr::{Address, ContainerId};
use crate::buffers::Buffers;
use crate::clearing::Cleared;
use crate::disk::{File, Io};
use crate::dump::Dumps;
use crate::encryption::Nonces;
use crate::epoch::Epochs;
use crate::index::{ContainerRow, ForwardRow, Index, IndexRead, LayerId, Run};
use crate::journal::{ContainerIds, Journal, poisoned};
use crate::keys::Keys;
use crate::maintain::{Maintenance, Threads};
use crate::pack::files::PackSet;
use crate::pack::reader::Reader;
use crate::places::Places;
use crate::pool_file::PoolFile;
use crate::recompress::Recompressor;
use crate::reserve::Reserve;
use crate::room::Ranges;
use crate::scrub::Scrub;
use crate::shares::Shares;
use crate::state::{Counters, State};
use crate::{Error, ErrorKind, Result};

/// A run as seen through the stack that starts at some layer.
#[derive(Clone)]
pub(crate) struct SeenRun {
    /// The layer it belongs to; `None` when no layer of the stack has the run.
    pub(crate) owner: Option<LayerId>,
    pub(crate) run: Arc<Run>,
}

/// Runs seen lately. `version` moves with every checkpoint; a run looked up before may not be put in
/// after, so what is in the cache is never older than the index.
pub(crate) struct RunCache {
    pub(crate) version: RwLock<u64>,
    pub(crate) runs: Cache<(LayerId, u32), SeenRun>,
}

/// Parts of the open pool.
pub(crate) struct Engine {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) dir: PathBuf,
    pub(crate) pool_file: Mutex<PoolFile>,
    pub(crate) keys: Keys,
    pub(crate) nonces: Nonces,
    pub(crate) index: Index,
    /// The file behind `index`.
    pub(crate) meta: Arc<dyn File>,
    pub(crate) journal: Journal,
    pub(crate) containers: Arc<ContainerIds>,
    pub(crate) packs: Arc<PackSet>,
    pub(crate) reader: Reader,
    pub(crate) state: RwLock<State>,
    /// One change of volumes or layers at a time.
    pub(crate) structure: Mutex<()>,
    /// Shared by whoever appends and then changes an overlay; alone for the cut of a checkpoint.
    pub(crate) cut: RwLock<()>,
    pub(crate) places: RwLock<Places>,
    pub(crate) forwards: Cache<ContainerId, Arc<ForwardRow>>,
    pub(crate) run_cache: RunCache,
    pub(crate) epochs: Epochs,
    pub(crate) counters: Counters,
    pub(crate) dedup_hit_bytes: AtomicU64,
    pub(crate) raw_quota_bytes: u64,
    pub(crate) shares: Shares,
    /// Memory of the journal's batches and of decoded frames.
    pub(crate) buffers: Arc<Buffers>,
    /// Memory that the sampled fingerprints claim.
    pub(crate) hook_bytes: Arc<AtomicU64>,
    pub(crate) maintenance: Mutex<Maintenance>,
    /// Held while waiting for `maintenance`, so that those who take it again and again let others in.
    pub(crate) maintenance_queue: Mutex<()>,
    pub(crate) threads: Threads,
    pub(crate) dumps: Dumps,
    pub(crate) scrub: Scrub,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) recompressor: Recompressor,
    pub(crate) ranges: Ranges,
    pub(crate) cleared: Cleared,
    /// Bytes of packs given back since the pool was opened.
    pub(crate) freed_bytes: AtomicU64,
}

/// Where the chunks of a container are now.
pub(crate) enum Place {
    /// In a journal segment.
    Journal(Arc<crate::journal::segment::Segment>),
    /// In a pack file.
    Packed(ContainerRow),
    /// Each slot somewhere else.
    Forwarded(Arc<ForwardRow>),
}

impl Engine {
    /// Takes the state of background work, in the order of asking.
    ///
    /// # Errors
    /// `Failed` when an earlier holder panicked: what it did is half done.
    pub(crate) fn maintenance(&self) -> Result<MutexGuard<'_, Maintenance>> {
        let broken = "background work broke off in the middle";
        let stopped = || Error::new(ErrorKind::Failed, broken);
        let _next = self.maintenance_queue.lock().map_err(|_| stopped())?;
        self.maintenance.lock().map_err(|_| stopped())
    }

    /// Refuses background work on a pool that has stopped. What a checkpoint had cut when it failed is
    /// neither in the index nor marked as missing there, so nothing may be concluded from either.
    ///
    /// # Errors
    /// `Failed`, which is never taken for a mere lack of space.
    pub(crate) fn check_usable(&self) -> Result<()> {
        if self.journal.has_failed() {
            let context = "an earlier write or sync failed";
            return Err(Error::new(ErrorKind::Failed, context));
        }
        Ok(())
    }

    /// Takes a container id, for a container or for sealing one anew.
    ///
    /// # Errors
    /// `Busy` when all that are reserved are taken.
    pub(crate) fn take_container_id(&self) -> Result<ContainerId> {
        let id = self.containers.take(1).map(ContainerId);
        id.ok_or_else(|| Error::new(ErrorKind::Busy, "container ids wait for a checkpoint"))
    }

    /// Counts bytes of packs that were given back.
    pub(crate) fn note_freed(&self, bytes: u64) {
        self.freed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Finds a container. A caller that goes on to read holds an epoch guard from before it learnt
    /// the address.
    ///
    /// # Errors
    /// `Corrupt` when nothing knows the container.
    pub(crate) fn place(&self, container: ContainerId) -> Result<Place> {
        if let Some(segment) = self.journal.segment_of(container) {
            return Ok(Place::Journal(segment));
        }
        if let Some(row) = self.places.read().expect(poisoned!()).get(container) {
            return Ok(Place::Packed(row));
        }
        match self.forward(container)? {
            Some(row) => Ok(Place::Forwarded(row)),
            None => {
                let context = format!("container {} is in no table", container.0);
                Err(Error::new(ErrorKind::Corrupt, context))
            }
        }
    }

    /// Where the slots of a packed journal window went.
    pub(crate) fn forward(&self, container: ContainerId) -> Result<Option<Arc<ForwardRow>>> {
        if let Some(row) = self.forwards.get(&container) {
            return Ok(Some(row));
        }
        let Some(row) = self.index.read()?.forward(container)? else {
            return Ok(None);
        };
        let row = Arc::new(row);
        self.forwards.insert(container, Arc::clone(&row));
        Ok(Some(row))
    }

    /// Follows an address through the packing of its window, if that has happened.
    pub(crate) fn settled(&self, address: Address) -> Result<Address> {
        if !address.is_data() {
            return Ok(address);
        }
        match self.place(address.container())? {
            Place::Forwarded(row) => Ok(row.get(address.slot())),
            Place::Journal(_) | Place::Packed(_) => Ok(address),
        }
    }
}
