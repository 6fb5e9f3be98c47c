//! Groups, group snapshots and their types.

use super::volume_actions::of;
use super::{
    in_any_case, links, pairs, shown_specs, specs, spelled_flag, uuid_or_null, words_or_null,
};
use crate::cinder::groups::{SINCE, SNAPSHOTS_SINCE, STATUSES};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::shape::{
    Field, Shape, any_of, distinct, field, flag, list, maybe, null, object, text, text_of, time,
    uuid, words, wrapped,
};
use crate::openapi::{ALL_TENANTS, ORDER, Operation, PAGES, Parameter, parameter, truth};
use crate::policy::Rule;

/// The microversion that brought group types.
const TYPES_SINCE: u16 = 11;
/// The microversion that brought replication.
const REPLICATION_SINCE: u16 = 38;

const PUBLIC: &[Parameter] = &[parameter(
    "is_public",
    || words(&["true", "false", "none"]),
    "Public types, private ones or both; admins only.",
)];

pub(in crate::cinder) const TYPES: Operation = Operation::get("/group_types", "List group types.")
    .since(TYPES_SINCE)
    .query(&[PAGES, ORDER, PUBLIC])
    .answers(200, || {
        page("group_types", group_type(), "group_type_links")
    });
pub(in crate::cinder) const CREATE_TYPE: Operation =
    Operation::post("/group_types", "Create a group type.")
        .since(TYPES_SINCE)
        .rule(Rule::GroupTypesCreate)
        .body(new_type)
        .answers(202, || wrapped("group_type", group_type()))
        .faults(&[409]);
pub(in crate::cinder) const SHOW_TYPE: Operation =
    Operation::get("/group_types/{type_id}", "Show a group type.")
        .since(TYPES_SINCE)
        .answers(200, || wrapped("group_type", group_type()));
pub(in crate::cinder) const UPDATE_TYPE: Operation =
    Operation::put("/group_types/{type_id}", "Change a group type.")
        .since(TYPES_SINCE)
        .rule(Rule::GroupTypesUpdate)
        .body(type_changes)
        .answers(200, || wrapped("group_type", group_type()))
        .faults(&[409]);
pub(in crate::cinder) const DELETE_TYPE: Operation =
    Operation::delete("/group_types/{type_id}", "Delete a group type.")
        .since(TYPES_SINCE)
        .rule(Rule::GroupTypesDelete)
        .empty(202);

pub(in crate::cinder) const SPECS: Operation = Operation::get(
    "/group_types/{type_id}/group_specs",
    "Show the specs of a group type.",
)
.since(TYPES_SINCE)
.rule(Rule::GroupTypesSpecsGetAll)
.answers(200, || wrapped("group_specs", shown_specs()));
pub(in crate::cinder) const ADD_SPECS: Operation = Operation::post(
    "/group_types/{type_id}/group_specs",
    "Add specs to a group type.",
)
.since(TYPES_SINCE)
.rule(Rule::GroupTypesSpecsCreate)
.body(|| wrapped("group_specs", specs()).open())
.answers(202, || wrapped("group_specs", shown_specs()).open());
pub(in crate::cinder) const SPEC: Operation = Operation::get(
    "/group_types/{type_id}/group_specs/{key}",
    "Show one spec of a group type.",
)
.since(TYPES_SINCE)
.rule(Rule::GroupTypesSpecsGet)
.answers(200, shown_specs);
pub(in crate::cinder) const SET_SPEC: Operation = Operation::put(
    "/group_types/{type_id}/group_specs/{key}",
    "Set one spec of a group type.",
)
.since(TYPES_SINCE)
.rule(Rule::GroupTypesSpecsUpdate)
.body(|| specs().filled())
.answers(200, shown_specs);
pub(in crate::cinder) const REMOVE_SPEC: Operation = Operation::delete(
    "/group_types/{type_id}/group_specs/{key}",
    "Remove one spec of a group type.",
)
.since(TYPES_SINCE)
.rule(Rule::GroupTypesSpecsDelete)
.empty(202);

const NAME: &[Parameter] = &[parameter("name", text, "Those of this name.")];
const WITH_VOLUMES: &[Parameter] =
    &[parameter("list_volume", truth, "Tell the volumes as well.").since(25)];

pub(in crate::cinder) const LIST: Operation =
    Operation::get("/groups", "List groups: id and name.")
        .since(SINCE)
        .rule(Rule::GroupGetAll)
        .query(&[PAGES, ORDER, ALL_TENANTS, NAME, WITH_VOLUMES])
        .answers(200, || page("groups", summary(), "group_links"));
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/groups/detail")
    .means("List groups with all their fields.")
    .answers(200, || page("groups", group(), "group_links"));
pub(in crate::cinder) const CREATE: Operation = Operation::post("/groups", "Create a group.")
    .since(SINCE)
    .rule(Rule::GroupCreate)
    .body(new)
    .answers(202, || wrapped("group", summary()));
pub(in crate::cinder) const SHOW: Operation = Operation::get("/groups/{id}", "Show a group.")
    .since(SINCE)
    .rule(Rule::GroupGet)
    .query(&[WITH_VOLUMES])
    .answers(200, || wrapped("group", group()));
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/groups/{id}", "Change a group and its volumes.")
        .since(SINCE)
        .rule(Rule::GroupUpdate)
        .body(changes)
        .empty(202);
pub(in crate::cinder) const FROM_SOURCE: [Operation; 1] = [Operation::action(
    "/groups/action",
    "create-from-src",
    "Create a group from a group or its snapshot.",
)
.since(SNAPSHOTS_SINCE)
.rule(Rule::GroupCreate)
.body(from_source)
.answers(202, || wrapped("group", summary()))];

const fn action(name: &'static str, summary: &'static str, rule: Rule) -> Operation {
    Operation::action("/groups/{id}/action", name, summary)
        .rule(rule)
        .empty(202)
}

pub(in crate::cinder) const ACTIONS: [Operation; 6] = [
    action("delete", "Delete a group.", Rule::GroupDelete)
        .since(SINCE)
        .body(|| of("delete", [maybe("delete-volumes", spelled_flag())])),
    action(
        "reset_status",
        "Say what status a group is in.",
        Rule::GroupResetStatus,
    )
    .since(20)
    .body(status),
    action(
        "enable_replication",
        "Replicate a group.",
        Rule::GroupEnableReplication,
    )
    .since(REPLICATION_SINCE)
    .body(|| of("enable_replication", [])),
    action(
        "disable_replication",
        "No longer replicate a group.",
        Rule::GroupDisableReplication,
    )
    .since(REPLICATION_SINCE)
    .body(|| of("disable_replication", [])),
    action(
        "failover_replication",
        "Go over to the replica of a group.",
        Rule::GroupFailoverReplication,
    )
    .since(REPLICATION_SINCE)
    .body(|| {
        let backend = any_of([text_of(1, TEXT_MAX), null()]);
        let attached = maybe("allow_attached_volume", spelled_flag());
        of(
            "failover_replication",
            [attached, maybe("secondary_backend_id", backend)],
        )
    }),
    action(
        "list_replication_targets",
        "List where a group is replicated to.",
        Rule::GroupListReplicationTargets,
    )
    .since(REPLICATION_SINCE)
    .body(|| of("list_replication_targets", []))
    .answers(200, || object([]).open()),
];

const SNAPSHOT_FILTERS: &[Parameter] = &[
    parameter("name", text, "Those of this name.").since(29),
    parameter("status", text, "Those in this status.").since(29),
    parameter("group_id", text, "Those of this group.").since(29),
];

pub(in crate::cinder) const SNAPSHOTS: Operation =
    Operation::get("/group_snapshots", "List group snapshots: id and name.")
        .since(SNAPSHOTS_SINCE)
        .rule(Rule::GroupGetAllGroupSnapshots)
        .query(&[PAGES, ORDER, ALL_TENANTS, SNAPSHOT_FILTERS])
        .answers(200, || {
            page("group_snapshots", summary(), "group_snapshot_links")
        });
pub(in crate::cinder) const SNAPSHOTS_DETAIL: Operation = SNAPSHOTS
    .at("/group_snapshots/detail")
    .means("List group snapshots with all their fields.")
    .answers(200, || {
        page("group_snapshots", snapshot(), "group_snapshot_links")
    });
pub(in crate::cinder) const CREATE_SNAPSHOT: Operation = Operation::post(
    "/group_snapshots",
    "Take a snapshot of all volumes of a group at once.",
)
.since(SNAPSHOTS_SINCE)
.rule(Rule::GroupCreateGroupSnapshot)
.body(new_snapshot)
.answers(202, || {
    let made = [field("group_type_id", uuid())];
    wrapped("group_snapshot", object(identity().into_iter().chain(made)))
});
pub(in crate::cinder) const SHOW_SNAPSHOT: Operation =
    Operation::get("/group_snapshots/{id}", "Show a group snapshot.")
        .since(SNAPSHOTS_SINCE)
        .rule(Rule::GroupGetGroupSnapshot)
        .answers(200, || wrapped("group_snapshot", snapshot()));
pub(in crate::cinder) const DELETE_SNAPSHOT: Operation =
    Operation::delete("/group_snapshots/{id}", "Delete a group snapshot.")
        .since(SNAPSHOTS_SINCE)
        .rule(Rule::GroupDeleteGroupSnapshot)
        .empty(202);
pub(in crate::cinder) const SNAPSHOT_ACTIONS: [Operation; 1] = [Operation::action(
    "/group_snapshots/{id}/action",
    "reset_status",
    "Say what status a group snapshot is in.",
)
.since(19)
.rule(Rule::GroupResetGroupSnapshotStatus)
.body(status)
.empty(202)];

pub(super) fn identity() -> [Field; 2] {
    [field("id", uuid()), field("name", text().or_null())]
}

pub(super) fn summary() -> Shape {
    object(identity()).named("IdAndName")
}

pub(super) fn common() -> [Field; 5] {
    let [id, name] = identity();
    [
        id,
        name,
        field("status", text()),
        field("created_at", time()),
        field("description", text().or_null()),
    ]
}

fn group() -> Shape {
    let own = [
        field("availability_zone", text().or_null()),
        field("volume_types", list(uuid())),
        field("group_type", uuid()),
        field("group_snapshot_id", uuid_or_null()).since(SNAPSHOTS_SINCE),
        field("source_group_id", uuid_or_null()).since(SNAPSHOTS_SINCE),
        maybe("volumes", list(uuid())).since(25),
        field("replication_status", text().or_null()).since(REPLICATION_SINCE),
        maybe("project_id", text()).since(58),
    ];
    object(common().into_iter().chain(own)).named("Group")
}

fn snapshot() -> Shape {
    let own = [
        field("group_id", uuid()),
        field("group_type_id", uuid()),
        maybe("project_id", text()).since(58),
    ];
    object(common().into_iter().chain(own)).named("GroupSnapshot")
}

fn group_type() -> Shape {
    object([
        field("id", uuid()),
        field("name", text()),
        field("description", text().or_null()),
        field("is_public", flag()),
        maybe("group_specs", shown_specs()),
    ])
    .named("GroupType")
}

pub(super) fn page(name: &str, of: Shape, next: &str) -> Shape {
    object([field(name, list(of)), maybe(next, links())])
}

fn status() -> Shape {
    of("reset_status", [field("status", in_any_case(&STATUSES))])
}

fn new_type() -> Shape {
    let group_type = object([
        field("name", text_of(1, TEXT_MAX)),
        maybe("description", words_or_null()),
        maybe("is_public", spelled_flag()),
        maybe("group_specs", any_of([pairs(), null()])),
    ]);
    wrapped("group_type", group_type)
        .open()
        .named("GroupTypeCreate")
}

fn type_changes() -> Shape {
    let group_type = object([
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("is_public", spelled_flag()),
    ]);
    wrapped("group_type", group_type)
        .open()
        .named("GroupTypeUpdate")
}

fn new() -> Shape {
    let group = object([
        field("group_type", text_of(1, TEXT_MAX)),
        field("volume_types", distinct(text_of(0, TEXT_MAX))),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("availability_zone", text_of(1, TEXT_MAX).or_null()),
    ]);
    wrapped("group", group).named("GroupCreate")
}

/// Name, description and the volumes that come and go, by comma.
pub(super) fn changed() -> [Field; 4] {
    [
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("add_volumes", text().or_null()),
        maybe("remove_volumes", text().or_null()),
    ]
}

fn changes() -> Shape {
    wrapped("group", object(changed()).filled()).named("GroupUpdate")
}

fn from_source() -> Shape {
    let args = [
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("source_group_id", uuid()),
        maybe("group_snapshot_id", uuid()),
    ];
    of("create-from-src", args)
}

fn new_snapshot() -> Shape {
    let snapshot = object([
        field("group_id", uuid()),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
    ]);
    wrapped("group_snapshot", snapshot).named("GroupSnapshotCreate")
}
