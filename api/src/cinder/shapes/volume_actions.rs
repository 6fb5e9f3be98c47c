//! Bodies of the actions of volumes and of attachments.

use super::Row;
use super::format::Format;
use super::parts::{
    ANY, BOOLEAN, DESCRIPTION, ERROR_FLAG, ID, ID_OR_NULL, KEY, MODE, SHORT, SHORT_OR_NULL, SIZE,
    TEXT, TEXT_OR_NULL, WORD,
};
use super::shape::Kind::{Null, Object, Text};
use super::shape::{Rule, Shape, Word};
use crate::cinder::reset_status::Reset;

const PATH: &str = "/volumes/{}/action";

const fn action(key: &'static str, shape: Shape) -> Row {
    Row::post(PATH, key, shape)
}

const ATTACH: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("instance_uuid", ID),
        ("mountpoint", WORD),
        ("host_name", SHORT),
        ("mode", MODE),
    ]),
    Rule::Needs(&["mountpoint"]),
    Rule::AnyOf(&[
        Shape(&[Rule::Needs(&["instance_uuid"])]),
        Shape(&[Rule::Needs(&["host_name"])]),
    ]),
    Rule::Closed,
]);

const DETACH: Shape = Shape(&[
    Rule::Is(&[Object, Null]),
    Rule::Fields(&[("attachment_id", ID_OR_NULL)]),
    Rule::Closed,
]);

const FORCE_DETACH: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("connector", Shape(&[Rule::Is(&[Text, Object, Null])])),
        ("attachment_id", TEXT_OR_NULL),
    ]),
    Rule::Closed,
]);

const EXTEND: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("new_size", SIZE)]),
    Rule::Needs(&["new_size"]),
    Rule::Closed,
]);

const RETYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("new_type", TEXT),
        (
            "migration_policy",
            Shape(&[
                Rule::Is(&[Text, Null]),
                Rule::Words(&[Word::Text("on-demand"), Word::Text("never")]),
            ]),
        ),
    ]),
    Rule::Needs(&["new_type"]),
    Rule::Closed,
]);

const BOOTABLE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("bootable", BOOLEAN)]),
    Rule::Needs(&["bootable"]),
    Rule::Closed,
]);

const READ_ONLY: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("readonly", BOOLEAN)]),
    Rule::Needs(&["readonly"]),
    Rule::Closed,
]);

const UPLOAD: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("image_name", WORD),
        ("force", BOOLEAN),
        (
            "disk_format",
            Shape(&[
                Rule::Is(&[Text]),
                Rule::Words(&[
                    Word::Text("raw"),
                    Word::Text("vmdk"),
                    Word::Text("vdi"),
                    Word::Text("qcow2"),
                    Word::Text("vhd"),
                    Word::Text("vhdx"),
                    Word::Text("ploop"),
                ]),
            ]),
        ),
        ("container_format", DESCRIPTION),
    ]),
    Rule::FieldsSince(
        1,
        &[
            (
                "visibility",
                Shape(&[
                    Rule::Is(&[Text]),
                    Rule::Words(&[
                        Word::Text("community"),
                        Word::Text("public"),
                        Word::Text("private"),
                        Word::Text("shared"),
                    ]),
                ]),
            ),
            ("protected", BOOLEAN),
        ],
    ),
    Rule::Needs(&["image_name"]),
    Rule::Closed,
]);

const INITIALIZE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("connector", Shape(&[Rule::Is(&[Object, Text])]))]),
    Rule::Needs(&["connector"]),
    Rule::Closed,
]);

const TERMINATE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("connector", Shape(&[Rule::Is(&[Text, Object, Null])]))]),
    Rule::Needs(&["connector"]),
    Rule::Closed,
]);

const REIMAGE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("image_id", ID), ("reimage_reserved", BOOLEAN)]),
    Rule::Needs(&["image_id"]),
    Rule::Closed,
]);

const REVERT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("snapshot_id", TEXT_OR_NULL)]),
]);

const RESET: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::As(|args| Reset::parse(args).map(drop)),
    Rule::Fields(&[
        ("status", TEXT_OR_NULL),
        ("attach_status", TEXT_OR_NULL),
        ("migration_status", TEXT_OR_NULL),
    ]),
    Rule::Closed,
]);

const MIGRATE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("host", SHORT_OR_NULL),
        ("force_host_copy", BOOLEAN),
        ("lock_volume", BOOLEAN),
    ]),
    Rule::Before(16, &Rule::Fields(&[("host", SHORT)])),
    Rule::FieldsSince(16, &[("cluster", SHORT_OR_NULL)]),
    Rule::Before(16, &Rule::Needs(&["host"])),
    Rule::Closed,
]);

const MIGRATED: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("new_volume", ID), ("error", ERROR_FLAG)]),
    Rule::Needs(&["new_volume"]),
    Rule::Closed,
]);

const EXTENDED: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("error", ERROR_FLAG)]),
    Rule::Closed,
]);

/// Values of image metadata may be longer than others.
const IMAGE_METADATA: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Pairs(
        KEY,
        Shape(&[Rule::Is(&[Text]), Rule::Format(Format::ColumnText)]),
    ),
]);

const SET_IMAGE_METADATA: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("metadata", IMAGE_METADATA)]),
    Rule::Needs(&["metadata"]),
    Rule::Closed,
]);

const UNSET_IMAGE_METADATA: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("key", WORD)]),
    Rule::Needs(&["key"]),
    Rule::Closed,
]);

pub(super) const ROWS: &[Row] = &[
    action("os-attach", ATTACH),
    action("os-detach", DETACH),
    action("os-force_detach", FORCE_DETACH),
    action("os-extend", EXTEND),
    action("os-retype", RETYPE),
    action("os-set_bootable", BOOTABLE),
    action("os-update_readonly_flag", READ_ONLY),
    action("os-volume_upload_image", UPLOAD),
    action("os-initialize_connection", INITIALIZE),
    action("os-terminate_connection", TERMINATE),
    action("os-reimage", REIMAGE).since(68),
    action("revert", REVERT).since(40),
    action("os-reset_status", RESET),
    action("os-migrate_volume", MIGRATE),
    action("os-migrate_volume_completion", MIGRATED),
    action("os-extend_volume_completion", EXTENDED),
    action("os-set_image_metadata", SET_IMAGE_METADATA),
    action("os-unset_image_metadata", UNSET_IMAGE_METADATA),
    Row::post("/attachments/{}/action", "os-complete", ANY).since(44),
];
