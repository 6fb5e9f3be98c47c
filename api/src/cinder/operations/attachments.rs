//! Attachments.

use super::volume_actions::bare;
use crate::openapi::shape::{
    Shape, any, any_of, field, map_of, maybe, object, text, uuid, wire, words, wrapped,
};
use crate::openapi::{ALL_TENANTS, ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;
use crate::types::cinder::ConnectionInfo;

/// The microversion these calls came with.
const SINCE: u16 = 27;

const FILTERS: &[Parameter] = &[
    parameter("volume_id", text, "Attachments of this volume."),
    parameter("status", text, "Attachments in this status."),
    parameter("instance_id", text, "Attachments to this server."),
    parameter("attach_status", text, "As `status`."),
];

pub(in crate::cinder) const LIST: Operation = Operation::get("/attachments", "List attachments.")
    .since(SINCE)
    .query(&[PAGES, ORDER, ALL_TENANTS, FILTERS])
    .answers(200, || page(summary()));
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/attachments/detail")
    .means("List attachments with all their fields.")
    .answers(200, || page(full()));
pub(in crate::cinder) const CREATE: Operation =
    Operation::post("/attachments", "Attach a volume, or reserve it.")
        .since(SINCE)
        .rule(Rule::VolumeAttachmentCreate)
        .body(new)
        .answers(200, one);
pub(in crate::cinder) const SHOW: Operation =
    Operation::get("/attachments/{id}", "Show an attachment.")
        .since(SINCE)
        .answers(200, one);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/attachments/{id}", "Say who attaches a reserved volume.")
        .since(SINCE)
        .rule(Rule::VolumeAttachmentUpdate)
        .body(changes)
        .answers(200, one)
        .faults(&[409]);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/attachments/{id}", "End an attachment.")
        .since(SINCE)
        .rule(Rule::VolumeAttachmentDelete)
        .answers(200, || page(full()))
        .faults(&[409]);
pub(in crate::cinder) const ACTIONS: [Operation; 1] = [Operation::action(
    "/attachments/{id}/action",
    "os-complete",
    "Tell that a host has connected.",
)
.since(44)
.rule(Rule::VolumeAttachmentComplete)
.body(|| bare("os-complete"))
.empty(204)];

fn summary() -> Shape {
    object([
        field("id", uuid()),
        field("status", text()),
        field("instance", uuid().or_null()),
        field("volume_id", uuid()),
    ])
    .named("AttachmentSummary")
}

fn full() -> Shape {
    let nothing = object([]);
    object([
        field("id", uuid()),
        field("status", text()),
        field("instance", uuid().or_null()),
        field("volume_id", uuid()),
        field("attached_at", text()),
        field("detached_at", text()),
        field("attach_mode", words(&["rw", "ro", "null"])),
        field(
            "connection_info",
            any_of([wire::<ConnectionInfo>(), nothing]),
        ),
    ])
    .named("Attachment")
}

fn one() -> Shape {
    wrapped("attachment", full())
}

fn page(of: Shape) -> Shape {
    wrapped("attachments", crate::openapi::shape::list(of))
}

fn new() -> Shape {
    let attachment = object([
        field("volume_uuid", uuid()),
        maybe("instance_uuid", uuid().or_null()),
        maybe("connector", map_of(any()).or_null()),
        maybe("mode", words(&["rw", "ro"])).since(54),
    ]);
    wrapped("attachment", attachment).named("AttachmentCreate")
}

fn changes() -> Shape {
    let attachment = object([field("connector", map_of(any()).filled())]);
    wrapped("attachment", attachment).named("AttachmentUpdate")
}
