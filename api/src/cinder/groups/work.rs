//! Jobs of groups: what the engine does for several volumes at once.
//!
//! A job owns the rows it makes or removes and reads their sources, so that nothing else happens to
//! them meanwhile. Engine calls are idempotent by uuid, as in [`crate::cinder::work`].

use store::{SnapshotId, VolumeId};
use uuid::Uuid;

use super::delete::vanish;
use super::{Group, GroupSnapshot};
use crate::catalogue::{self, Query, View, Writer};
use crate::cinder::records::{BY_GROUP, BY_GROUP_SNAPSHOT, Object, Snapshot, Volume};
use crate::cinder::work::{Outcome, forget, made, row, spec_of};
use crate::jobs::{Handler, Job, JobError, Registry};
use crate::server::Services;

pub(super) const DELETE_GROUP: &str = "group.delete";
pub(super) const CLONE_GROUP: &str = "group.create_from_src";
pub(super) const CREATE_SNAPSHOT: &str = "group_snapshot.create";
pub(super) const DELETE_SNAPSHOT: &str = "group_snapshot.delete";

pub(super) fn register(registry: &mut Registry) {
    registry.add(DELETE_GROUP, DeleteGroup);
    registry.add(CLONE_GROUP, CloneGroup);
    registry.add(CREATE_SNAPSHOT, CreateSnapshot);
    registry.add(DELETE_SNAPSHOT, DeleteSnapshot);
}

/// A job of a group or group snapshot.
pub(super) fn job(services: &Services, kind: &str, id: Uuid, project: &str) -> Job {
    let args = serde_json::Value::Null;
    Job::new(
        kind,
        &id.to_string(),
        Some(project),
        args,
        services.now_us(),
    )
}

/// The ids that a job owns besides its object.
fn owned(job: &Job) -> impl Iterator<Item = Uuid> {
    job.owns.iter().filter_map(|id| Uuid::parse_str(id).ok())
}

fn object(job: &Job) -> Uuid {
    Uuid::parse_str(&job.object).unwrap_or_default()
}

/// The rows that a job owns, without those that are gone.
fn rows<R: Object>(view: &impl View, job: &Job) -> catalogue::Result<Vec<R>> {
    let found = owned(job).map(|id| view.get::<R>(&id));
    found.filter_map(Result::transpose).collect()
}

/// Gives what a job owns its final status.
fn settle_parts<R: Object>(
    writer: &Writer,
    job: &Job,
    now_us: u64,
    change: impl Fn(&mut R),
) -> catalogue::Result<()> {
    for mut part in rows::<R>(writer, job)? {
        change(&mut part);
        part.touch(now_us);
        writer.put(&part)?;
    }
    Ok(())
}

/// Removes the rows of what a job owned, or marks them when their bytes are still there.
fn drop_parts<R: Object>(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    now_us: u64,
) -> catalogue::Result<()> {
    if result.is_err() {
        return settle_parts::<R>(writer, job, now_us, |part| {
            "error".clone_into(part.status());
        });
    }
    owned(job).try_for_each(|id| forget::<R>(writer, id))
}

struct DeleteGroup;

impl Handler for DeleteGroup {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        for id in owned(job) {
            services.store().delete_volume(VolumeId(id))?;
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
        drop_parts::<Volume>(writer, job, result, now_us)?;
        let Some(mut group) = writer.get::<Group>(&object(job))? else {
            return Ok(());
        };
        let of_group = catalogue::Key::new().uuid(group.id);
        // A volume may have come in if an admin gave the group another status meanwhile.
        if result.is_ok() && writer.count::<Volume>(&Query::by(BY_GROUP, of_group))? == 0 {
            return vanish(writer, &group);
        }
        group.status = "error".to_owned();
        group.updated_us = Some(now_us);
        writer.put(&group)
    }
}

struct CloneGroup;

impl CloneGroup {
    /// Fills volumes from snapshots that are there to stay.
    fn of_snapshots(services: &Services, volumes: &[Volume]) -> Result<(), JobError> {
        for volume in volumes {
            let source = volume.snapshot_id.ok_or_else(no_source)?;
            let (id, spec) = (VolumeId(volume.id), spec_of(services, volume));
            services
                .store()
                .clone_snapshot(id, SnapshotId(source), spec)?;
        }
        Ok(())
    }

    /// Fills volumes from others, all as they are at one point in time: by snapshots of them which
    /// go again.
    fn of_volumes(services: &Services, volumes: &[Volume]) -> Result<(), JobError> {
        let store = services.store();
        let cut_of = |volume: &Volume| SnapshotId(Uuid::new_v5(&volume.id, b"cut"));
        let cloned = || -> Result<(), JobError> {
            // After a crash all may be there, and part of the cut gone already.
            if volumes
                .iter()
                .all(|one| store.volume(VolumeId(one.id)).is_ok())
            {
                return Ok(());
            }
            let mut pairs = Vec::new();
            for volume in volumes {
                let source = volume.source_volid.ok_or_else(no_source)?;
                pairs.push((cut_of(volume), VolumeId(source)));
            }
            store.create_snapshots(&pairs)?;
            for volume in volumes {
                let (id, spec) = (VolumeId(volume.id), spec_of(services, volume));
                store.clone_snapshot(id, cut_of(volume), spec)?;
            }
            Ok(())
        };
        let result = cloned();
        for volume in volumes {
            store.delete_snapshot(cut_of(volume))?;
        }
        result
    }
}

fn no_source() -> JobError {
    JobError("a volume has no source".to_owned())
}

impl Handler for CloneGroup {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let (group, volumes) = services.catalogue().read(|reader| {
            let group = reader.get::<Group>(&object(job))?;
            Ok::<_, JobError>((group, rows::<Volume>(reader, job)?))
        })?;
        let group = group.ok_or_else(|| JobError("the group is gone".to_owned()))?;
        match group.group_snapshot_id {
            Some(_) => Self::of_snapshots(services, &volumes),
            None => Self::of_volumes(services, &volumes),
        }
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_parts::<Volume>(writer, job, now_us, |volume| made(volume, result))?;
        if let Some(mut group) = writer.get::<Group>(&object(job))? {
            settled(&mut group.status, result);
            group.updated_us = Some(now_us);
            writer.put(&group)?;
        }
        Ok(())
    }
}

/// The status of a whole whose parts were made, unless it is going already.
fn settled(status: &mut String, result: Outcome<'_>) {
    if status == "creating" {
        let end = if result.is_ok() { "available" } else { "error" };
        end.clone_into(status);
    }
}

struct CreateSnapshot;

impl Handler for CreateSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let _whole: GroupSnapshot = row(services, job)?;
        let parts = services
            .catalogue()
            .read(|reader| rows::<Snapshot>(reader, job))?;
        let pairs: Vec<(SnapshotId, VolumeId)> = parts
            .iter()
            .map(|part| (SnapshotId(part.id), VolumeId(part.volume_id)))
            .collect();
        Ok(services.store().create_snapshots(&pairs)?)
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_parts::<Snapshot>(writer, job, now_us, |part| {
            made(part, result);
            let progress = if result.is_ok() { "100%" } else { "0%" };
            progress.clone_into(&mut part.progress);
        })?;
        if let Some(mut whole) = writer.get::<GroupSnapshot>(&object(job))? {
            settled(&mut whole.status, result);
            whole.updated_us = Some(now_us);
            writer.put(&whole)?;
        }
        Ok(())
    }
}

struct DeleteSnapshot;

impl Handler for DeleteSnapshot {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        for id in owned(job) {
            services.store().delete_snapshot(SnapshotId(id))?;
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
        drop_parts::<Snapshot>(writer, job, result, now_us)?;
        let Some(mut whole) = writer.get::<GroupSnapshot>(&object(job))? else {
            return Ok(());
        };
        let of_whole = catalogue::Key::new().uuid(whole.id);
        let left = writer.count::<Snapshot>(&Query::by(BY_GROUP_SNAPSHOT, of_whole))?;
        if result.is_ok() && left == 0 {
            writer.delete::<GroupSnapshot>(&whole.id)?;
            return Ok(());
        }
        whole.status = "error".to_owned();
        whole.updated_us = Some(now_us);
        writer.put(&whole)
    }
}
