//! Snapshots, their metadata and their actions.

use super::volume_actions::{bare, of};
use super::volumes::{meta, metadata};
use super::{in_any_case, pairs, spelled_flag, words_or_null};
use crate::cinder::snapshot_actions::STATUSES;
use crate::openapi::shape::{
    Shape, any_of, field, maybe, null, object, text, text_of, uuid, wire, wrapped,
};
use crate::openapi::{ALL_TENANTS, COUNT, ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;
use crate::types::cinder::{MetaBody, MetadataBody, SnapshotBody, SnapshotList};

const FILTERS: &[Parameter] = &[
    parameter("name", text, "Snapshots of this name."),
    parameter("status", text, "Snapshots in this status."),
    parameter("volume_id", text, "Snapshots of this volume."),
    parameter(
        "metadata",
        text,
        "Snapshots with these pairs, as a dictionary.",
    )
    .since(22),
    parameter("availability_zone", text, "Snapshots of this zone."),
];

pub(in crate::cinder) const LIST: Operation = Operation::get("/snapshots", "List snapshots.")
    .rule(Rule::VolumeGetAllSnapshots)
    .query(&[PAGES, ORDER, ALL_TENANTS, COUNT, FILTERS])
    .answers(200, wire::<SnapshotList>);
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/snapshots/detail")
    .means("List snapshots with all their fields.");
pub(in crate::cinder) const CREATE: Operation =
    Operation::post("/snapshots", "Take a snapshot of a volume.")
        .rule(Rule::VolumeCreateSnapshot)
        .body(new)
        .answers(202, wire::<SnapshotBody>);
pub(in crate::cinder) const SHOW: Operation = Operation::get("/snapshots/{id}", "Show a snapshot.")
    .rule(Rule::VolumeGetSnapshot)
    .answers(200, wire::<SnapshotBody>);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/snapshots/{id}", "Change name or description.")
        .rule(Rule::VolumeUpdateSnapshot)
        .body(changes)
        .answers(200, wire::<SnapshotBody>);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/snapshots/{id}", "Delete a snapshot.")
        .rule(Rule::VolumeDeleteSnapshot)
        .empty(202);

pub(in crate::cinder) const METADATA: Operation = Operation::get(
    "/snapshots/{id}/metadata",
    "Show the metadata of a snapshot.",
)
.rule(Rule::VolumeGetSnapshotMetadata)
.answers(200, wire::<MetadataBody>);
pub(in crate::cinder) const MERGE: Operation = Operation::post(
    "/snapshots/{id}/metadata",
    "Add pairs to the metadata of a snapshot.",
)
.rule(Rule::VolumeUpdateSnapshotMetadata)
.body(metadata)
.answers(200, wire::<MetadataBody>);
pub(in crate::cinder) const REPLACE: Operation = Operation::put(
    "/snapshots/{id}/metadata",
    "Replace the metadata of a snapshot.",
)
.rule(Rule::VolumeUpdateSnapshotMetadata)
.body(metadata)
.answers(200, wire::<MetadataBody>);
pub(in crate::cinder) const META: Operation = Operation::get(
    "/snapshots/{id}/metadata/{key}",
    "Show one pair of a snapshot.",
)
.rule(Rule::VolumeGetSnapshotMetadata)
.answers(200, wire::<MetaBody>);
pub(in crate::cinder) const SET_META: Operation = Operation::put(
    "/snapshots/{id}/metadata/{key}",
    "Set one pair of a snapshot.",
)
.rule(Rule::VolumeUpdateSnapshotMetadata)
.body(meta)
.answers(200, wire::<MetaBody>);
pub(in crate::cinder) const REMOVE_META: Operation = Operation::delete(
    "/snapshots/{id}/metadata/{key}",
    "Remove one pair of a snapshot.",
)
.rule(Rule::VolumeDeleteSnapshotMetadata)
.empty(200);

const fn action(name: &'static str, summary: &'static str, rule: Rule) -> Operation {
    Operation::action("/snapshots/{id}/action", name, summary)
        .rule(rule)
        .empty(202)
}

pub(in crate::cinder) const ACTIONS: [Operation; 4] = [
    action(
        "os-reset_status",
        "Say what status a snapshot is in.",
        Rule::SnapshotAdminActionsResetStatus,
    )
    .body(|| of("os-reset_status", [field("status", in_any_case(&STATUSES))])),
    action(
        "os-force_delete",
        "Delete a snapshot in whatever status.",
        Rule::SnapshotAdminActionsForceDelete,
    )
    .body(|| bare("os-force_delete")),
    action(
        "os-update_snapshot_status",
        "Tell how the taking of a snapshot goes.",
        Rule::SnapshotActionsUpdateSnapshotStatus,
    )
    .body(|| {
        let progress = maybe("progress", text().like("^-?[0-9]+%$").or_null());
        of(
            "os-update_snapshot_status",
            [field("status", text()), progress],
        )
    }),
    action(
        "os-unmanage",
        "Forget a snapshot and keep its data.",
        Rule::SnapshotUnmanage,
    )
    .body(|| bare("os-unmanage")),
];

fn new() -> Shape {
    let snapshot = object([
        field("volume_id", uuid()),
        maybe("name", words_or_null()),
        maybe("display_name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("display_description", words_or_null()),
        maybe("force", any_of([spelled_flag(), null()])),
        maybe("metadata", pairs().or_null()),
    ]);
    wrapped("snapshot", snapshot).named("SnapshotCreate")
}

fn changes() -> Shape {
    let snapshot = object([
        maybe("name", text_of(0, 255).or_null()),
        maybe("display_name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("display_description", words_or_null()),
    ]);
    wrapped("snapshot", snapshot).named("SnapshotUpdate")
}
