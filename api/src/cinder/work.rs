//! Jobs of Block Storage: what the engine does for the rows.
//!
//! Engine calls are idempotent by uuid. An engine object exists before its row turns available, and
//! is gone before its row goes, so a crash in between leaves a job that runs again and never an
//! object that nobody knows.

use store::{DomainId, Packing, SnapshotId, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::quotas::{self, Change};
use super::records::{Snapshot, Volume};
use crate::catalogue::{self, View, Writer};
use crate::jobs::{Handler, Job, JobError, Registry};
use crate::server::Services;

pub(super) const CREATE_VOLUME: &str = "volume.create";
pub(super) const DELETE_VOLUME: &str = "volume.delete";
pub(super) const EXTEND_VOLUME: &str = "volume.extend";
pub(super) const CREATE_SNAPSHOT: &str = "snapshot.create";
pub(super) const DELETE_SNAPSHOT: &str = "snapshot.delete";

const GIB: u64 = 1 << 30;

pub(super) fn register(registry: &mut Registry) {
    registry.add(CREATE_VOLUME, CreateVolume);
    registry.add(DELETE_VOLUME, DeleteVolume);
    registry.add(EXTEND_VOLUME, ExtendVolume);
    registry.add(CREATE_SNAPSHOT, CreateSnapshot);
    registry.add(DELETE_SNAPSHOT, DeleteSnapshot);
}

type Outcome<'a> = Result<(), &'a JobError>;

fn object(job: &Job) -> Result<Uuid, JobError> {
    Uuid::parse_str(&job.object).map_err(|_| JobError("the job names no object".to_owned()))
}

fn row<R: catalogue::Record<Id = Uuid>>(services: &Services, job: &Job) -> Result<R, JobError> {
    let id = object(job)?;
    let found = services.catalogue().read(|reader| reader.get::<R>(&id))?;
    found.ok_or_else(|| JobError("the object is gone".to_owned()))
}

/// Changes the job's volume if it is still there.
fn settle_volume(
    writer: &Writer,
    job: &Job,
    change: impl FnOnce(&mut Volume),
) -> catalogue::Result<()> {
    let id = Uuid::parse_str(&job.object).unwrap_or_default();
    if writer.get::<Volume>(&id)?.is_some() {
        writer.update::<Volume>(&id, change)?;
    }
    Ok(())
}

fn settle_snapshot(
    writer: &Writer,
    job: &Job,
    change: impl FnOnce(&mut Snapshot),
) -> catalogue::Result<()> {
    let id = Uuid::parse_str(&job.object).unwrap_or_default();
    if writer.get::<Snapshot>(&id)?.is_some() {
        writer.update::<Snapshot>(&id, change)?;
    }
    Ok(())
}

/// The domain within which a project's equal chunks are shared.
fn domain(services: &Services, project: &str) -> DomainId {
    let scope = if services.config().pool_wide_dedup {
        "pool"
    } else {
        project
    };
    DomainId(Uuid::new_v5(&Uuid::NAMESPACE_OID, scope.as_bytes()))
}

/// Gives quota back; never below zero, whatever an admin has done to the numbers.
fn release(writer: &Writer, project: &str, change: Change) -> catalogue::Result<()> {
    let mut usage = quotas::usage_of(writer, project)?;
    usage.volumes = usage.volumes.saturating_add_signed(change.volumes);
    usage.gigabytes = usage.gigabytes.saturating_add_signed(change.gigabytes);
    usage.snapshots = usage.snapshots.saturating_add_signed(change.snapshots);
    writer.put(&usage)
}

struct CreateVolume;

impl Handler for CreateVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = row(services, job)?;
        let spec = VolumeSpec {
            size_bytes: volume.size_gib * GIB,
            domain: domain(services, &volume.project_id),
            packing: Packing::Background,
        };
        let (store, id) = (services.store(), VolumeId(volume.id));
        match (volume.snapshot_id, volume.source_volid) {
            (Some(snapshot), _) => store.clone_snapshot(id, SnapshotId(snapshot), spec)?,
            (None, Some(source)) => store.clone_volume(id, VolumeId(source), spec)?,
            (None, None) => store.create_volume(id, spec)?,
        }
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_volume(writer, job, |volume| {
            // A deletion may be queued behind this job: what waits to go must not be offered.
            if volume.status == "creating" {
                volume.status = if result.is_ok() { "available" } else { "error" }.to_owned();
            }
            volume.updated_us = Some(now_us);
        })
    }
}

struct DeleteVolume;

impl Handler for DeleteVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        Ok(services.store().delete_volume(VolumeId(object(job)?))?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        if result.is_err() {
            return settle_volume(writer, job, |volume| {
                volume.status = "error_deleting".to_owned();
                volume.updated_us = Some(now_us);
            });
        }
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        if let Some(volume) = writer.delete::<Volume>(&id)? {
            let gigabytes = -(volume.size_gib as i64);
            let freed = Change {
                volumes: -1,
                gigabytes,
                snapshots: 0,
            };
            release(writer, &volume.project_id, freed)?;
        }
        Ok(())
    }
}

struct ExtendVolume;

/// The size an extension goes to.
fn new_size(job: &Job) -> Option<u64> {
    job.args.get("new_size")?.as_u64()
}

impl Handler for ExtendVolume {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let size = new_size(job).ok_or_else(|| JobError("no size".to_owned()))?;
        // A larger extension may have come first; shrinking would cut off data.
        if row::<Volume>(services, job)?.size_gib >= size {
            return Ok(());
        }
        Ok(services
            .store()
            .resize_volume(VolumeId(object(job)?), size * GIB)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let mut unused = None;
        settle_volume(writer, job, |volume| {
            let size = new_size(job).unwrap_or(0).max(volume.size_gib);
            let before = volume.previous_status.take();
            let status = if result.is_ok() {
                volume.size_gib = size;
                before.unwrap_or_else(|| "available".to_owned())
            } else {
                unused = Some((volume.project_id.clone(), size - volume.size_gib));
                "error_extending".to_owned()
            };
            if volume.status == "extending" {
                volume.status = status;
            }
            volume.updated_us = Some(now_us);
        })?;
        if let Some((project, size)) = unused {
            let back = Change {
                volumes: 0,
                gigabytes: -(size as i64),
                snapshots: 0,
            };
            release(writer, &project, back)?;
        }
        Ok(())
    }
}

struct CreateSnapshot;

impl Handler for CreateSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let snapshot: Snapshot = row(services, job)?;
        let pair = (SnapshotId(snapshot.id), VolumeId(snapshot.volume_id));
        Ok(services.store().create_snapshots(&[pair])?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_snapshot(writer, job, |snapshot| {
            let done = result.is_ok();
            if snapshot.status == "creating" {
                snapshot.status = if done { "available" } else { "error" }.to_owned();
            }
            snapshot.progress = if done { "100%" } else { "0%" }.to_owned();
            snapshot.updated_us = Some(now_us);
        })
    }
}

struct DeleteSnapshot;

impl Handler for DeleteSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        Ok(services.store().delete_snapshot(SnapshotId(object(job)?))?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        if result.is_err() {
            return settle_snapshot(writer, job, |snapshot| {
                snapshot.status = "error_deleting".to_owned();
                snapshot.updated_us = Some(now_us);
            });
        }
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        if let Some(snapshot) = writer.delete::<Snapshot>(&id)? {
            let gigabytes = -(snapshot.size_gib as i64);
            let freed = Change {
                volumes: 0,
                gigabytes,
                snapshots: -1,
            };
            release(writer, &snapshot.project_id, freed)?;
        }
        Ok(())
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
        let args = json!({"new_size": 6});
        let (volume, _) = closed(&ExtendVolume, EXTEND_VOLUME, "deleting", args, true);
        assert_eq!((volume.status.as_str(), volume.size_gib), ("deleting", 6));
    }

    #[test]
    fn a_failed_extension_gives_back_what_it_took_and_none_shrinks() {
        let extend = |size: u64, ok| {
            let args = json!({"new_size": size});
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
