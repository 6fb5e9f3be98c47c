//! Objects of a pool that the catalogue does not have, by both of their paths.

use super::{pairs, spelled_flag, words_or_null};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::shape::{
    Field, Shape, any, any_of, field, flag, int, list, map_of, maybe, null, object, text, text_of,
    uuid, wire, wrapped,
};
use crate::openapi::{ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;
use crate::types::cinder::{SnapshotBody, VolumeBody};

const PLACE: &[Parameter] = &[
    parameter("host", text, "The pool, as `host@backend#pool`."),
    parameter("cluster", text, "The cluster; there are none.").since(17),
];

/// The operations of one kind and path.
pub(in crate::cinder) struct Managing {
    pub(in crate::cinder) list: Operation,
    pub(in crate::cinder) detail: Operation,
    pub(in crate::cinder) manage: Operation,
}

const VOLUMES: Managing = Managing {
    list: Operation::get("/os-volume-manage", "List volumes that could be managed.")
        .rule(Rule::ListManageable)
        .query(&[PAGES, ORDER, PLACE])
        .answers(200, || page("manageable-volumes", object(entry()))),
    detail: Operation::get(
        "/os-volume-manage/detail",
        "List volumes that could be managed, with all their fields.",
    )
    .rule(Rule::ListManageable)
    .query(&[PAGES, ORDER, PLACE])
    .answers(200, || {
        page(
            "manageable-volumes",
            object(entry().into_iter().chain(more())),
        )
    }),
    manage: Operation::post("/os-volume-manage", "Take over a volume of a pool.")
        .rule(Rule::VolumeManage)
        .body(volume)
        .answers(202, wire::<VolumeBody>)
        .faults(&[503]),
};

const SNAPSHOTS: Managing = Managing {
    list: Operation::get(
        "/os-snapshot-manage",
        "List snapshots that could be managed.",
    )
    .rule(Rule::SnapshotListManageable)
    .query(&[PAGES, ORDER, PLACE])
    .answers(200, || {
        page(
            "manageable-snapshots",
            object(entry().into_iter().chain([source()])),
        )
    }),
    detail: Operation::get(
        "/os-snapshot-manage/detail",
        "List snapshots that could be managed, with all their fields.",
    )
    .rule(Rule::SnapshotListManageable)
    .query(&[PAGES, ORDER, PLACE])
    .answers(200, || {
        let fields = entry().into_iter().chain([source()]).chain(more());
        page("manageable-snapshots", object(fields))
    }),
    manage: Operation::post("/os-snapshot-manage", "Take over a snapshot of a pool.")
        .rule(Rule::SnapshotManage)
        .body(snapshot)
        .answers(202, wire::<SnapshotBody>),
};

/// The older paths.
pub(in crate::cinder) const OLD: [Managing; 2] = [VOLUMES, SNAPSHOTS];

/// The newer paths.
pub(in crate::cinder) const NEW: [Managing; 2] = [
    Managing {
        list: VOLUMES.list.at("/manageable_volumes").since(8),
        detail: VOLUMES.detail.at("/manageable_volumes/detail").since(8),
        manage: VOLUMES.manage.at("/manageable_volumes").since(8),
    },
    Managing {
        list: SNAPSHOTS.list.at("/manageable_snapshots").since(8),
        detail: SNAPSHOTS.detail.at("/manageable_snapshots/detail").since(8),
        manage: SNAPSHOTS.manage.at("/manageable_snapshots").since(8),
    },
];

fn reference() -> Shape {
    map_of(any())
}

fn entry() -> [Field; 3] {
    [
        field("reference", reference()),
        field("size", int()),
        field("safe_to_manage", flag()),
    ]
}

fn source() -> Field {
    field("source_reference", reference())
}

fn more() -> [Field; 3] {
    [
        field("reason_not_safe", text().or_null()),
        field("cinder_id", uuid().or_null()),
        field("extra_info", null()),
    ]
}

fn page(name: &str, of: Shape) -> Shape {
    wrapped(name, list(of))
}

fn volume() -> Shape {
    let host = text_of(1, TEXT_MAX).like(r"^[a-zA-Z0-9._#@:/+\[\]-]*$");
    let volume = object([
        field("ref", any_of([reference(), text()])),
        maybe("host", host.or_null()),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("volume_type", words_or_null()),
        maybe("availability_zone", words_or_null()),
        maybe("bootable", spelled_flag()),
        maybe("metadata", pairs().or_null()),
        maybe("cluster", words_or_null()).since(16),
    ]);
    wrapped("volume", volume).open().named("VolumeManage")
}

fn snapshot() -> Shape {
    let snapshot = object([
        field("volume_id", uuid()),
        field("ref", any_of([reference(), text()])),
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("metadata", pairs().or_null()),
    ]);
    wrapped("snapshot", snapshot).open().named("SnapshotManage")
}
