//! Bodies about volume types, their specs and QoS, group types and default types.

use super::format::Format;
use super::parts::{
    BOOLEAN, DESCRIPTION, METADATA_OR_NULL, NAME, NUMBER_MAX, OBJECT, ONE_PLAIN_SPEC, PLAIN_SPECS,
    SHORT, SHORT_OR_NULL, SPECS, WORD, WORD_OR_NULL,
};
use super::shape::Kind::{Integer, List, Null, Object, Text};
use super::shape::{Fields, Rule, Shape, Word};
use super::{Besides, Row};

const NEW_TYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", NAME),
        ("description", DESCRIPTION),
        ("extra_specs", SPECS),
        ("os-volume-type-access:is_public", BOOLEAN),
    ]),
    Rule::Needs(&["name"]),
    Rule::Closed,
]);

const CHANGED_TYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", WORD_OR_NULL),
        ("description", DESCRIPTION),
        ("is_public", BOOLEAN),
    ]),
    Rule::Closed,
]);

const ACCESS: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("project", WORD)]),
    Rule::Needs(&["project"]),
    Rule::Closed,
]);

const ENCRYPTION_FIELDS: Fields = &[
    (
        "key_size",
        Shape(&[
            Rule::Is(&[Text, Integer, Null]),
            Rule::Least(0),
            Rule::Most(NUMBER_MAX),
            Rule::Format(Format::KeySize),
        ]),
    ),
    ("provider", SHORT),
    (
        "control_location",
        Shape(&[Rule::Words(&[
            Word::Text("front-end"),
            Word::Text("back-end"),
        ])]),
    ),
    ("cipher", SHORT_OR_NULL),
];

const NEW_ENCRYPTION: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(ENCRYPTION_FIELDS),
    Rule::Needs(&["provider", "control_location"]),
]);

const CHANGED_ENCRYPTION: Shape = Shape(&[Rule::Is(&[Object]), Rule::Fields(ENCRYPTION_FIELDS)]);

const NEW_QOS: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[(
        "name",
        Shape(&[Rule::Is(&[Text]), Rule::Format(Format::TrimmedName)]),
    )]),
    Rule::Needs(&["name"]),
]);

const KEYS: Shape = Shape(&[Rule::Is(&[List]), Rule::Items(&WORD), Rule::Distinct]);

const NEW_GROUP_TYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", NAME),
        ("description", DESCRIPTION),
        ("is_public", BOOLEAN),
        ("group_specs", METADATA_OR_NULL),
    ]),
    Rule::Needs(&["name"]),
    Rule::Closed,
]);

const CHANGED_GROUP_TYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("is_public", BOOLEAN),
    ]),
    Rule::Closed,
]);

const DEFAULT_TYPE: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("volume_type", NAME)]),
    Rule::Needs(&["volume_type"]),
    Rule::Closed,
]);

/// Which keys there are, the catalogue knows.
const QUOTA_SET: Shape = Shape(&[Rule::Is(&[Object]), Rule::CountMin(1)]);

const TYPE_ACTION: &str = "/types/{}/action";

pub(super) const ROWS: &[Row] = &[
    Row::post("/types", "volume_type", NEW_TYPE),
    Row::put("/types/{}", "volume_type", CHANGED_TYPE),
    Row::post(TYPE_ACTION, "addProjectAccess", ACCESS),
    Row::post(TYPE_ACTION, "removeProjectAccess", ACCESS),
    Row::post("/types/{}/extra_specs", "extra_specs", PLAIN_SPECS),
    Row::put("/types/{}/extra_specs/{}", "", ONE_PLAIN_SPEC).bare(),
    Row::post("/types/{}/encryption", "encryption", NEW_ENCRYPTION),
    Row::put("/types/{}/encryption/{}", "encryption", CHANGED_ENCRYPTION),
    Row::post("/qos-specs", "qos_specs", NEW_QOS),
    Row::put("/qos-specs/{}", "qos_specs", SPECS),
    Row::put("/qos-specs/{}/delete_keys", "keys", KEYS),
    Row::post("/group_types", "group_type", NEW_GROUP_TYPE).since(11),
    Row::put("/group_types/{}", "group_type", CHANGED_GROUP_TYPE).since(11),
    Row::post("/group_types/{}/group_specs", "group_specs", PLAIN_SPECS).since(11),
    Row::put("/group_types/{}/group_specs/{}", "", ONE_PLAIN_SPEC)
        .since(11)
        .bare(),
    Row::put("/os-quota-sets/{}", "quota_set", QUOTA_SET),
    Row::put("/os-quota-class-sets/{}", "quota_class_set", OBJECT),
    Row::put("/default-types/{}", "default_type", DEFAULT_TYPE)
        .since(62)
        .besides(Besides::Anything),
];
