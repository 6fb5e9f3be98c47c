//! Groups of volumes, and snapshots of whole groups.
//!
//! A group snapshot is one cut through all volumes of its group: what one volume has of the time
//! before the cut, the others have too. Consistency groups ([`legacy`], [`legacy_snapshots`]) are
//! an older interface to the same records.
//!
//! What needs the engine is done by jobs ([`work`]) that hold all objects concerned; the rest (new
//! groups, changes of members) is done when the call returns.

mod actions;
mod bodies;
mod calls;
mod create;
mod delete;
mod legacy;
mod legacy_snapshots;
mod lists;
mod members;
mod records;
mod replication;
mod snapshot_calls;
mod snapshots;
mod source;
#[cfg(test)]
mod tests;
mod view;
mod work;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::records::{BY_GROUP, Volume};
use super::{backends, group_types, services as service_states, validate};
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View};
use crate::fault::Fault;
use crate::jobs::Registry;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

pub(super) use records::{Group, GroupSnapshot};

use records::BY_TYPE;

/// The microversion that brought groups.
pub(super) const SINCE: u16 = 13;
/// The microversion that brought group snapshots, and groups made from others.
pub(super) const SNAPSHOTS_SINCE: u16 = 14;

/// States that an admin may give a group or a group snapshot.
pub(super) const STATUSES: [&str; 7] = [
    "error",
    "available",
    "creating",
    "deleting",
    "deleted",
    "updating",
    "error_deleting",
];

pub(super) fn routes() -> Routes {
    Routes::new()
        .merge(calls::routes())
        .merge(snapshot_calls::routes())
        .merge(legacy::routes())
        .merge(legacy_snapshots::routes())
}

/// Registers the handlers of the jobs of groups.
pub(super) fn register(registry: &mut Registry) {
    work::register(registry);
}

/// 404 of a group.
fn no_group(id: &str) -> Fault {
    Fault::not_found(format!("Group {id} could not be found."))
}

/// The group if the caller may see it, or 404.
pub(super) fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Group, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_group(id))?;
    let found = view.get::<Group>(&parsed)?;
    let found = found.filter(|group| caller.sees(&group.project_id));
    let group = found.ok_or_else(|| no_group(id))?;
    caller.check(Rule::GroupGet, &group)?;
    Ok(group)
}

/// The volumes of a group.
fn volumes_of(view: &impl View, group: Uuid) -> catalogue::Result<Vec<Volume>> {
    view.list(&Query::by(BY_GROUP, Key::new().uuid(group)))
}

/// Whether any group is of a type.
pub(super) fn is_type_used(view: &impl View, group_type: Uuid) -> catalogue::Result<bool> {
    let query = Query::by(BY_TYPE, Key::new().uuid(group_type)).limit(1);
    Ok(view.count::<Group>(&query)? > 0)
}

/// Whether a group is a consistency group.
pub(super) fn is_consistency(view: &impl View, group: Uuid) -> catalogue::Result<bool> {
    match view.get::<Group>(&group)? {
        Some(group) => Ok(Some(group.group_type_id) == group_types::consistency_id(view)?),
        None => Ok(false),
    }
}

/// The group that a body of a new volume names, by the key of groups or that of consistency groups.
/// Either is heard at every version, as by the real service.
pub(super) fn asked(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    let consistency = validate::id(map, "consistencygroup_id")?;
    // Older microversions read it too; only newer ones say what it has to be.
    let group = map.get("group_id").filter(|group| !group.is_null());
    let group = group.map(validate::shown);
    Ok(group.or(consistency.map(|id| id.to_string())))
}

/// The group that a new volume of a type goes into.
pub(super) fn join(
    view: &impl View,
    caller: &Caller,
    group: &str,
    volume_type: Option<Uuid>,
) -> Result<Uuid, Fault> {
    let refused = |reason: String| {
        Err(Fault::bad_request(format!(
            "Invalid input received: {reason}"
        )))
    };
    let group = find(view, caller, group)?;
    let Some(volume_type) = volume_type else {
        return refused(
            "volume_type must be provided when creating a volume in a group.".to_owned(),
        );
    };
    if !group.volume_type_ids.contains(&volume_type) {
        return refused(format!(
            "Invalid volume_type provided: {volume_type} (requested type must be supported by \
             this group)."
        ));
    }
    if group.status == "deleting" {
        return Err(invalid("Group is being deleted."));
    }
    Ok(group.id)
}

/// The name of the backend that the volumes of a group are on.
pub(super) fn backend_of(view: &impl View, group: Uuid) -> catalogue::Result<Option<String>> {
    Ok(view.get::<Group>(&group)?.and_then(|group| group.backend))
}

/// 400 while the host of a backend is frozen.
fn check_not_frozen(
    services: &Services,
    view: &impl View,
    backend: Option<&str>,
) -> Result<(), Fault> {
    let host = backends::service_host_of(services, backend);
    service_states::check_not_frozen(view, &host)
}

/// 400 of a group that is not in the state for what is asked.
fn invalid(reason: impl std::fmt::Display) -> Fault {
    Fault::bad_request(format!("Invalid Group: {reason}"))
}

/// 400 of a volume that is not in the state for what is asked of its group.
fn invalid_volume(reason: impl std::fmt::Display) -> Fault {
    Fault::bad_request(format!("Invalid volume: {reason}"))
}
