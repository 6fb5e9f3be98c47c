//! Changes of a group: its name, its description, and which volumes are in it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::bodies::Texts;
use super::{Group, invalid, invalid_volume, volumes_of};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::cinder::records::Volume;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;

/// Statuses of volumes that can go into a group.
const ADDABLE: [&str; 2] = ["available", "in-use"];
/// Statuses of volumes that can be taken out of a group.
const REMOVABLE: [&str; 4] = ["available", "in-use", "error", "error_deleting"];

/// What is asked to be changed.
pub(super) struct Changes {
    pub(super) texts: Texts,
    pub(super) add: Vec<String>,
    pub(super) remove: Vec<String>,
}

impl Changes {
    pub(super) fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self {
            texts: Texts::parse(map)?,
            add: ids(map, "add_volumes")?,
            remove: ids(map, "remove_volumes")?,
        })
    }
}

/// Ids in one text, with commas between them.
fn ids(map: &Map<String, Value>, key: &str) -> Result<Vec<String>, Fault> {
    let text = map.get(key).and_then(Value::as_str).unwrap_or_default();
    let text = text.trim().trim_matches(',');
    if text.is_empty() {
        return Ok(Vec::new());
    }
    Ok(text.split(',').map(str::to_owned).collect())
}

/// Texts in the form of Python's lists.
fn listed(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    quoted.join(", ")
}

/// Changes a group at once; members change only while it is available.
pub(super) fn update(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut group: Group,
    changes: &Changes,
) -> Result<(), Fault> {
    caller.check(Rule::GroupUpdate, &group)?;
    check_both(changes)?;
    let members = volumes_of(writer, group.id)?;
    let added = to_add(services, writer, &group, &members, &changes.add)?;
    let removed = to_remove(&group, members, &changes.remove)?;
    let changed = |new: &Option<String>, old: &Option<String>| new.is_some() && new != old;
    let texts = &changes.texts;
    let renamed = changed(&texts.name, &group.name);
    let described = changed(&texts.description, &group.description);
    let moves = !added.is_empty() || !removed.is_empty();
    if !renamed && !described && !moves {
        return Err(invalid(format!(
            "Cannot update group {} because no valid name, description, add_volumes, or \
             remove_volumes were provided.",
            group.id
        )));
    }
    if moves && group.status != "available" {
        return Err(invalid("Group status must be available."));
    }
    let now_us = services.now_us();
    let place = |volumes: Vec<Volume>, place: Option<Uuid>| -> Result<(), Fault> {
        for mut volume in volumes {
            volume.group_id = place;
            volume.updated_us = Some(now_us);
            writer.put(&volume)?;
        }
        Ok(())
    };
    place(added, Some(group.id))?;
    place(removed, None)?;
    if renamed {
        group.name.clone_from(&texts.name);
    }
    if described {
        group.description.clone_from(&texts.description);
    }
    group.status = "available".to_owned();
    group.updated_us = Some(now_us);
    Ok(writer.put(&group)?)
}

fn check_both(changes: &Changes) -> Result<(), Fault> {
    let both: Vec<&str> = changes
        .add
        .iter()
        .filter(|id| changes.remove.contains(id))
        .map(String::as_str)
        .collect();
    if both.is_empty() {
        return Ok(());
    }
    Err(invalid_volume(format!(
        "UUIDs [{}] are in both add and remove volume list.",
        listed(&both)
    )))
}

/// The volumes to take out.
fn to_remove(group: &Group, members: Vec<Volume>, ids: &[String]) -> Result<Vec<Volume>, Fault> {
    let refused = |id: &str, why: String| {
        let group = group.id;
        Err(invalid_volume(format!(
            "Cannot remove volume {id} from group {group} because {why}"
        )))
    };
    let mut removed = Vec::new();
    for volume in members {
        let id = volume.id.to_string();
        if !ids.contains(&id) {
            continue;
        }
        if !REMOVABLE.contains(&volume.status.as_str()) {
            let (status, valid) = (&volume.status, listed(&REMOVABLE));
            return refused(
                &id,
                format!("volume is in an invalid state: {status}. Valid states are: ({valid})."),
            );
        }
        removed.push(volume);
    }
    let is_found = |id: &&String| removed.iter().any(|volume| volume.id.to_string() == **id);
    match ids.iter().find(|id| !is_found(id)) {
        Some(id) => refused(id, "it is not in the group.".to_owned()),
        None => Ok(removed),
    }
}

/// The volumes to put in, without those that are in already.
fn to_add(
    services: &Services,
    view: &impl View,
    group: &Group,
    members: &[Volume],
    ids: &[String],
) -> Result<Vec<Volume>, Fault> {
    let mut added: Vec<Volume> = Vec::new();
    for id in ids {
        let is = |volume: &Volume| volume.id.to_string() == *id;
        if members.iter().any(is) || added.iter().any(is) {
            continue;
        }
        let parsed = Uuid::parse_str(id).ok();
        let found = parsed.map(|id| view.get::<Volume>(&id)).transpose()?;
        match check_added(group, found.flatten()) {
            Ok(volume) if !is_local(services, group, &volume) => {
                return Err(invalid_volume("Volume is not local to this node."));
            }
            Ok(volume) => added.push(volume),
            Err(why) => {
                let group = group.id;
                return Err(invalid_volume(format!(
                    "Cannot add volume {id} to group {group} {why}"
                )));
            }
        }
    }
    Ok(added)
}

/// Whether a volume is on the backend of a group.
fn is_local(services: &Services, group: &Group, volume: &Volume) -> bool {
    let named = |row: &Option<String>| {
        let backend = row.as_deref().and_then(|row| services.backends().get(row));
        backend.map(|backend| backend.name().to_owned())
    };
    named(&group.backend) == named(&volume.backend)
}

/// A volume that can be put in, or why not.
fn check_added(group: &Group, volume: Option<Volume>) -> Result<Volume, String> {
    let volume = volume.ok_or("because volume cannot be found.")?;
    if let Some(other) = volume.group_id {
        return Err(format!("because it is already in group {other}."));
    }
    if volume.project_id != group.project_id {
        return Err("as they belong to different projects.".to_owned());
    }
    if !group.volume_type_ids.contains(&volume.volume_type_id) {
        return Err(format!(
            "because volume type {} is not supported by the group.",
            volume.volume_type_id
        ));
    }
    if !ADDABLE.contains(&volume.status.as_str()) {
        return Err(format!(
            "because volume is in an invalid state: {}. Valid states are: ({}).",
            volume.status,
            listed(&ADDABLE)
        ));
    }
    Ok(volume)
}
