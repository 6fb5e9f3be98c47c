//! Deletion of groups, with or without their volumes.

use super::{Group, GroupSnapshot, check_not_frozen, invalid, volumes_of, work};
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::cinder::quotas;
use crate::cinder::records::{BY_GROUP, BY_SOURCE, BY_VOLUME, Snapshot, Volume};
use crate::cinder::volume_view::attachments_of;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;
use uuid::Uuid;

/// Removes a group that has no volumes at once; one that has them goes with them, by a job.
pub(super) fn delete(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut group: Group,
    with_volumes: bool,
) -> Result<(), Fault> {
    caller.check(Rule::GroupDelete, &group)?;
    let is_idle = ["available", "error"].contains(&group.status.as_str());
    // One that is on no backend has nothing that could be in the way.
    if group.backend.is_some() {
        check_not_frozen(services, writer, group.backend.as_deref())?;
    }
    if !with_volumes && !is_idle && group.backend.is_some() {
        return Err(invalid(format!(
            "Group status must be available or error, but current status is: {}",
            group.status
        )));
    }
    let snapshots = Query::by(BY_GROUP, Key::new().uuid(group.id)).limit(1);
    if writer.count::<GroupSnapshot>(&snapshots)? > 0 {
        return Err(invalid("Group has existing snapshots."));
    }
    if is_being_cloned(writer, group.id)? {
        return Err(invalid(format!(
            "Cannot delete group {}. Group must not have attached volumes, volumes with \
             snapshots, or dependent group snapshots, and it cannot be the source for an ongoing \
             group or group snapshot creation.",
            group.id
        )));
    }
    let volumes = volumes_of(writer, group.id)?;
    if volumes.is_empty() {
        return Ok(vanish(writer, &group)?);
    }
    if !with_volumes {
        return Err(invalid(format!(
            "Group {} still contains volumes. The delete-volumes flag is required to delete it.",
            group.id
        )));
    }
    for volume in &volumes {
        check_volume(writer, &group, volume)?;
    }
    let now_us = services.now_us();
    group.status = "deleting".to_owned();
    group.updated_us = Some(now_us);
    writer.put(&group)?;
    let mut job = work::job(services, work::DELETE_GROUP, group.id, &group.project_id);
    for mut volume in volumes {
        job = job.owning(volume.id);
        volume.status = "deleting".to_owned();
        volume.updated_us = Some(now_us);
        writer.put(&volume)?;
    }
    Ok(crate::jobs::enqueue(writer, job)?)
}

/// Refuses a volume that cannot go.
fn check_volume(view: &impl View, group: &Group, volume: &Volume) -> Result<(), Fault> {
    if !attachments_of(view, volume)?.is_empty() {
        return Err(invalid(format!(
            "Volume in group {} is attached. Need to detach first.",
            group.id
        )));
    }
    let snapshots = Query::by(BY_VOLUME, Key::new().uuid(volume.id)).limit(1);
    if view.count::<Snapshot>(&snapshots)? > 0 {
        return Err(invalid("Volume in group still has dependent snapshots."));
    }
    Ok(())
}

/// Whether a group is being made from a group or a group snapshot.
pub(super) fn is_being_cloned(view: &impl View, source: Uuid) -> catalogue::Result<bool> {
    let clones: Vec<Group> = view.list(&Query::by(BY_SOURCE, Key::new().uuid(source)))?;
    Ok(clones.iter().any(|clone| clone.status == "creating"))
}

/// Removes the row of a group that has no volumes any more and gives its quota back.
pub(super) fn vanish(writer: &Writer, group: &Group) -> catalogue::Result<()> {
    match writer.delete::<Group>(&group.id)? {
        Some(gone) => quotas::release(writer, &gone.project_id, Group::counts()),
        None => Ok(()),
    }
}
