//! Jobs of groups: what the engine does for several volumes at once.
//!
//! A job owns the rows it makes or removes and reads their sources, so that nothing else happens to
//! them meanwhile. Engine calls are idempotent by uuid, as in [`crate::cinder::work`].

use store::{SnapshotId, VolumeId};
use uuid::Uuid;

use super::delete::vanish;
use super::{Group, GroupSnapshot};
use crate::catalogue::{self, Query, View, Writer};
use crate::cinder::messages::{self, Action, Detail, Failure, Resource};
use crate::cinder::moving;
use crate::cinder::records::{BY_GROUP, BY_GROUP_SNAPSHOT, Object, Snapshot, Volume};
use crate::cinder::work::{Outcome, forget, forget_volume, made, row, spec_of};
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

/// Tells the owner of the parts of a job that failed, for each of them.
fn tell_parts(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    failure: Failure,
    now_us: u64,
) -> catalogue::Result<()> {
    if result.is_ok() {
        return Ok(());
    }
    owned(job).try_for_each(|id| messages::record_of(writer, job, &id.to_string(), failure, now_us))
}

/// Removes the rows of what a job owned by `remove`, or marks them when their bytes are still there.
fn drop_parts<R: Object>(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    now_us: u64,
    remove: impl FnMut(Uuid) -> catalogue::Result<()>,
) -> catalogue::Result<()> {
    if result.is_err() {
        return settle_parts::<R>(writer, job, now_us, |part| {
            "error".clone_into(part.status());
        });
    }
    owned(job).try_for_each(remove)
}

struct DeleteGroup;

impl Handler for DeleteGroup {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volumes = services
            .catalogue()
            .read(|reader| rows::<Volume>(reader, job))?;
        for volume in volumes.iter().filter(|volume| volume.backend.is_some()) {
            let store = services.store_of(volume.backend())?;
            store.delete_volume(VolumeId(volume.id))?;
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
        drop_parts::<Volume>(writer, job, result, now_us, |id| {
            forget_volume(writer, id, now_us)
        })?;
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
    fn of_snapshots(services: &Services, job: &Job, volumes: &[Volume]) -> Result<(), JobError> {
        for volume in volumes {
            let source = SnapshotId(volume.snapshot_id.ok_or_else(no_source)?);
            let spec = spec_of(services, volume)?;
            moving::create_from_snapshot(services, job, volume, source, spec)?;
        }
        Ok(())
    }

    /// Fills volumes from others, all as they are at one point in time: by snapshots of them which
    /// go again.
    fn of_volumes(services: &Services, job: &Job, volumes: &[Volume]) -> Result<(), JobError> {
        let cut_of = |volume: &Volume| SnapshotId(Uuid::new_v5(&volume.id, b"cut"));
        let sources = services.catalogue().read(|reader| {
            let source = |volume: &Volume| {
                let id = volume.source_volid.ok_or_else(no_source)?;
                reader.get::<Volume>(&id)?.ok_or_else(no_source)
            };
            volumes.iter().map(source).collect::<Result<Vec<_>, _>>()
        })?;
        let cloned = || -> Result<(), JobError> {
            // After a crash all may be there, and part of the cut gone already.
            let is_there = |volume: &Volume| {
                let store = services.store_of(volume.backend());
                store.is_ok_and(|store| store.volume_info(VolumeId(volume.id)).is_ok())
            };
            if volumes.iter().all(is_there) {
                return Ok(());
            }
            let mut pairs = Vec::new();
            for (volume, source) in volumes.iter().zip(&sources) {
                pairs.push((cut_of(volume), source));
            }
            cut(services, &pairs)?;
            for (volume, source) in volumes.iter().zip(&sources) {
                let spec = spec_of(services, volume)?;
                let near = (source.backend(), cut_of(volume));
                moving::fill_from_snapshot(services, job, volume, near, spec)?;
            }
            Ok(())
        };
        let result = cloned();
        for (volume, source) in volumes.iter().zip(&sources) {
            let store = services.store_of(source.backend())?;
            store.delete_snapshot(cut_of(volume))?;
        }
        result
    }
}

/// Freezes volumes: those of one backend at one moment. A group's volumes are all on one.
fn cut(services: &Services, pairs: &[(SnapshotId, &Volume)]) -> Result<(), JobError> {
    for backend in services.backends().iter() {
        let is_here = |volume: &Volume| {
            let named = volume
                .backend()
                .and_then(|row| services.backends().get(row));
            named.is_some_and(|named| named.name() == backend.name())
        };
        let here: Vec<_> = pairs
            .iter()
            .filter(|(_, volume)| is_here(volume))
            .map(|(snapshot, volume)| (*snapshot, VolumeId(volume.id)))
            .collect();
        if !here.is_empty() {
            backend.store().create_snapshots(&here)?;
        }
    }
    Ok(())
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
            Some(_) => Self::of_snapshots(services, job, &volumes),
            None => Self::of_volumes(services, job, &volumes),
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
            action: Action::CreateVolume,
            detail: Detail::Unknown,
        };
        tell_parts(writer, job, result, failure, now_us)?;
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
        let parts = services.catalogue().read(|reader| {
            let parts = rows::<Snapshot>(reader, job)?;
            let volume = |part: Snapshot| {
                let volume = reader.get::<Volume>(&part.volume_id)?;
                Ok((SnapshotId(part.id), volume.ok_or_else(no_source)?))
            };
            let parts = parts.into_iter().map(volume);
            parts.collect::<Result<Vec<_>, JobError>>()
        })?;
        let pairs: Vec<(SnapshotId, &Volume)> =
            parts.iter().map(|(id, volume)| (*id, volume)).collect();
        cut(services, &pairs)
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
        tell_parts(writer, job, result, failure, now_us)?;
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
        let parts = services
            .catalogue()
            .read(|reader| rows::<Snapshot>(reader, job))?;
        for part in parts.iter().filter(|part| part.backend.is_some()) {
            let store = services.store_of(part.backend())?;
            store.delete_snapshot(SnapshotId(part.id))?;
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
        let failure = Failure {
            resource: Resource::Snapshot,
            action: Action::DeleteSnapshot,
            detail: Detail::SnapshotDeletion,
        };
        tell_parts(writer, job, result, failure, now_us)?;
        drop_parts::<Snapshot>(writer, job, result, now_us, |id| {
            forget::<Snapshot>(writer, id)
        })?;
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
