//! The pool: its public surface.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Io;
use crate::dump::dump_if_due;
use crate::engine::Engine;
use crate::journal::poisoned;
use crate::maintain;
use crate::state::{SnapshotState, VolumeState};
use crate::{
    Encryption, Error, ErrorKind, OpenOptions, PoolSpace, PoolStats, Result, ScrubStatus, Snapshot,
    SnapshotId, SnapshotInfo, Volume, VolumeId, VolumeInfo, VolumeSpec, VolumeStats,
};

/// Volumes are whole sectors.
const SECTOR_BYTES: u64 = 512;
/// Largest volume: 64 TiB.
pub const VOLUME_BYTES_MAX: u64 = 64 << 40;

/// An open pool. Cheap to clone; the pool closes with the last handle or by [`Store::close`].
#[derive(Clone)]
pub struct Store {
    pool: Arc<Pool>,
}

/// Stops the threads when the last handle goes.
pub(crate) struct Pool {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.engine.threads.join(&self.engine);
    }
}

impl Store {
    /// Opens the pool in `dir`, creating it when the folder is empty or absent.
    ///
    /// # Errors
    /// `UnsupportedFormat`, `Corrupt`, `Busy` when another process has it, `Io`, `NoSpace`.
    pub fn open(io: Arc<dyn Io>, dir: &Path, options: OpenOptions) -> Result<Self> {
        Self::open_with_master_key(io, dir, dir.join("master.key"), options)
    }

    /// As [`Self::open`], with the master key of encrypted volumes in a file elsewhere, which several
    /// pools may share. It is made when the first such volume is, and otherwise looked at when one is
    /// used.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub fn open_with_master_key(
        io: Arc<dyn Io>,
        dir: &Path,
        master_key: PathBuf,
        options: OpenOptions,
    ) -> Result<Self> {
        let engine = Engine::open_guarded(io, dir, master_key, options)?;
        if options.background {
            maintain::start(&engine).map_err(|e| Error::io("starting the pool's threads", e))?;
        }
        Ok(Self {
            pool: Arc::new(Pool { engine }),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.pool.engine
    }

    /// The parts, for tests that take the background's steps themselves.
    #[cfg(test)]
    pub(crate) fn engine_for_tests(&self) -> Arc<Engine> {
        Arc::clone(&self.pool.engine)
    }

    /// Creates an empty volume; the same call again is fine.
    ///
    /// # Errors
    /// `AlreadyExists` if a volume of this id differs, `InvalidInput` for an impossible size or a
    /// domain that is encrypted where the volume is not, `KeyUnavailable`.
    pub fn create_volume(&self, id: VolumeId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().create_volume(id, spec)
    }

    /// Creates a volume with the content of a snapshot, in constant time. `size_bytes` may be larger
    /// than the snapshot. Idempotent.
    ///
    /// # Errors
    /// As [`Self::create_volume`], `NotFound` without the snapshot, and `InvalidInput` unless both are
    /// in the same encrypted domain or in none.
    pub fn clone_snapshot(&self, id: VolumeId, from: SnapshotId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().clone_snapshot(id, from, spec)
    }

    /// Creates a volume with the present content of another, in constant time. Idempotent.
    ///
    /// # Errors
    /// As [`Self::create_volume`], and `NotFound` without the source.
    pub fn clone_volume(&self, id: VolumeId, from: VolumeId, spec: VolumeSpec) -> Result<()> {
        check_size(spec.size_bytes)?;
        self.engine().clone_volume(id, from, spec)
    }

    /// Freezes volumes at one point of the journal: each snapshot holds every write answered before
    /// the call, and all are cut by one record. Durable on return. Idempotent.
    ///
    /// # Errors
    /// `NotFound` without a volume, `AlreadyExists` when only some of the snapshots exist.
    pub fn create_snapshots(&self, pairs: &[(SnapshotId, VolumeId)]) -> Result<()> {
        self.engine().create_snapshots(pairs)
    }

    /// Removes a snapshot; its space returns in the background. Unknown ids are fine.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn delete_snapshot(&self, id: SnapshotId) -> Result<()> {
        self.engine().delete_snapshot(id)
    }

    /// Removes a volume; its snapshots stay. Open handles answer `NotFound`. Unknown ids are fine.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn delete_volume(&self, id: VolumeId) -> Result<()> {
        self.engine().delete_volume(id)
    }

    /// Changes a volume's size; what lies beyond a smaller size is gone for good.
    ///
    /// # Errors
    /// `NotFound`, `InvalidInput` for an impossible size.
    pub fn resize_volume(&self, id: VolumeId, size_bytes: u64) -> Result<()> {
        check_size(size_bytes)?;
        self.engine().resize_volume(id, size_bytes)
    }

    /// Opens a volume for reading and writing. Handles share one state.
    ///
    /// # Errors
    /// `NotFound`; `KeyUnavailable` for an encrypted one without its key.
    pub fn volume(&self, id: VolumeId) -> Result<Volume> {
        let state = Arc::clone(self.engine().state.read().expect(poisoned!()).volume(id)?);
        self.engine().key_of(&state.chain())?;
        Ok(Volume::new(&self.pool, state))
    }

    /// Opens a snapshot for reading.
    ///
    /// # Errors
    /// `NotFound`; `KeyUnavailable` for an encrypted one without its key.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Snapshot> {
        let state = Arc::clone(
            self.engine()
                .state
                .read()
                .expect(poisoned!())
                .snapshot(id)?,
        );
        self.engine().key_of(&state.chain())?;
        Ok(Snapshot::new(&self.pool, state))
    }

    /// All volumes, by id.
    pub fn volumes(&self) -> Vec<VolumeInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        state.volumes.values().map(|v| volume_info(v)).collect()
    }

    /// One volume; its key is not needed for that.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume_info(&self, id: VolumeId) -> Result<VolumeInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        state.volume(id).map(|volume| volume_info(volume))
    }

    /// All snapshots, by id.
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        state.snapshots.values().map(|s| snapshot_info(s)).collect()
    }

    /// One snapshot; its key is not needed for that.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn snapshot_info(&self, id: SnapshotId) -> Result<SnapshotInfo> {
        let state = self.engine().state.read().expect(poisoned!());
        state.snapshot(id).map(|snapshot| snapshot_info(snapshot))
    }

    /// Tries the key of one of the encrypted volumes, if there are any: a master key that is missing or
    /// another is noticed before somebody asks for data.
    ///
    /// # Errors
    /// `KeyUnavailable`.
    pub fn probe_key(&self) -> Result<()> {
        self.engine().probe_key()
    }

    /// Space of the pool. Cheap however much it holds: counters only.
    pub fn space(&self) -> PoolSpace {
        self.engine().pool_space()
    }

    /// Space and traffic of the pool. Looks at every volume.
    pub fn stats(&self) -> PoolStats {
        self.engine().pool_stats()
    }

    /// Space and traffic of one volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume_stats(&self, id: VolumeId) -> Result<VolumeStats> {
        self.engine().volume_stats(id)
    }

    /// Why packing or reclaim cannot go on, if so.
    pub fn stalled(&self) -> Option<String> {
        self.engine().threads.stalled()
    }

    /// Packs all of the raw tier, writes a checkpoint and frees what nothing refers to; returns the
    /// bytes given back. Blocks; meant for operators and tests.
    ///
    /// # Errors
    /// `NoSpace` when there is no room to pack into, `Corrupt`, `Failed`, `Io`.
    pub fn reclaim_now(&self) -> Result<u64> {
        self.engine().reclaim_all()
    }

    /// Asks for a round of scrub, which goes on in the background at its pace; one under way serves.
    pub fn start_scrub(&self) {
        self.engine().scrub.ask();
    }

    /// How scrubbing stands.
    pub fn scrub_status(&self) -> ScrubStatus {
        self.engine().scrub.status()
    }

    /// Flushes everything, writes a checkpoint and stops the pool's threads. Later writes are not
    /// prevented, and are as durable as ever; they only lengthen the next opening.
    ///
    /// # Errors
    /// Those of flushing and of the checkpoint.
    pub fn close(&self) -> Result<()> {
        let engine = self.engine();
        let by_itself = engine.threads.are_running();
        engine.threads.join(engine);
        engine.journal.flush()?;
        engine.checkpoint(&mut *engine.maintenance()?)?;
        if by_itself {
            engine.dumps.recall();
            dump_if_due(engine);
        }
        Ok(())
    }
}

fn volume_info(volume: &VolumeState) -> VolumeInfo {
    VolumeInfo {
        id: volume.id,
        size_bytes: volume.size_bytes(),
        domain: volume.domain,
        encryption: volume.encryption,
    }
}

fn snapshot_info(snapshot: &SnapshotState) -> SnapshotInfo {
    let chain = snapshot.chain();
    SnapshotInfo {
        id: snapshot.id,
        volume: snapshot.volume,
        domain: chain.head().domain,
        encryption: match &chain.head().sealing {
            Some(_) => Encryption::DomainKey,
            None => Encryption::None,
        },
        size_bytes: snapshot.size_bytes,
        created_us: snapshot.created_us,
    }
}

fn check_size(size_bytes: u64) -> Result<()> {
    if size_bytes == 0 || size_bytes > VOLUME_BYTES_MAX || !size_bytes.is_multiple_of(SECTOR_BYTES)
    {
        let context =
            format!("{size_bytes} bytes is no volume size: 512 bytes to 64 TiB in sectors");
        return Err(Error::new(ErrorKind::InvalidInput, context));
    }
    Ok(())
}
