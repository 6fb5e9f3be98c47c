//! Jobs of backups: writing, removing, and letting go of the snapshots that they were read from.
//!
//! A backup is read from a snapshot of the engine that no row of the API names, so that hosts may go
//! on writing. The snapshot of a volume's newest backup stays, as its pin, until a newer one is
//! there: the two tell the next increment what was changed. Every snapshot that is not to stay is
//! let go of by a job, queued in the transaction that decides so.

use serde_json::Value;
use store::{
    Differences, Encryption, Packing, Snapshot as Frozen, SnapshotId, VolumeId, VolumeSpec,
};
use uuid::Uuid;

use super::create::no_service;
use super::records::{BY_STORED, Backup, Pin};
use super::{portable, restore};
use crate::backup::{self, Ancestor, Target, VolumeFacts, Wanted, Written};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::records::{Object, Snapshot, Volume, VolumeType};
use crate::cinder::work::{self, Outcome, removed, row, settle, tell};
use crate::jobs::{self, Handler, Job, JobError, Progress, Registry};
use crate::server::Services;

pub(super) const CREATE: &str = "backup.create";
pub(super) const DELETE: &str = "backup.delete";
pub(super) const RESTORE: &str = "backup.restore";
pub(super) const IMPORT: &str = "backup.import";
/// Lets go of one of the engine's snapshots, the job's object.
const UNFREEZE: &str = "backup.unfreeze";

/// Extra spec of a volume type whose volumes keep no snapshot for the next increment: `<is> False`.
const PIN_SPEC: &str = "backup_pin";

pub(in crate::cinder) fn register(registry: &mut Registry) {
    registry.add(CREATE, CreateBackup);
    registry.add(DELETE, DeleteBackup);
    registry.add(RESTORE, restore::RestoreBackup);
    registry.add(IMPORT, portable::ImportBackup);
    registry.add(UNFREEZE, Unfreeze);
}

impl From<backup::Error> for JobError {
    fn from(error: backup::Error) -> Self {
        match error.kind() {
            backup::ErrorKind::Interrupted => Self::interrupted(),
            _ => Self(error.to_string()),
        }
    }
}

/// The target, which a daemon may have lost since the job was queued.
pub(super) fn target(services: &Services) -> Result<&Target, JobError> {
    let target = services.config().backup.as_ref();
    target.ok_or_else(|| JobError(no_service().message().to_owned()))
}

impl backup::Watch for Progress<'_> {
    fn progress(&self, done: u64, all: u64) -> backup::Result<()> {
        self.report(done, all)
            .map_err(|_| backup::Error::interrupted())
    }
}

struct CreateBackup;

impl Handler for CreateBackup {
    fn is_long(&self) -> bool {
        true
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let backup: Backup = row(services, job)?;
        let target = target(services)?;
        let zone = backup.availability_zone.as_ref();
        if zone.is_some_and(|zone| *zone != services.config().availability_zone) {
            return Err(JobError(
                "Service not found for creating backup.".to_owned(),
            ));
        }
        let written = freeze(services, &backup)
            .and_then(|frozen| write(services, job, target, &backup, &frozen));
        match written {
            Ok(written) => note_written(services, &backup, written),
            Err(error) if error.is_interruption() => Err(error),
            Err(error) => {
                // What cannot be taken away now is found by the next sweep.
                if let Err(left) = backup::forget(target, &backup.repository, backup.id) {
                    tracing::warn!(error = %left, "parts of a failed backup could not be removed");
                }
                Err(error)
            }
        }
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Backup,
            action: Action::CreateBackup,
            detail: Detail::BackupFailed,
        };
        tell(writer, job, result, failure, now_us)?;
        settle::<Backup>(writer, job, now_us, |backup| made(backup, result))?;
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        let Some(backup) = writer.get::<Backup>(&id)? else {
            return Ok(());
        };
        unmark(writer, &backup, now_us)?;
        pin(writer, &backup, result.is_ok(), now_us)
    }
}

/// Gives a backup that was being made its status, unless it waits to go.
pub(super) fn made(backup: &mut Backup, result: Outcome<'_>) {
    if backup.status == "creating" {
        backup.fail_reason = result.err().map(ToString::to_string);
    }
    work::made(backup, result);
}

/// The pool that has what is to be backed up.
fn home<'s>(services: &'s Services, backup: &Backup) -> Result<&'s store::Store, JobError> {
    let id = backup.volume_id;
    let found = services
        .catalogue()
        .read(|reader| reader.get::<Volume>(&id))?;
    let volume = found.ok_or_else(|| JobError("the volume is gone".to_owned()))?;
    Ok(services.store_of(volume.backend.as_deref())?)
}

/// Freezes what is to be backed up, unless an attempt before this one has.
fn freeze(services: &Services, backup: &Backup) -> Result<Frozen, JobError> {
    let (store, id) = (home(services, backup)?, backup.frozen());
    let Some(source) = backup.snapshot_id.map(SnapshotId) else {
        store.create_snapshots(&[(id, VolumeId(backup.volume_id))])?;
        return Ok(store.snapshot(id)?);
    };
    // A snapshot of the user's own may be deleted at any time: the one to keep is cut from a clone.
    let clone = VolumeId(Uuid::new_v5(&backup.id, b"clone"));
    if store.snapshot_info(id).is_err() {
        let found = store.snapshot_info(source)?;
        let spec = VolumeSpec {
            size_bytes: found.size_bytes,
            domain: found.domain,
            packing: Packing::Background,
            encryption: found.encryption,
        };
        store.clone_snapshot(clone, source, spec)?;
        store.create_snapshots(&[(id, clone)])?;
    }
    store.delete_volume(clone)?;
    Ok(store.snapshot(id)?)
}

fn write(
    services: &Services,
    job: &Job,
    target: &Target,
    backup: &Backup,
    frozen: &Frozen,
) -> Result<Written, JobError> {
    let parent = parent(services, backup)?;
    let facts = facts(services, backup)?;
    let watch = Progress::new(services, job);
    let store = home(services, backup)?;
    let sealed = store.snapshot_info(backup.frozen())?.encryption == Encryption::DomainKey;
    if sealed != backup.encrypted {
        let message = "the volume's encryption has changed since the backup was asked for";
        return Err(JobError(message.to_owned()));
    }
    let wanted = |differences: Option<Differences>| Wanted {
        id: backup.id,
        repository: &backup.repository,
        source: frozen,
        differences,
        parent: parent.clone(),
        created_us: backup.created_us,
        volume: facts.clone(),
        keys: sealed.then_some(store),
    };
    if let Some(pinned) = pinned(services, backup)? {
        let written = store
            .differences(backup.frozen(), Some(pinned))
            .map_err(backup::Error::from)
            .and_then(|found| backup::write(target, wanted(Some(found)), &watch));
        // Another backup of the same volume may have ended meanwhile and taken the pin.
        if written.is_ok() || store.snapshot_info(pinned).is_ok() {
            return Ok(written?);
        }
    }
    Ok(backup::write(target, wanted(None), &watch)?)
}

/// Where the parent is, if the backup is an increment.
fn parent(services: &Services, backup: &Backup) -> Result<Option<Ancestor>, JobError> {
    let Some(id) = backup.parent_id else {
        return Ok(None);
    };
    let found = services
        .catalogue()
        .read(|reader| reader.get::<Backup>(&id))?;
    match found.and_then(|parent| parent.stored) {
        Some(stored) => Ok(Some(stored)),
        None => Err(JobError(format!("backup {id} is not there to build on"))),
    }
}

/// The snapshot that the parent was read from, if it is still there.
fn pinned(services: &Services, backup: &Backup) -> Result<Option<SnapshotId>, JobError> {
    let id = backup.volume_id;
    let pin = services.catalogue().read(|reader| reader.get::<Pin>(&id))?;
    let pin = pin.filter(|pin| Some(pin.backup_id) == backup.parent_id);
    let snapshot = pin.map(|pin| SnapshotId(pin.snapshot));
    let store = home(services, backup)?;
    Ok(snapshot.filter(|id| store.snapshot_info(*id).is_ok()))
}

/// What is kept of the volume itself.
fn facts(services: &Services, backup: &Backup) -> Result<VolumeFacts, JobError> {
    let id = backup.volume_id;
    let found = services
        .catalogue()
        .read(|reader| reader.get::<Volume>(&id))?;
    let volume = found.ok_or_else(|| JobError("the volume is gone".to_owned()))?;
    Ok(VolumeFacts {
        id,
        name: volume.name,
        description: volume.description,
        metadata: volume.metadata,
        bootable: volume.bootable,
        source_length: volume.source_length,
    })
}

fn note_written(services: &Services, backup: &Backup, written: Written) -> Result<(), JobError> {
    tracing::info!(
        backup = %backup.id,
        method = written.method.word(),
        objects = written.objects,
        "backup written"
    );
    let zone = services.config().availability_zone.clone();
    services.catalogue().write(|writer| {
        let Some(mut row) = writer.get::<Backup>(&backup.id)? else {
            return Ok(());
        };
        row.stored = Some(Ancestor {
            repository: row.repository.clone(),
            id: row.id,
            digest: written.digest,
        });
        row.method = Some(written.method);
        row.object_count = written.objects;
        row.availability_zone = Some(zone);
        writer.put(&row)
    })?;
    Ok(())
}

/// Gives what was backed up the status back that it had.
fn unmark(writer: &Writer, backup: &Backup, now_us: u64) -> catalogue::Result<()> {
    if let Some(id) = backup.snapshot_id {
        if let Some(mut snapshot) = writer.get::<Snapshot>(&id)?
            && snapshot.status == "backing-up"
        {
            snapshot.status = "available".to_owned();
            snapshot.touch(now_us);
            writer.put(&snapshot)?;
        }
        return Ok(());
    }
    if let Some(mut volume) = writer.get::<Volume>(&backup.volume_id)?
        && volume.status == "backing-up"
    {
        let before = volume.previous_status.take();
        volume.status = before.unwrap_or_else(|| "available".to_owned());
        volume.touch(now_us);
        writer.put(&volume)?;
    }
    Ok(())
}

/// Makes the snapshot that a backup was read from the volume's pin, or lets go of it.
fn pin(writer: &Writer, backup: &Backup, is_there: bool, now_us: u64) -> catalogue::Result<()> {
    let own = backup.frozen();
    if !is_there || !keeps_pins(writer, backup)? {
        return unfreeze(writer, own, now_us);
    }
    if let Some(old) = writer.get::<Pin>(&backup.volume_id)?
        && old.snapshot != own.0
    {
        let other = writer.get::<Backup>(&old.backup_id)?;
        // A backup of an old snapshot is not what the next increment builds on.
        if other.is_some_and(|other| other.data_us > backup.data_us) {
            return unfreeze(writer, own, now_us);
        }
        unfreeze(writer, SnapshotId(old.snapshot), now_us)?;
    }
    writer.put(&Pin {
        volume_id: backup.volume_id,
        backup_id: backup.id,
        snapshot: own.0,
    })
}

/// Whether the volume is there and of a type that keeps a snapshot.
fn keeps_pins(view: &impl View, backup: &Backup) -> catalogue::Result<bool> {
    let Some(volume) = view.get::<Volume>(&backup.volume_id)? else {
        return Ok(false);
    };
    let volume_type = view.get::<VolumeType>(&volume.volume_type_id)?;
    let spec = volume_type.and_then(|mut found| found.extra_specs.remove(PIN_SPEC).flatten());
    Ok(spec.as_deref() != Some("<is> False"))
}

fn unfreeze(writer: &Writer, snapshot: SnapshotId, now_us: u64) -> catalogue::Result<()> {
    let id = snapshot.to_string();
    jobs::enqueue(writer, Job::new(UNFREEZE, &id, None, Value::Null, now_us))
}

/// Lets go of what backups keep of a volume that is gone; the backups stay.
pub(in crate::cinder) fn forget_volume(
    writer: &Writer,
    volume: Uuid,
    now_us: u64,
) -> catalogue::Result<()> {
    match writer.delete::<Pin>(&volume)? {
        Some(pin) => unfreeze(writer, SnapshotId(pin.snapshot), now_us),
        None => Ok(()),
    }
}

/// Whether more than one row stands for a backup on the target.
fn is_shared(services: &Services, stored: &Ancestor) -> Result<bool, JobError> {
    let rows = Query::by(BY_STORED, Key::new().uuid(stored.id)).limit(2);
    let rows = services
        .catalogue()
        .read(|reader| reader.count::<Backup>(&rows))?;
    Ok(rows > 1)
}

struct DeleteBackup;

impl Handler for DeleteBackup {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let backup: Backup = row(services, job)?;
        let target = target(services)?;
        match &backup.stored {
            Some(stored) if is_shared(services, stored)? => Ok(()),
            Some(stored) => Ok(backup::remove(target, stored)?),
            None => Ok(backup::forget(target, &backup.repository, backup.id)?),
        }
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        let backup = writer.get::<Backup>(&id)?;
        if let (Some(backup), Ok(())) = (backup, result) {
            let pin = writer.get::<Pin>(&backup.volume_id)?;
            if pin.is_some_and(|pin| pin.backup_id == id) {
                forget_volume(writer, backup.volume_id, now_us)?;
            }
        }
        let failure = Failure {
            resource: Resource::Backup,
            action: Action::DeleteBackup,
            detail: Detail::BackupDeletion,
        };
        tell(writer, job, result, failure, now_us)?;
        if let Err(error) = result {
            settle::<Backup>(writer, job, now_us, |backup| {
                backup.fail_reason = Some(error.to_string());
            })?;
        }
        removed::<Backup>(writer, job, result, now_us)
    }
}

struct Unfreeze;

impl Handler for Unfreeze {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let id = SnapshotId(work::object(job)?);
        // Its volume may be gone, or elsewhere; other pools do not know the id.
        for backend in services.backends().iter() {
            backend.store().delete_snapshot(id)?;
        }
        Ok(())
    }

    fn finish(
        &self,
        _writer: &Writer,
        _job: &Job,
        _result: Outcome<'_>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        Ok(())
    }
}
