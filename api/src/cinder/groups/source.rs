//! Groups made from a group snapshot or from another group: a clone of each of its volumes.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::bodies::{self, Texts};
use super::{Group, GroupSnapshot, check_not_frozen, find, invalid, snapshots, volumes_of, work};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::cinder::records::{Snapshot, Volume};
use crate::cinder::validate::{invalid as invalid_value, repr};
use crate::cinder::{quotas, volume_row, volumes};
use crate::fault::Fault;
use crate::jobs;
use crate::policy::Rule;
use crate::server::Services;

/// What a group is made from, as a request names it.
pub(super) enum Source {
    Snapshot(String),
    Group(String),
}

/// What the action `create-from-src` asks for.
pub(super) fn parse(body: &Value) -> Result<(Texts, Source), Fault> {
    const ACTION: &str = "create-from-src";
    const SNAPSHOT: &str = "group_snapshot_id";
    const GROUP: &str = "source_group_id";
    let keys = ["name", "description", SNAPSHOT, GROUP];
    let map = bodies::sole(body, ACTION, &keys)?;
    let texts = Texts::parse(map)?;
    let id = |key: &str| -> Result<Option<String>, Fault> {
        let value = map.get(key).map(|value| bodies::uuid(key, value));
        Ok(value.transpose()?.map(|id| id.to_string()))
    };
    match (id(SNAPSHOT)?, id(GROUP)?) {
        (Some(snapshot), None) => Ok((texts, Source::Snapshot(snapshot))),
        (None, Some(group)) => Ok((texts, Source::Group(group))),
        (None, None) => Err(of_schema(
            ACTION,
            map,
            "not valid under any of the given schemas",
        )),
        (Some(_), Some(_)) => {
            let both = format!(
                "valid under each of {{'required': ['{GROUP}']}}, {{'required': ['{SNAPSHOT}']}}"
            );
            Err(of_schema(ACTION, map, &both))
        }
    }
}

fn of_schema(name: &str, map: &Map<String, Value>, what: &str) -> Fault {
    let value = Value::Object(map.clone());
    let reason = format!("{} is {what}", repr(&value));
    invalid_value(name, &value, &reason)
}

/// A source that is there.
enum Found {
    Snapshot(GroupSnapshot, Vec<Snapshot>),
    Group(Vec<Volume>),
}

/// Adds a group with its volumes, takes their quotas and queues the work; `allow` refuses a source
/// by its type.
pub(super) fn create(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    texts: Texts,
    source: &Source,
    allow: impl FnOnce(Uuid) -> Result<(), Fault>,
) -> Result<Group, Fault> {
    let (found, origin) = load(writer, caller, source)?;
    allow(origin.group_type_id)?;
    caller.check_own(Rule::GroupCreate)?;
    let project = caller.require_project()?;
    quotas::reserve(writer, project, Group::counts())?;
    let (group_snapshot_id, source_group_id) = match &found {
        Found::Snapshot(snapshot, _) => (Some(snapshot.id), None),
        Found::Group(_) => (None, Some(origin.id)),
    };
    let group = Group {
        id: Uuid::new_v4(),
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        name: texts.name,
        description: texts.description,
        status: "creating".to_owned(),
        group_snapshot_id,
        source_group_id,
        created_us: services.now_us(),
        updated_us: None,
        ..origin
    };
    if group.backend.is_none() {
        return Err(invalid(format!(
            "No valid host to create group {}.",
            group.id
        )));
    }
    check_not_frozen(services, writer, group.backend.as_deref())?;
    let clones = match &found {
        Found::Snapshot(_, parts) if parts.is_empty() => {
            return Err(invalid(
                "Group snapshot is empty. No group will be created.",
            ));
        }
        Found::Group(members) if members.is_empty() => {
            return Err(invalid("Source Group is empty. No group will be created."));
        }
        Found::Snapshot(_, parts) => parts.iter().map(clone_of_snapshot).collect(),
        Found::Group(members) => members.iter().map(clone_of_volume).collect(),
    };
    writer.insert(&group)?;
    queue(services, writer, caller, &group, clones)?;
    Ok(group)
}

/// What a request names, and the group that it is or is of.
fn load(view: &impl View, caller: &Caller, source: &Source) -> Result<(Found, Group), Fault> {
    match source {
        Source::Snapshot(id) => {
            let snapshot = snapshots::find(view, caller, id)?;
            let parts = snapshots::parts_of(view, snapshot.id)?;
            let origin = find(view, caller, &snapshot.group_id.to_string())?;
            Ok((Found::Snapshot(snapshot, parts), origin))
        }
        Source::Group(id) => {
            let origin = find(view, caller, id)?;
            Ok((Found::Group(volumes_of(view, origin.id)?), origin))
        }
    }
}

/// A volume with what a snapshot holds.
fn clone_of_snapshot(source: &Snapshot) -> volumes::Wanted {
    volumes::Wanted {
        size_gib: Some(source.size_gib),
        volume_type: Some(source.volume_type_id.to_string()),
        snapshot_id: Some(source.id),
        ..volumes::Wanted::default()
    }
}

/// A volume with what another holds.
fn clone_of_volume(source: &Volume) -> volumes::Wanted {
    volumes::Wanted {
        size_gib: Some(source.size_gib),
        volume_type: Some(source.volume_type_id.to_string()),
        source_volid: Some(source.id),
        ..volumes::Wanted::default()
    }
}

/// Adds the volumes and queues the one job that fills them all.
fn queue(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    group: &Group,
    clones: Vec<volumes::Wanted>,
) -> Result<(), Fault> {
    let mut job = work::job(services, work::CLONE_GROUP, group.id, &group.project_id);
    for mut wanted in clones {
        wanted.group = Some(group.id.to_string());
        let volume = volume_row::add(services, writer, (caller, &group.project_id), &wanted, None)?;
        job = job.owning(volume.id);
        if let Some(source) = wanted.snapshot_id.or(wanted.source_volid) {
            job = job.reading(source);
        }
    }
    Ok(jobs::enqueue(writer, job)?)
}
