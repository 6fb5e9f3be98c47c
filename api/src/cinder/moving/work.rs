//! The jobs that move volumes, encrypt and decrypt them, and take them back to snapshots.
//!
//! A migration fills an object of the volume's id on the target; closing the job makes the row point
//! there, and queues the removal of the other one in the same transaction. Run again after a crash
//! it goes on where the copy was. A migration that fails removes what it made in the same way.

use serde_json::{Value, json};
use store::{DomainId, ErrorKind, SnapshotId, Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::clone::same;
use super::copy::copy;
use super::reseal::reseal;
use crate::catalogue::{self, View, Writer};
use crate::cinder::backends::NO_VALID_BACKEND;
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::records::{Snapshot, Volume, VolumeType};
use crate::cinder::{backups, types, work};
use crate::jobs::{self, Handler, Job, JobError, Progress, Registry};
use crate::server::Services;

/// Moves a volume to the backend `backend`; with `type` that is its type afterwards. Where that is
/// the backend it is on, its data is written anew for the type.
pub(super) const MIGRATE: &str = "volume.migrate";
/// Removes what is left of a volume on the backend `backend`.
const FORGET: &str = "volume.forget";
/// Takes a volume back to the snapshot `snapshot`.
pub(super) const REVERT: &str = "volume.revert";

pub(in crate::cinder) fn register(registry: &mut Registry) {
    registry.add(MIGRATE, Migrate);
    registry.add(FORGET, Forget);
    registry.add(REVERT, Revert);
}

fn text<'j>(job: &'j Job, key: &str) -> Option<&'j str> {
    job.args.get(key)?.as_str()
}

fn id(job: &Job, key: &str) -> Option<Uuid> {
    Uuid::parse_str(text(job, key)?).ok()
}

struct Migrate;

impl Handler for Migrate {
    fn is_long(&self) -> bool {
        true
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = work::row(services, job)?;
        let Some(target) = text(job, "backend") else {
            return Err(JobError(NO_VALID_BACKEND.to_owned()));
        };
        // Whoever writes would write to what is left behind; from now on nobody new gets in.
        let is_open = |one: &crate::server::Connection| one.object == volume.id && !one.read_only;
        if volume.previous_status.as_deref() == Some("in-use")
            || services.exports().connections().iter().any(is_open)
        {
            let message = "a volume in use is moved only together with the server that uses it";
            return Err(JobError(message.to_owned()));
        }
        let id = VolumeId(volume.id);
        let new_type = self::id(job, "type").unwrap_or(volume.volume_type_id);
        let domain = DomainId(Uuid::new_v5(&job.id, b"domain"));
        let spec = work::spec_in(services, &volume, new_type, |_| domain)?;
        let store = services.store_of(volume.backend.as_deref())?;
        if same(services, Some(target), volume.backend.as_deref()) {
            return reseal(services, job, (store, id), spec);
        }
        let source = store.volume(id)?;
        let spec = VolumeSpec {
            size_bytes: source.size_bytes(),
            ..spec
        };
        let target = fresh(services.store_of(Some(target))?, id, spec)?;
        copy(&source, &target, &Progress::new(services, job))
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        let (Some(mut volume), target) = (writer.get::<Volume>(&id)?, text(job, "backend")) else {
            return Ok(());
        };
        work::tell(writer, job, result, failure_of(job, &volume), now_us)?;
        let mut left = target.map(str::to_owned);
        // Reset meanwhile, the volume may have been written to where it was.
        let moved = result.is_ok() && volume.is_migrating();
        if moved {
            left = std::mem::replace(&mut volume.backend, left);
            if let Some(new) = self::id(job, "type") {
                let found = writer.get::<VolumeType>(&new)?;
                volume.multiattach = found.is_some_and(|found| types::is_multiattach(&found));
                volume.volume_type_id = new;
            }
            // The next increment finds by hashes what was changed, and nothing of the old data stays.
            backups::forget_volume(writer, volume.id, now_us)?;
        }
        let end = if moved { "success" } else { "error" };
        // A retype that found no place never was a migration.
        volume.migration_status = match (target, text(job, "type")) {
            (None, Some(_)) => None,
            _ => Some(end.to_owned()),
        };
        let before = volume.previous_status.take();
        if ["maintenance", "retyping"].contains(&volume.status.as_str()) {
            volume.status = before.unwrap_or_else(|| "available".to_owned());
        }
        volume.updated_us = Some(now_us);
        writer.put(&volume)?;
        match left {
            Some(backend) => forget(writer, job, &backend, now_us),
            None => Ok(()),
        }
    }
}

/// What the owner of a volume is told when it was not moved.
fn failure_of(job: &Job, volume: &Volume) -> Failure {
    let (action, detail) = match (text(job, "backend"), text(job, "type")) {
        (None, _) => (Action::ScheduleVolume, Detail::NoBackend),
        (Some(_), Some(_)) => (Action::RetypeVolume, Detail::MoveFailed),
        (Some(_), None) => (Action::MigrateVolume, Detail::MoveFailed),
    };
    let in_use = volume.previous_status.as_deref() == Some("in-use");
    Failure {
        resource: Resource::Volume,
        action,
        detail: match detail {
            Detail::MoveFailed if in_use => Detail::VolumeInUse,
            other => other,
        },
    }
}

/// An object to copy into: one of an earlier attempt, unless it is another size.
pub(in crate::cinder) fn fresh(
    store: &Store,
    id: VolumeId,
    spec: VolumeSpec,
) -> store::Result<store::Volume> {
    match store.create_volume(id, spec) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            store.delete_volume(id)?;
            store.create_volume(id, spec)?;
        }
        other => other?,
    }
    store.volume(id)
}

/// Queues the removal of an object that no row points to.
fn forget(writer: &Writer, job: &Job, backend: &str, now_us: u64) -> catalogue::Result<()> {
    let args = json!({ "backend": backend });
    let next = Job::new(FORGET, &job.object, job.project.as_deref(), args, now_us);
    jobs::enqueue(writer, next)
}

struct Forget;

impl Handler for Forget {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        let name = |row: Option<&str>| {
            let backend = row.and_then(|row| services.backends().get(row));
            backend.map(crate::server::Backend::name)
        };
        let row = services
            .catalogue()
            .read(|reader| reader.get::<Volume>(&id))?;
        let left = text(job, "backend");
        // Never what a row points to.
        if row.is_some_and(|row| name(row.backend.as_deref()) == name(left)) {
            return Ok(());
        }
        Ok(services.store_of(left)?.delete_volume(VolumeId(id))?)
    }

    fn finish(
        &self,
        _writer: &Writer,
        _job: &Job,
        _result: Result<(), &JobError>,
        _now_us: u64,
    ) -> catalogue::Result<()> {
        Ok(())
    }
}

struct Revert;

impl Handler for Revert {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = work::row(services, job)?;
        let store = services.store_of(volume.backend.as_deref())?;
        let snapshot = id(job, "snapshot").ok_or_else(|| JobError("no snapshot".to_owned()))?;
        // The volume must not go before it is certain that the snapshot can take its place.
        let size_bytes = store.snapshot(SnapshotId(snapshot))?.size_bytes();
        let spec = VolumeSpec {
            size_bytes,
            ..work::spec_of(services, &volume)?
        };
        store.delete_volume(VolumeId(volume.id))?;
        Ok(store.clone_snapshot(VolumeId(volume.id), SnapshotId(snapshot), spec)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Volume,
            action: Action::RevertVolume,
            detail: Detail::RevertFailed,
        };
        work::tell(writer, job, result, failure, now_us)?;
        work::settle::<Volume>(writer, job, now_us, |volume| {
            if volume.status == "reverting" {
                let status = if result.is_ok() { "available" } else { "error" };
                volume.status = status.to_owned();
            }
        })?;
        let Some(id) = id(job, "snapshot") else {
            return Ok(());
        };
        if let Some(mut snapshot) = writer.get::<Snapshot>(&id)?
            && snapshot.status == "restoring"
        {
            snapshot.status = "available".to_owned();
            snapshot.updated_us = Some(now_us);
            writer.put(&snapshot)?;
        }
        Ok(())
    }
}

/// Whether a volume is on its way to a type.
pub(in crate::cinder) fn is_awaited(view: &impl View, type_id: Uuid) -> catalogue::Result<bool> {
    let awaits = |job: &Job| job.kind == MIGRATE && id(job, "type") == Some(type_id);
    Ok(jobs::unfinished(view)?.iter().any(awaits))
}

/// Arguments of a retype that moves the volume.
pub(in crate::cinder) fn retyping(new: &VolumeType) -> Value {
    json!({"type": new.id})
}
