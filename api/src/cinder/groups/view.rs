//! Groups and group snapshots as answers show them.

use serde_json::{Value, json};

use super::{Group, GroupSnapshot, SNAPSHOTS_SINCE, volumes_of};
use crate::auth::Caller;
use crate::catalogue::{self, View};
use crate::clock::volume_time;
use crate::microversion::Microversion;
use crate::policy::Rule;

/// The microversion from which groups can list their volumes.
pub(super) const VOLUMES_SINCE: u16 = 25;
/// The microversion that brought replication of groups.
pub(super) const REPLICATION_SINCE: u16 = 38;
/// The microversion from which admins are told the project.
const PROJECT_SINCE: u16 = 58;

/// Who looks, and how.
pub(super) struct Viewer<'a> {
    pub(super) caller: &'a Caller,
    pub(super) version: Microversion,
    pub(super) zone: &'a str,
    /// Whether groups come with the ids of their volumes.
    pub(super) with_volumes: bool,
}

/// Id and name of a group.
pub(super) fn summary(group: &Group) -> Value {
    json!({"id": group.id, "name": group.name})
}

/// Id and name of a group snapshot.
pub(super) fn snapshot_summary(snapshot: &GroupSnapshot) -> Value {
    json!({"id": snapshot.id, "name": snapshot.name})
}

impl Viewer<'_> {
    pub(super) fn group(&self, view: &impl View, group: &Group) -> catalogue::Result<Value> {
        let mut shown = self.consistency_group(group);
        shown["group_type"] = json!(group.group_type_id);
        if self.version.has(SNAPSHOTS_SINCE) {
            shown["group_snapshot_id"] = json!(group.group_snapshot_id);
            shown["source_group_id"] = json!(group.source_group_id);
        }
        if self.version.has(VOLUMES_SINCE) && self.with_volumes {
            let volumes = volumes_of(view, group.id)?;
            let ids: Vec<_> = volumes.iter().map(|volume| volume.id).collect();
            shown["volumes"] = json!(ids);
        }
        if self.version.has(REPLICATION_SINCE) {
            // Nothing is replicated: that is what every group begins and stays with.
            shown["replication_status"] = json!("disabled");
        }
        let rule = Rule::GroupProjectAttribute;
        if self.version.has(PROJECT_SINCE) && self.caller.can_own(rule) {
            shown["project_id"] = json!(group.project_id);
        }
        Ok(shown)
    }

    pub(super) fn consistency_group(&self, group: &Group) -> Value {
        json!({
            "id": group.id,
            "status": group.status,
            "availability_zone": self.zone,
            "created_at": volume_time(group.created_us),
            "name": group.name,
            "description": group.description,
            "volume_types": group.volume_type_ids,
        })
    }

    pub(super) fn snapshot(&self, snapshot: &GroupSnapshot) -> Value {
        let mut shown = common(snapshot);
        shown["group_id"] = json!(snapshot.group_id);
        shown["group_type_id"] = json!(snapshot.group_type_id);
        let rule = Rule::GroupSnapshotProjectAttribute;
        if self.version.has(PROJECT_SINCE) && self.caller.can_own(rule) {
            shown["project_id"] = json!(snapshot.project_id);
        }
        shown
    }
}

/// A group snapshot as the calls of consistency groups show it.
pub(super) fn consistency_snapshot(snapshot: &GroupSnapshot) -> Value {
    let mut shown = common(snapshot);
    shown["consistencygroup_id"] = json!(snapshot.group_id);
    shown
}

fn common(snapshot: &GroupSnapshot) -> Value {
    json!({
        "id": snapshot.id,
        "status": snapshot.status,
        "created_at": volume_time(snapshot.created_us),
        "name": snapshot.name,
        "description": snapshot.description,
    })
}
