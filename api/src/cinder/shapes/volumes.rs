//! Bodies about volumes, their metadata and attachments, and transfers.

use super::format::Format;
use super::parts::{
    BOOLEAN, BOOLEAN_OR_NULL, DESCRIPTION, HOST, ID, ID_OR_NULL, METADATA, METADATA_OR_NULL, MODE,
    ONE_PAIR, SHORT_OR_NULL, SIZE_OR_NULL, WORD_OR_NULL,
};
use super::shape::Kind::{Integer, List, Null, Object, Text};
use super::shape::{Fields, Rule, Shape};
use super::{Besides, Row};

const HINTS: &str = "OS-SCH-HNT:scheduler_hints";

const VOLUME_NAME: Shape = Shape(&[Rule::Is(&[Text, Null]), Rule::Format(Format::VolumeName)]);
const VOLUME_DESCRIPTION: Shape = Shape(&[
    Rule::Is(&[Text, Null]),
    Rule::Format(Format::VolumeDescription),
]);

const NEW_VOLUME: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", VOLUME_NAME),
        ("description", VOLUME_DESCRIPTION),
        ("display_name", VOLUME_NAME),
        ("display_description", VOLUME_DESCRIPTION),
        ("volume_type", SHORT_OR_NULL),
        ("metadata", METADATA_OR_NULL),
        ("snapshot_id", ID_OR_NULL),
        ("source_volid", ID_OR_NULL),
        ("consistencygroup_id", ID_OR_NULL),
        ("size", SIZE_OR_NULL),
        ("availability_zone", WORD_OR_NULL),
        ("multiattach", BOOLEAN_OR_NULL),
        ("image_id", SHORT_OR_NULL),
        ("imageRef", SHORT_OR_NULL),
    ]),
    Rule::FieldsSince(13, &[("group_id", SHORT_OR_NULL)]),
    Rule::FieldsSince(47, &[("backup_id", ID_OR_NULL)]),
    Rule::Since(53, &Rule::Closed),
]);

const SEVERAL_IDS: Shape = Shape(&[Rule::Is(&[List]), Rule::Items(&ID), Rule::Distinct]);
const IDS: Shape = Shape(&[Rule::AnyOf(&[ID, SEVERAL_IDS])]);

/// Where a volume should be, beside the volume itself.
const HINTED: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[(
        HINTS,
        Shape(&[
            Rule::Is(&[Object, Null]),
            Rule::Fields(&[
                ("local_to_instance", ID_OR_NULL),
                ("different_host", IDS),
                ("same_host", IDS),
                ("query", Shape(&[Rule::Is(&[Text, Object])])),
            ]),
        ]),
    )]),
]);

const NAMES: Fields = &[
    ("name", VOLUME_NAME),
    ("description", VOLUME_DESCRIPTION),
    ("display_name", VOLUME_NAME),
    ("display_description", VOLUME_DESCRIPTION),
    ("metadata", METADATA),
];

const CHANGED_VOLUME: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(NAMES),
    Rule::Closed,
    Rule::Since(
        53,
        &Rule::AnyOf(&[
            Shape(&[Rule::Needs(&["name"])]),
            Shape(&[Rule::Needs(&["description"])]),
            Shape(&[Rule::Needs(&["display_name"])]),
            Shape(&[Rule::Needs(&["display_description"])]),
            Shape(&[Rule::Needs(&["metadata"])]),
        ]),
    ),
]);

const TAKEN_VOLUME: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("description", DESCRIPTION),
        ("availability_zone", SHORT_OR_NULL),
        ("bootable", BOOLEAN),
        ("volume_type", SHORT_OR_NULL),
        ("name", SHORT_OR_NULL),
        ("host", HOST),
        ("ref", Shape(&[Rule::Is(&[Object, Text])])),
        ("metadata", METADATA_OR_NULL),
    ]),
    Rule::FieldsSince(16, &[("cluster", SHORT_OR_NULL)]),
    Rule::Needs(&["ref"]),
    Rule::Closed,
]);

const NEW_ATTACHMENT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("instance_uuid", ID),
        ("connector", Shape(&[Rule::Is(&[Object, Null])])),
        ("volume_uuid", ID),
    ]),
    Rule::FieldsSince(54, &[("mode", MODE)]),
    Rule::Needs(&["volume_uuid"]),
    Rule::Closed,
]);

const CHANGED_ATTACHMENT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[(
        "connector",
        Shape(&[Rule::Is(&[Object]), Rule::CountMin(1)]),
    )]),
    Rule::Needs(&["connector"]),
    Rule::Closed,
]);

const TRANSFER_NAME: Shape = Shape(&[Rule::AnyOf(&[
    Shape(&[Rule::Is(&[Text]), Rule::Format(Format::TrimmedName)]),
    Shape(&[Rule::Is(&[Null])]),
])]);

const OLD_TRANSFER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("volume_id", ID), ("name", TRANSFER_NAME)]),
    Rule::Needs(&["volume_id"]),
    Rule::Closed,
]);

const NEW_TRANSFER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("volume_id", ID), ("name", TRANSFER_NAME)]),
    Rule::FieldsSince(55, &[("no_snapshots", BOOLEAN)]),
    Rule::Needs(&["volume_id"]),
    Rule::Closed,
]);

const ACCEPT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("auth_key", Shape(&[Rule::Is(&[Text, Integer])]))]),
    Rule::Needs(&["auth_key"]),
    Rule::Closed,
]);

pub(super) const ROWS: &[Row] = &[
    Row::post("/volumes", "volume", NEW_VOLUME).besides(Besides::These(&[HINTS])),
    Row::post("/volumes", "volume", HINTED).bare(),
    Row::put("/volumes/{}", "volume", CHANGED_VOLUME),
    Row::post("/os-volume-manage", "volume", TAKEN_VOLUME),
    Row::post("/manageable_volumes", "volume", TAKEN_VOLUME),
    Row::post("/volumes/{}/metadata", "metadata", METADATA),
    Row::put("/volumes/{}/metadata", "metadata", METADATA),
    Row::put("/volumes/{}/metadata/{}", "meta", ONE_PAIR),
    Row::post("/attachments", "attachment", NEW_ATTACHMENT).since(27),
    Row::put("/attachments/{}", "attachment", CHANGED_ATTACHMENT).since(27),
    Row::post("/os-volume-transfer", "transfer", OLD_TRANSFER),
    Row::post("/volume-transfers", "transfer", NEW_TRANSFER).since(55),
    Row::post("/os-volume-transfer/{}/accept", "accept", ACCEPT),
    Row::post("/volume-transfers/{}/accept", "accept", ACCEPT).since(55),
];
