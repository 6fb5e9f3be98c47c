//! Volumes, their metadata and their encryption; for actions see [`super::volume_actions`].

use super::{pairs, size, spelled_flag, uuid_or_null, words_or_null};
use crate::cinder::validate::{CONTROL_LOCATIONS, TEXT_MAX};
use crate::openapi::shape::{
    Shape, any, any_of, distinct, field, int, map_of, maybe, null, object, text, text_of, uuid,
    wire, words, wrapped,
};
use crate::openapi::{ALL_TENANTS, COUNT, ORDER, Operation, PAGES, Parameter, parameter, truth};
use crate::policy::Rule;
use crate::types::cinder::{
    MetaBody, MetadataBody, VolumeBody, VolumeList, VolumeSummary, VolumeSummaryBody, Volumes,
};

const FILTERS: &[Parameter] = &[
    parameter("name", text, "Volumes of this name."),
    parameter("status", text, "Volumes in this status."),
    parameter(
        "metadata",
        text,
        "Volumes with these pairs, as a dictionary.",
    ),
    parameter(
        "bootable",
        truth,
        "Volumes that guests can start from, or not.",
    ),
    parameter(
        "migration_status",
        text,
        "Volumes in this state of migration.",
    ),
    parameter("availability_zone", text, "Volumes of this zone."),
    parameter("size", text, "Volumes of this size in GiB."),
    parameter("group_id", text, "Volumes of this group.").since(10),
    parameter(
        "created_at",
        text,
        "`gt:`, `gte:`, `eq:`, `neq:`, `lt:`, `lte:` and a time.",
    )
    .since(60),
    parameter("updated_at", text, "As `created_at`.").since(60),
];

pub(in crate::cinder) const LIST: Operation =
    Operation::get("/volumes", "List volumes: id, name and links.")
        .rule(Rule::VolumeGetAll)
        .query(&[PAGES, ORDER, ALL_TENANTS, COUNT, FILTERS])
        .answers(200, wire::<VolumeList<VolumeSummary>>);
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/volumes/detail")
    .means("List volumes with all their fields.")
    .answers(200, wire::<Volumes>);
pub(in crate::cinder) const SUMMARY: Operation =
    Operation::get("/volumes/summary", "Count volumes and add up their sizes.")
        .since(12)
        .rule(Rule::VolumeGetAll)
        .query(&[ALL_TENANTS])
        .answers(200, wire::<VolumeSummaryBody>);
pub(in crate::cinder) const CREATE: Operation =
    Operation::post("/volumes", "Create a volume, empty or from a source.")
        .rule(Rule::VolumeCreate)
        .body(new)
        .faults(&[409, 503])
        .answers(202, wire::<VolumeBody>);
pub(in crate::cinder) const SHOW: Operation = Operation::get("/volumes/{id}", "Show a volume.")
    .rule(Rule::VolumeGet)
    .answers(200, wire::<VolumeBody>);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/volumes/{id}", "Change name, description or metadata.")
        .rule(Rule::VolumeUpdate)
        .body(changes)
        .answers(200, wire::<VolumeBody>);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/volumes/{id}", "Delete a volume.")
        .rule(Rule::VolumeDelete)
        .query(&[&[
            parameter("cascade", truth, "Delete its snapshots as well."),
            parameter("force", truth, "Delete it in whatever status.").since(23),
        ]])
        .empty(202);

pub(in crate::cinder) const METADATA: Operation =
    Operation::get("/volumes/{id}/metadata", "Show the metadata of a volume.")
        .rule(Rule::VolumeGetVolumeMetadata)
        .answers(200, wire::<MetadataBody>)
        .or_as_html();
pub(in crate::cinder) const MERGE: Operation = Operation::post(
    "/volumes/{id}/metadata",
    "Add pairs to the metadata of a volume.",
)
.rule(Rule::VolumeCreateVolumeMetadata)
.body(metadata)
.answers(200, wire::<MetadataBody>)
.faults(&[412]);
pub(in crate::cinder) const REPLACE: Operation = Operation::put(
    "/volumes/{id}/metadata",
    "Replace the metadata of a volume.",
)
.rule(Rule::VolumeUpdateVolumeMetadata)
.body(metadata)
.answers(200, wire::<MetadataBody>)
.faults(&[412]);
pub(in crate::cinder) const META: Operation =
    Operation::get("/volumes/{id}/metadata/{key}", "Show one pair of a volume.")
        .rule(Rule::VolumeGetVolumeMetadata)
        .answers(200, wire::<MetaBody>);
pub(in crate::cinder) const SET_META: Operation =
    Operation::put("/volumes/{id}/metadata/{key}", "Set one pair of a volume.")
        .rule(Rule::VolumeUpdateVolumeMetadata)
        .body(meta)
        .answers(200, wire::<MetaBody>)
        .faults(&[412]);
pub(in crate::cinder) const REMOVE_META: Operation = Operation::delete(
    "/volumes/{id}/metadata/{key}",
    "Remove one pair of a volume.",
)
.rule(Rule::VolumeDeleteVolumeMetadata)
.empty(200)
.faults(&[412]);

pub(in crate::cinder) const ENCRYPTION: Operation = Operation::get(
    "/volumes/{id}/encryption",
    "Show how a volume is encrypted.",
)
.rule(Rule::VolumeEncryptionMetadata)
.answers(200, encryption);
pub(in crate::cinder) const ENCRYPTION_KEY: Operation = Operation::get(
    "/volumes/{id}/encryption/{key}",
    "Show one value of how a volume is encrypted.",
)
.rule(Rule::VolumeEncryptionMetadata)
.answers(200, encryption_value);

/// The body of metadata.
pub(super) fn metadata() -> Shape {
    wrapped("metadata", pairs()).open()
}

/// The body of one pair.
pub(super) fn meta() -> Shape {
    wrapped("meta", pairs()).open()
}

/// Where a volume should be; there is one place.
fn hints() -> Shape {
    let ids = || any_of([uuid(), distinct(uuid())]);
    object([
        maybe("local_to_instance", uuid_or_null()),
        maybe("different_host", ids()),
        maybe("same_host", ids()),
        maybe("query", any_of([text(), map_of(any())])),
    ])
    .open()
    .or_null()
}

fn new() -> Shape {
    let volume = object([
        maybe("size", any_of([size(), null()])),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("display_name", words_or_null()),
        maybe("display_description", words_or_null()),
        maybe("volume_type", words_or_null()),
        maybe("metadata", pairs().or_null()),
        maybe("snapshot_id", uuid_or_null()),
        maybe("source_volid", uuid_or_null()),
        maybe("consistencygroup_id", uuid_or_null()),
        maybe("availability_zone", text_of(1, TEXT_MAX).or_null()),
        maybe("multiattach", any_of([spelled_flag(), null()])),
        maybe("image_id", words_or_null()),
        maybe("imageRef", words_or_null()),
        maybe("group_id", words_or_null()),
        maybe("backup_id", uuid_or_null()),
    ])
    .open();
    object([
        field("volume", volume),
        maybe("OS-SCH-HNT:scheduler_hints", hints()),
    ])
    .open()
    .named("VolumeCreate")
}

fn changes() -> Shape {
    let volume = object([
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("display_name", words_or_null()),
        maybe("display_description", words_or_null()),
        maybe("metadata", pairs()),
    ]);
    wrapped("volume", volume).open().named("VolumeUpdate")
}

fn encryption() -> Shape {
    object([
        field("encryption_key_id", uuid_or_null()),
        maybe("control_location", words(&CONTROL_LOCATIONS)),
        maybe("provider", text()),
        maybe("cipher", text().or_null()),
        maybe("key_size", int().or_null()),
    ])
    .named("VolumeEncryption")
}

/// A bare value, as the real service answers.
fn encryption_value() -> Shape {
    any_of([text(), int(), null()])
}
