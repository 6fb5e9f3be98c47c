//! New groups, empty ones.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Group;
use super::bodies::{self, Texts, required};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::cinder::group_types::{self, GroupType};
use crate::cinder::records::VolumeType;
use crate::cinder::{backends, quotas, types, validate};
use crate::fault::Fault;
use crate::server::Services;

/// What is asked for in a new group, checked as far as the body alone allows.
pub(super) struct Wanted {
    pub(super) texts: Texts,
    pub(super) volume_types: Vec<String>,
    pub(super) zone: Option<String>,
}

impl Wanted {
    /// The group and the name or id of its type.
    pub(super) fn parse(body: &Value) -> Result<(Self, String), Fault> {
        const KEYS: [&str; 5] = [
            "name",
            "description",
            "group_type",
            "volume_types",
            "availability_zone",
        ];
        let map = bodies::sole(body, "group", &KEYS)?;
        let group_type = bodies::word("group_type", required("group", map, "group_type")?)?;
        let volume_types = required("group", map, "volume_types")?;
        let wanted = Self {
            texts: Texts::parse(map)?,
            volume_types: bodies::names("volume_types", volume_types)?,
            zone: zone(map)?,
        };
        Ok((wanted, group_type))
    }
}

/// The zone asked for.
pub(super) fn zone(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match map.get("availability_zone") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => bodies::word("availability_zone", value).map(Some),
    }
}

/// 400 for the type of consistency groups, which the calls of groups leave to those.
pub(super) fn check_generic(view: &impl View, group_type: Uuid, kind: &str) -> Result<(), Fault> {
    if group_types::consistency_id(view)? != Some(group_type) {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Group_type {group_type} is reserved for migrating CGs to groups. Migrated {kind} APIs."
    )))
}

/// What messages of [`check_generic`] say of groups.
pub(super) const GROUP: &str = "group can only be operated by CG";
/// What messages of [`check_generic`] say of group snapshots.
pub(super) const SNAPSHOT: &str = "group snapshots can only be operated by CG snapshot";

/// The volume types asked for, each once.
pub(super) fn volume_types(view: &impl View, wanted: &Wanted) -> Result<Vec<VolumeType>, Fault> {
    let mut volume_types: Vec<VolumeType> = Vec::new();
    for name in &wanted.volume_types {
        // Private types too: who may use them is asked when a volume is made.
        let found = types::find_type(view, None, name)?;
        if !volume_types.iter().any(|other| other.id == found.id) {
            volume_types.push(found);
        }
    }
    Ok(volume_types)
}

/// Adds an empty group to the caller's project and takes its quota. Its status is error when no
/// backend has what its types ask for.
pub(super) fn create(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    group_type: &GroupType,
    wanted: Wanted,
) -> Result<Group, Fault> {
    let project = caller.require_project()?;
    let volume_types = volume_types(writer, &wanted)?;
    if let Some(zone) = wanted.zone
        && zone != services.config().availability_zone
    {
        return Err(Fault::bad_request(format!(
            "Invalid input received: Availability zone '{zone}' is invalid."
        )));
    }
    quotas::reserve(writer, project, Group::counts())?;
    let specs = &group_type.group_specs;
    let backend = backends::choose_for_all(services, writer, &volume_types, specs)?;
    let status = if backend.is_some() {
        "available"
    } else {
        "error"
    };
    let group = Group {
        id: Uuid::new_v4(),
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        name: wanted.texts.name,
        description: wanted.texts.description,
        status: status.to_owned(),
        backend: backend.map(|backend| backend.name().to_owned()),
        group_type_id: group_type.id,
        volume_type_ids: volume_types.iter().map(|found| found.id).collect(),
        group_snapshot_id: None,
        source_group_id: None,
        created_us: services.now_us(),
        updated_us: None,
    };
    writer.insert(&group)?;
    Ok(group)
}

/// The types of a consistency group: one text, with commas between them.
pub(super) fn legacy_types(map: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let name = map.get("name").map_or("None".to_owned(), validate::shown);
    match map.get("volume_types") {
        Some(Value::String(text)) if !text.trim_end_matches(',').is_empty() => {
            let names = text.trim_end_matches(',').split(',');
            Ok(names.map(|name| name.trim().to_owned()).collect())
        }
        _ => Err(Fault::bad_request(format!(
            "volume_types must be provided to create consistency group {name}."
        ))),
    }
}
