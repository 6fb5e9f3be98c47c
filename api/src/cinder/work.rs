//! Jobs of Block Storage: what the engine does for the rows.
//!
//! Engine calls are idempotent by uuid. An engine object exists before its row turns available, and
//! is gone before its row goes, so a crash in between leaves a job that runs again and never an
//! object that nobody knows.

use serde::de::DeserializeOwned;
use store::{SnapshotId, VolumeId};
use uuid::Uuid;

use super::backups;
use super::messages::{self, Action, Detail, Failure, Resource};
use super::quotas::{self, Change};
use super::records::{BY_VOLUME, Object, Snapshot, Volume};
use super::transfers;
use super::{backends, moving};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::jobs::{Handler, Job, JobError, Registry};
use crate::server::Services;

pub(super) use super::specs::{spec_in, spec_of};

pub(super) const CREATE_VOLUME: &str = "volume.create";
pub(super) const DELETE_VOLUME: &str = "volume.delete";
pub(super) const EXTEND_VOLUME: &str = "volume.extend";
pub(super) const CREATE_SNAPSHOT: &str = "snapshot.create";
pub(super) const DELETE_SNAPSHOT: &str = "snapshot.delete";

/// The argument of a creation that says whether a pool was found for the volume.
pub(super) const PLACED: &str = "placed";

const GIB: u64 = 1 << 30;

pub(super) fn register(registry: &mut Registry) {
    registry.add(CREATE_VOLUME, CreateVolume);
    registry.add(DELETE_VOLUME, DeleteVolume);
    registry.add(EXTEND_VOLUME, ExtendVolume);
    registry.add(CREATE_SNAPSHOT, CreateSnapshot);
    registry.add(DELETE_SNAPSHOT, DeleteSnapshot);
}

pub(super) type Outcome<'a> = Result<(), &'a JobError>;

pub(super) fn object(job: &Job) -> Result<Uuid, JobError> {
    Uuid::parse_str(&job.object).map_err(|_| JobError("the job names no object".to_owned()))
}

/// What a job was told to do.
pub(super) fn args<T: DeserializeOwned>(job: &Job) -> Result<T, JobError> {
    serde_json::from_value(job.args.clone())
        .map_err(|error| JobError(format!("the job does not tell what to do: {error}")))
}

/// The row of a job's object.
pub(super) fn row<R: catalogue::Record<Id = Uuid>>(
    services: &Services,
    job: &Job,
) -> Result<R, JobError> {
    let id = object(job)?;
    let found = services.catalogue().read(|reader| reader.get::<R>(&id))?;
    found.ok_or_else(|| JobError("the object is gone".to_owned()))
}

/// Changes the job's object if it is still there.
pub(super) fn settle<R: Object>(
    writer: &Writer,
    job: &Job,
    now_us: u64,
    change: impl FnOnce(&mut R),
) -> catalogue::Result<()> {
    let id = Uuid::parse_str(&job.object).unwrap_or_default();
    if let Some(mut object) = writer.get::<R>(&id)? {
        change(&mut object);
        object.touch(now_us);
        writer.put(&object)?;
    }
    Ok(())
}

/// Tells the owner of the object why a job failed, if it did.
pub(super) fn tell(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    failure: Failure,
    now_us: u64,
) -> catalogue::Result<()> {
    match result {
        Ok(()) => Ok(()),
        Err(_) => messages::record(writer, job, failure, now_us),
    }
}

/// Gives an object that was being made its status. A deletion may be queued behind this job: what
/// waits to go must not be offered.
pub(super) fn made<R: Object>(object: &mut R, result: Outcome<'_>) {
    if object.status() == "creating" {
        let status = if result.is_ok() { "available" } else { "error" };
        status.clone_into(object.status());
    }
}

/// Removes the row of an object whose bytes are gone and gives its quota back.
pub(super) fn removed<R: Object>(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    now_us: u64,
) -> catalogue::Result<()> {
    if result.is_err() {
        return settle::<R>(writer, job, now_us, |object| {
            "error_deleting".clone_into(object.status());
        });
    }
    forget::<R>(writer, Uuid::parse_str(&job.object).unwrap_or_default())
}

/// Removes a row if it is still there, and gives its quota back.
pub(super) fn forget<R: Object>(writer: &Writer, id: Uuid) -> catalogue::Result<()> {
    match writer.delete::<R>(&id)? {
        Some(gone) => quotas::release(writer, gone.project(), gone.counts()),
        None => Ok(()),
    }
}

/// As [`forget`], with what hangs on a volume.
pub(super) fn forget_volume(writer: &Writer, id: Uuid, now_us: u64) -> catalogue::Result<()> {
    backups::forget_volume(writer, id, now_us)?;
    transfers::forget(writer, id)?;
    forget::<Volume>(writer, id)
}

struct CreateVolume;

/// Whether a new volume found a pool; jobs of older programs say nothing, and had one.
fn is_placed(job: &Job) -> bool {
    job.args.get(PLACED) != Some(&false.into())
}

impl Handler for CreateVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = row(services, job)?;
        if !is_placed(job) {
            return Err(JobError(backends::NO_VALID_BACKEND.to_owned()));
        }
        let spec = spec_of(services, &volume)?;
        let store = services.store_of(volume.backend())?;
        match (volume.snapshot_id, volume.source_volid) {
            (Some(snapshot), _) => {
                moving::create_from_snapshot(services, job, &volume, SnapshotId(snapshot), spec)
            }
            (None, Some(source)) => {
                moving::create_from_volume(services, job, &volume, VolumeId(source), spec)
            }
            (None, None) => Ok(store.create_volume(VolumeId(volume.id), spec)?),
        }
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let (action, detail) = match is_placed(job) {
            true => (Action::CreateVolume, Detail::CreateFailed),
            false => (Action::ScheduleVolume, Detail::NoBackend),
        };
        let failure = Failure {
            resource: Resource::Volume,
            action,
            detail,
        };
        tell(writer, job, result, failure, now_us)?;
        settle::<Volume>(writer, job, now_us, |volume| made(volume, result))
    }
}

pub(super) struct DeleteVolume;

impl Handler for DeleteVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let id = object(job)?;
        let snapshots = Query::by(BY_VOLUME, Key::new().uuid(id));
        let left = services
            .catalogue()
            .read(|reader| reader.first::<Snapshot>(&snapshots))?;
        // Those that were to go with it went before it; what is left could not be removed.
        if let Some(snapshot) = left {
            return Err(JobError(format!("snapshot {} is left", snapshot.id)));
        }
        let volume: Volume = row(services, job)?;
        match volume.backend() {
            Some(backend) => Ok(services
                .store_of(Some(backend))?
                .delete_volume(VolumeId(id))?),
            None => Ok(()),
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
            resource: Resource::Volume,
            action: Action::DeleteVolume,
            detail: Detail::VolumeDeletion,
        };
        tell(writer, job, result, failure, now_us)?;
        match (result, object(job)) {
            (Ok(()), Ok(id)) => forget_volume(writer, id, now_us),
            _ => removed::<Volume>(writer, job, result, now_us),
        }
    }
}

struct ExtendVolume;

/// What an extension was told: the size it goes to, the GiB reserved for it.
fn number(job: &Job, key: &str) -> Option<u64> {
    job.args.get(key)?.as_u64()
}

impl Handler for ExtendVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let size = number(job, "new_size").ok_or_else(|| JobError("no size".to_owned()))?;
        // A larger extension may have come first; shrinking would cut off data.
        let volume: Volume = row(services, job)?;
        if volume.size_gib >= size {
            return Ok(());
        }
        Ok(services
            .store_of(volume.backend())?
            .resize_volume(VolumeId(object(job)?), size * GIB)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Volume,
            action: Action::ExtendVolume,
            detail: Detail::ExtendFailed,
        };
        tell(writer, job, result, failure, now_us)?;
        let mut unused = None;
        settle::<Volume>(writer, job, now_us, |volume| {
            let reserved = number(job, "reserved").unwrap_or(0);
            let before = volume.previous_status.take();
            let mut grown = 0;
            let status = if result.is_ok() {
                let size = number(job, "new_size").unwrap_or(0).max(volume.size_gib);
                grown = size - volume.size_gib;
                volume.size_gib = size;
                before.unwrap_or_else(|| "available".to_owned())
            } else {
                "error_extending".to_owned()
            };
            unused = Some((volume.project_id.clone(), reserved.saturating_sub(grown)));
            if volume.status == "extending" {
                volume.status = status;
            }
        })?;
        // An extension that failed, or that another overtook, gives back what it did not need.
        match unused {
            Some((project, size)) => quotas::release(writer, &project, Change::of_gib(size)),
            None => Ok(()),
        }
    }

    fn closed(&self, services: &Services) {
        // Some limits follow the size.
        services.exports().limits_changed();
    }
}

struct CreateSnapshot;

impl Handler for CreateSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let snapshot: Snapshot = row(services, job)?;
        let pair = (SnapshotId(snapshot.id), VolumeId(snapshot.volume_id));
        let store = services.store_of(snapshot.backend())?;
        Ok(store.create_snapshots(&[pair])?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Snapshot,
            action: Action::CreateSnapshot,
            detail: Detail::SnapshotFailed,
        };
        tell(writer, job, result, failure, now_us)?;
        settle::<Snapshot>(writer, job, now_us, |snapshot| {
            made(snapshot, result);
            let progress = if result.is_ok() { "100%" } else { "0%" };
            progress.clone_into(&mut snapshot.progress);
        })
    }
}

struct DeleteSnapshot;

impl Handler for DeleteSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let snapshot: Snapshot = row(services, job)?;
        match snapshot.backend() {
            Some(backend) => Ok(services
                .store_of(Some(backend))?
                .delete_snapshot(SnapshotId(snapshot.id))?),
            None => Ok(()),
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
            resource: Resource::Snapshot,
            action: Action::DeleteSnapshot,
            detail: Detail::SnapshotDeletion,
        };
        tell(writer, job, result, failure, now_us)?;
        removed::<Snapshot>(writer, job, result, now_us)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{CREATE_VOLUME, CreateVolume, EXTEND_VOLUME, ExtendVolume};
    use crate::catalogue::{Catalogue, View};
    use crate::cinder::quotas::{Change, reserve, usage_of};
    use crate::cinder::records::Volume;
    use crate::fault::Fault;
    use crate::jobs::{Handler, Job, JobError};

    fn volume(status: &str) -> Volume {
        serde_json::from_value(json!({
            "id": Uuid::new_v4(), "project_id": "p", "user_id": "u", "name": null,
            "description": null, "size_gib": 4, "status": status, "previous_status": "in-use",
            "attach_status": "detached", "volume_type_id": Uuid::nil(), "snapshot_id": null,
            "source_volid": null, "metadata": {}, "bootable": false, "read_only": null,
            "multiattach": false, "source_length": null, "created_us": 1, "updated_us": null,
        }))
        .unwrap()
    }

    /// The volume and the project's GiB after a job is closed; ten GiB were counted before.
    fn closed(
        handler: &dyn Handler,
        kind: &str,
        status: &str,
        args: Value,
        ok: bool,
    ) -> (Volume, u64) {
        let (catalogue, volume) = (Catalogue::in_memory().unwrap(), volume(status));
        let job = Job::new(kind, &volume.id.to_string(), Some("p"), args, 1);
        let failure = JobError("no".to_owned());
        let result = if ok { Ok(()) } else { Err(&failure) };
        catalogue
            .write::<_, Fault>(|writer| {
                writer.insert(&volume)?;
                let ten = Change {
                    gigabytes: 10,
                    ..Change::default()
                };
                reserve(writer, "p", ten)?;
                handler.finish(writer, &job, result, 2)?;
                let after = writer.get::<Volume>(&volume.id)?.unwrap();
                Ok((after, usage_of(writer, "p")?.gigabytes))
            })
            .unwrap()
    }

    #[test]
    fn a_volume_that_waits_to_go_is_not_offered_again() {
        for (status, ok, after) in [
            ("creating", true, "available"),
            ("creating", false, "error"),
            ("deleting", true, "deleting"),
            ("deleting", false, "deleting"),
        ] {
            let (volume, _) = closed(&CreateVolume, CREATE_VOLUME, status, Value::Null, ok);
            assert_eq!(volume.status, after);
        }
        let args = json!({"new_size": 6, "reserved": 2});
        let (volume, _) = closed(&ExtendVolume, EXTEND_VOLUME, "deleting", args, true);
        assert_eq!((volume.status.as_str(), volume.size_gib), ("deleting", 6));
    }

    #[test]
    fn extensions_that_overtake_each_other_leave_no_reservation() {
        // An admin may reset a volume that is being extended, and its owner extend it again.
        for (first, second, first_ok, second_ok, size) in [
            (6, 9, true, true, 9),
            (9, 6, true, true, 9),
            (6, 9, false, true, 9),
            (6, 9, true, false, 6),
            (6, 9, false, false, 4),
        ] {
            let catalogue = Catalogue::in_memory().unwrap();
            let volume = volume("available");
            let failure = JobError("no".to_owned());
            let used = catalogue.write::<_, Fault>(|writer| {
                writer.insert(&volume)?;
                let of = |gib: u64| Change::of_gib(gib);
                reserve(writer, "p", of(4))?;
                reserve(writer, "p", of(first - 4))?;
                reserve(writer, "p", of(second - 4))?;
                for (to, ok) in [(first, first_ok), (second, second_ok)] {
                    let args = json!({"new_size": to, "reserved": to - 4});
                    let id = volume.id.to_string();
                    let job = Job::new(EXTEND_VOLUME, &id, Some("p"), args, 1);
                    let result = if ok { Ok(()) } else { Err(&failure) };
                    ExtendVolume.finish(writer, &job, result, 2)?;
                }
                let after = writer.get::<Volume>(&volume.id)?.unwrap();
                Ok((after.size_gib, usage_of(writer, "p")?.gigabytes))
            });
            assert_eq!(used.unwrap(), (size, size), "{first} {second}");
        }
    }

    #[test]
    fn a_failed_extension_gives_back_what_it_took_and_none_shrinks() {
        let extend = |size: u64, ok| {
            let reserved = size.saturating_sub(4);
            let args = json!({"new_size": size, "reserved": reserved});
            closed(&ExtendVolume, EXTEND_VOLUME, "extending", args, ok)
        };
        let (volume, used) = extend(6, true);
        assert_eq!(
            (volume.status.as_str(), volume.size_gib, used),
            ("in-use", 6, 10)
        );
        let (volume, used) = extend(6, false);
        assert_eq!(
            (volume.status.as_str(), volume.size_gib, used),
            ("error_extending", 4, 8)
        );
        for ok in [true, false] {
            let (volume, used) = extend(2, ok);
            assert_eq!((volume.size_gib, used), (4, 10));
        }
    }
}
