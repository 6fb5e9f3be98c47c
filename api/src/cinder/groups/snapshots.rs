//! Group snapshots: making and deleting them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::bodies::Texts;
use super::delete::is_being_cloned;
use super::{Group, GroupSnapshot, check_not_frozen, invalid, invalid_volume, volumes_of, work};
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::cinder::quotas::{self, Change};
use crate::cinder::records::{BY_GROUP_SNAPSHOT, Snapshot, Volume};
use crate::fault::Fault;
use crate::jobs;
use crate::policy::Rule;
use crate::server::Services;

/// 404 of a group snapshot.
pub(super) fn no_snapshot(id: &str) -> Fault {
    Fault::not_found(format!("GroupSnapshot {id} could not be found."))
}

/// The group snapshot if the caller may see it, or 404.
pub(super) fn find(view: &impl View, caller: &Caller, id: &str) -> Result<GroupSnapshot, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_snapshot(id))?;
    let found = view.get::<GroupSnapshot>(&parsed)?;
    let found = found.filter(|snapshot| caller.sees(&snapshot.project_id));
    let snapshot = found.ok_or_else(|| no_snapshot(id))?;
    caller.check(Rule::GroupGetGroupSnapshot, &snapshot)?;
    Ok(snapshot)
}

/// The snapshots of single volumes that make up a group snapshot.
pub(super) fn parts_of(view: &impl View, id: Uuid) -> catalogue::Result<Vec<Snapshot>> {
    view.list(&Query::by(BY_GROUP_SNAPSHOT, Key::new().uuid(id)))
}

/// Adds a group snapshot with a snapshot of each volume, takes their quotas and queues the cut.
pub(super) fn create(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    group: &Group,
    texts: Texts,
) -> Result<GroupSnapshot, Fault> {
    caller.check(Rule::GroupCreateGroupSnapshot, group)?;
    if group.backend.is_none() {
        return Err(invalid_volume("volume is not assigned to a host"));
    }
    check_not_frozen(services, writer, group.backend.as_deref())?;
    let volumes = volumes_of(writer, group.id)?;
    if volumes.is_empty() || ["creating", "updating"].contains(&group.status.as_str()) {
        return Err(invalid(
            "Source group cannot be empty or in 'creating' or 'updating' state. No group snapshot \
             will be created.",
        ));
    }
    for volume in &volumes {
        caller.check(Rule::VolumeCreateSnapshot, volume)?;
        check_volume(volume)?;
    }
    reserve(writer, &group.project_id, &volumes)?;
    let whole = GroupSnapshot {
        id: Uuid::new_v4(),
        project_id: group.project_id.clone(),
        user_id: caller.user_id.clone(),
        group_id: group.id,
        group_type_id: group.group_type_id,
        name: texts.name,
        description: texts.description,
        status: "creating".to_owned(),
        created_us: services.now_us(),
        updated_us: None,
    };
    writer.insert(&whole)?;
    let mut job = work::job(services, work::CREATE_SNAPSHOT, whole.id, &whole.project_id);
    for volume in &volumes {
        let part = Snapshot {
            name: whole.name.clone(),
            description: whole.description.clone(),
            group_snapshot_id: Some(whole.id),
            ..Snapshot::of(volume, &caller.user_id, whole.created_us)
        };
        writer.insert(&part)?;
        job = job.owning(part.id).reading(volume.id);
    }
    jobs::enqueue(writer, job)?;
    Ok(whole)
}

/// Refuses a volume that cannot be frozen.
fn check_volume(volume: &Volume) -> Result<(), Fault> {
    let reason = match volume.status.as_str() {
        "creating" | "deleting" => {
            "The snapshot cannot be created because volume has not been scheduled to any host."
        }
        "maintenance" => "The snapshot cannot be created when the volume is in maintenance mode.",
        "error" => "The snapshot cannot be created when the volume is in error status.",
        _ => return Ok(()),
    };
    Err(invalid_volume(reason))
}

/// Counts all snapshots at once: a refusal tells what they are together.
fn reserve(writer: &Writer, project: &str, volumes: &[Volume]) -> Result<(), Fault> {
    let mut of_types: BTreeMap<Uuid, Change> = BTreeMap::new();
    let mut total = Change::default();
    for volume in volumes {
        let gigabytes = Change::of_gib(volume.size_gib).gigabytes;
        let of_type = of_types.entry(volume.volume_type_id).or_default();
        for sum in [of_type, &mut total] {
            sum.snapshots += 1;
            sum.gigabytes = sum.gigabytes.saturating_add(gigabytes);
        }
    }
    for (volume_type, change) in of_types {
        quotas::check_type(writer, project, volume_type, change)?;
    }
    quotas::reserve(writer, project, total)
}

/// Gives a group snapshot and its parts the status deleting and queues the work.
pub(super) fn delete(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut whole: GroupSnapshot,
) -> Result<(), Fault> {
    caller.check(Rule::GroupDeleteGroupSnapshot, &whole)?;
    let group = writer.get::<Group>(&whole.group_id)?;
    let backend = group.and_then(|group| group.backend);
    check_not_frozen(services, writer, backend.as_deref())?;
    let is_idle = ["available", "error"].contains(&whole.status.as_str());
    if !is_idle || is_being_cloned(writer, whole.id)? {
        return Err(Fault::bad_request(
            "Invalid GroupSnapshot: GroupSnapshot status must be available or error, and no Group \
             can be currently using it as source for its creation.",
        ));
    }
    let now_us = services.now_us();
    whole.status = "deleting".to_owned();
    whole.updated_us = Some(now_us);
    writer.put(&whole)?;
    let mut job = work::job(services, work::DELETE_SNAPSHOT, whole.id, &whole.project_id);
    for mut part in parts_of(writer, whole.id)? {
        job = job.owning(part.id);
        part.status = "deleting".to_owned();
        part.updated_us = Some(now_us);
        writer.put(&part)?;
    }
    Ok(jobs::enqueue(writer, job)?)
}
