//! The older calls about groups: those of one type, with bodies of their own.

use super::groups::{changed, common, identity, page, summary};
use super::{LISTED, spelled_flag, uuid_or_null, words_or_null};
use crate::openapi::Operation;
use crate::openapi::shape::{Shape, field, list, maybe, object, text, uuid, wrapped};
use crate::policy::Rule;

pub(in crate::cinder) const LIST: Operation = Operation::get(
    "/consistencygroups",
    "List consistency groups: id and name.",
)
.rule(Rule::GroupGetAll)
.query(LISTED)
.answers(200, || {
    page("consistencygroups", summary(), "consistencygroup_links")
});
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/consistencygroups/detail")
    .means("List consistency groups with all their fields.")
    .answers(200, || {
        page("consistencygroups", group(), "consistencygroup_links")
    });
pub(in crate::cinder) const CREATE: Operation =
    Operation::post("/consistencygroups", "Create a consistency group.")
        .rule(Rule::GroupCreate)
        .body(new)
        .answers(202, || wrapped("consistencygroup", summary()));
pub(in crate::cinder) const FROM_SOURCE: Operation = Operation::post(
    "/consistencygroups/create_from_src",
    "Create a consistency group from another or its snapshot.",
)
.rule(Rule::GroupCreate)
.body(from_source)
.answers(202, || wrapped("consistencygroup", summary()));
pub(in crate::cinder) const SHOW: Operation =
    Operation::get("/consistencygroups/{id}", "Show a consistency group.")
        .rule(Rule::GroupGet)
        .answers(200, || wrapped("consistencygroup", group()));
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/consistencygroups/{id}", "Change a consistency group.")
        .rule(Rule::GroupUpdate)
        .body(|| wrapped("consistencygroup", object(changed()).open()).open())
        .empty(202);
pub(in crate::cinder) const UPDATE_BELOW: Operation = UPDATE.at("/consistencygroups/{id}/update");
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/consistencygroups/{id}", "Delete a consistency group.")
        .rule(Rule::GroupDelete)
        .empty(202);
pub(in crate::cinder) const DELETE_BELOW: Operation = Operation::post(
    "/consistencygroups/{id}/delete",
    "Delete a consistency group, by force if asked to.",
)
.rule(Rule::GroupDelete)
.body_if_any(|| {
    let args = object([maybe("force", spelled_flag())]).open();
    object([maybe("consistencygroup", args)]).open()
})
.empty(202);

pub(in crate::cinder) const SNAPSHOTS: Operation = Operation::get(
    "/cgsnapshots",
    "List snapshots of consistency groups: id and name.",
)
.rule(Rule::GroupGetAllGroupSnapshots)
.query(LISTED)
.answers(200, || wrapped("cgsnapshots", list(summary())));
pub(in crate::cinder) const SNAPSHOTS_DETAIL: Operation = SNAPSHOTS
    .at("/cgsnapshots/detail")
    .means("List snapshots of consistency groups with all their fields.")
    .answers(200, || wrapped("cgsnapshots", list(snapshot())));
pub(in crate::cinder) const CREATE_SNAPSHOT: Operation =
    Operation::post("/cgsnapshots", "Take a snapshot of a consistency group.")
        .rule(Rule::GroupCreateGroupSnapshot)
        .body(new_snapshot)
        .answers(202, || wrapped("cgsnapshot", object(identity())));
pub(in crate::cinder) const SHOW_SNAPSHOT: Operation = Operation::get(
    "/cgsnapshots/{id}",
    "Show a snapshot of a consistency group.",
)
.rule(Rule::GroupGetGroupSnapshot)
.answers(200, || wrapped("cgsnapshot", snapshot()));
pub(in crate::cinder) const DELETE_SNAPSHOT: Operation = Operation::delete(
    "/cgsnapshots/{id}",
    "Delete a snapshot of a consistency group.",
)
.rule(Rule::GroupDeleteGroupSnapshot)
.empty(202);

fn group() -> Shape {
    let own = [
        field("availability_zone", text().or_null()),
        field("volume_types", list(uuid())),
    ];
    object(common().into_iter().chain(own)).named("ConsistencyGroup")
}

fn snapshot() -> Shape {
    let own = [field("consistencygroup_id", uuid_or_null())];
    object(common().into_iter().chain(own)).named("ConsistencyGroupSnapshot")
}

fn new() -> Shape {
    let group = object([
        field("volume_types", text()),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("availability_zone", text().or_null()),
    ]);
    wrapped("consistencygroup", group.open()).open()
}

fn from_source() -> Shape {
    let source = object([
        maybe("cgsnapshot_id", text()),
        maybe("source_cgid", text()),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
    ]);
    wrapped("consistencygroup-from-src", source.open()).open()
}

fn new_snapshot() -> Shape {
    let snapshot = object([
        field("consistencygroup_id", text()),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
    ]);
    wrapped("cgsnapshot", snapshot.open()).open()
}
