//! Bodies about snapshots, backups, groups and their snapshots, consistency groups too.

use super::Row;
use super::format::Format;
use super::parts::{
    BOOLEAN, DESCRIPTION, ID, ID_OR_NULL, METADATA, METADATA_OR_NULL, OBJECT, ONE_SNAPSHOT_PAIR,
    SHORT, SHORT_OR_NULL, SNAPSHOT_METADATA, TEXT, TEXT_OR_NULL,
};
use super::shape::Kind::{List, Null, Object, Text};
use super::shape::{Rule, Shape};
use crate::cinder::snapshot_actions;

const NEW_SNAPSHOT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", SHORT_OR_NULL),
        ("display_name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("volume_id", ID_OR_NULL),
        ("force", BOOLEAN),
        ("metadata", METADATA_OR_NULL),
    ]),
    Rule::Needs(&["volume_id"]),
    Rule::Closed,
]);

const CHANGED_SNAPSHOT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("display_name", SHORT_OR_NULL),
        ("display_description", DESCRIPTION),
    ]),
    Rule::Closed,
    Rule::AnyOf(&[
        Shape(&[Rule::Needs(&["name"])]),
        Shape(&[Rule::Needs(&["description"])]),
        Shape(&[Rule::Needs(&["display_name"])]),
        Shape(&[Rule::Needs(&["display_description"])]),
    ]),
]);

const TAKEN_SNAPSHOT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("description", DESCRIPTION),
        ("metadata", METADATA_OR_NULL),
        ("name", SHORT_OR_NULL),
        ("volume_id", ID),
        ("ref", Shape(&[Rule::Is(&[Object, Null, Text])])),
    ]),
    Rule::Needs(&["ref", "volume_id"]),
    Rule::Closed,
]);

/// One status, which the handler knows the words for.
const STATUS: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("status", TEXT)]),
    Rule::Needs(&["status"]),
    Rule::Closed,
]);

const SNAPSHOT_STATUS: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[(
        "status",
        Shape(&[
            Rule::Is(&[Text]),
            Rule::As(|word| snapshot_actions::status_of(word).map(drop)),
        ]),
    )]),
    Rule::Needs(&["status"]),
    Rule::Closed,
]);

const DRIVER_STATUS: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("status", TEXT),
        (
            "progress",
            Shape(&[Rule::As(|value| {
                snapshot_actions::progress_of(value).map(drop)
            })]),
        ),
    ]),
    Rule::Needs(&["status"]),
    Rule::Closed,
]);

const NEW_BACKUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("volume_id", ID),
        ("container", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("incremental", BOOLEAN),
        ("force", BOOLEAN),
        ("name", SHORT_OR_NULL),
        ("snapshot_id", ID_OR_NULL),
    ]),
    Rule::FieldsSince(43, &[("metadata", METADATA_OR_NULL)]),
    Rule::FieldsSince(51, &[("availability_zone", SHORT_OR_NULL)]),
    Rule::Needs(&["volume_id"]),
    Rule::Closed,
]);

const CHANGED_BACKUP: Shape = Shape(&[
    Rule::Is(&[Object, Null]),
    Rule::Fields(&[("name", SHORT_OR_NULL), ("description", DESCRIPTION)]),
    Rule::FieldsSince(43, &[("metadata", METADATA)]),
    Rule::Closed,
]);

const RESTORE: Shape = Shape(&[
    Rule::Is(&[Object, Null]),
    Rule::Fields(&[("name", SHORT_OR_NULL), ("volume_id", ID_OR_NULL)]),
    Rule::Closed,
]);

const IMPORT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("backup_service", SHORT),
        (
            "backup_url",
            Shape(&[Rule::Is(&[Text]), Rule::LengthMin(1)]),
        ),
    ]),
    Rule::Needs(&["backup_service", "backup_url"]),
    Rule::Closed,
]);

const NEW_GROUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("description", DESCRIPTION),
        (
            "group_type",
            Shape(&[Rule::Is(&[Text]), Rule::Format(Format::GroupType)]),
        ),
        ("name", SHORT_OR_NULL),
        (
            "volume_types",
            Shape(&[
                Rule::Is(&[List]),
                Rule::CountMin(1),
                Rule::Items(&SHORT),
                Rule::Distinct,
            ]),
        ),
        (
            "availability_zone",
            Shape(&[Rule::Is(&[Text, Null]), Rule::Format(Format::Zone)]),
        ),
    ]),
    Rule::Needs(&["group_type", "volume_types"]),
    Rule::Closed,
]);

const GROUP_COPY: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("description", DESCRIPTION),
        ("name", SHORT_OR_NULL),
        ("source_group_id", ID),
        ("group_snapshot_id", ID),
    ]),
]);

const GROUP_DELETION: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("delete-volumes", BOOLEAN)]),
    Rule::Closed,
]);

const CHANGED_GROUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("description", DESCRIPTION),
        ("name", SHORT_OR_NULL),
        ("add_volumes", DESCRIPTION),
        ("remove_volumes", DESCRIPTION),
    ]),
    Rule::AnyOf(&[
        Shape(&[Rule::Needs(&["name"])]),
        Shape(&[Rule::Needs(&["description"])]),
        Shape(&[Rule::Needs(&["add_volumes"])]),
        Shape(&[Rule::Needs(&["remove_volumes"])]),
    ]),
    Rule::Closed,
]);

const FAILOVER: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("allow_attached_volume", BOOLEAN),
        ("secondary_backend_id", SHORT_OR_NULL),
    ]),
    Rule::Closed,
]);

const NEW_GROUP_SNAPSHOT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("group_id", ID),
        ("name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
    ]),
    Rule::Needs(&["group_id"]),
    Rule::Closed,
]);

const NEW_CONSISTENCY_GROUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[("name", SHORT_OR_NULL), ("description", DESCRIPTION)]),
    Rule::Needs(&["volume_types"]),
]);

const CONSISTENCY_GROUP_COPY: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("cgsnapshot_id", TEXT),
        ("source_cgid", TEXT),
    ]),
]);

const CHANGED_CONSISTENCY_GROUP: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("name", SHORT_OR_NULL),
        ("description", DESCRIPTION),
        ("add_volumes", TEXT_OR_NULL),
        ("remove_volumes", TEXT_OR_NULL),
    ]),
]);

const NEW_CONSISTENCY_SNAPSHOT: Shape = Shape(&[
    Rule::Is(&[Object]),
    Rule::Fields(&[
        ("consistencygroup_id", TEXT),
        ("name", TEXT),
        ("description", TEXT),
    ]),
    Rule::Needs(&["consistencygroup_id"]),
]);

/// A deletion may come without a body, or with an empty one.
const CONSISTENCY_GROUP_DELETION: Shape = Shape(&[Rule::AnyOf(&[
    Shape(&[
        Rule::Is(&[Object]),
        Rule::Fields(&[(
            "consistencygroup",
            Shape(&[Rule::Is(&[Object]), Rule::Fields(&[("force", BOOLEAN)])]),
        )]),
        Rule::Needs(&["consistencygroup"]),
    ]),
    Shape(&[Rule::Is(&[Object]), Rule::Closed]),
])]);

const SNAPSHOT_ACTION: &str = "/snapshots/{}/action";
const GROUP_ACTION: &str = "/groups/{}/action";

pub(super) const ROWS: &[Row] = &[
    Row::post("/snapshots", "snapshot", NEW_SNAPSHOT),
    Row::put("/snapshots/{}", "snapshot", CHANGED_SNAPSHOT),
    Row::post(SNAPSHOT_ACTION, "os-reset_status", SNAPSHOT_STATUS),
    Row::post(SNAPSHOT_ACTION, "os-update_snapshot_status", DRIVER_STATUS),
    Row::post("/os-snapshot-manage", "snapshot", TAKEN_SNAPSHOT),
    Row::post("/manageable_snapshots", "snapshot", TAKEN_SNAPSHOT),
    Row::post("/snapshots/{}/metadata", "metadata", SNAPSHOT_METADATA).open(),
    Row::put("/snapshots/{}/metadata", "metadata", SNAPSHOT_METADATA).open(),
    Row::put("/snapshots/{}/metadata/{}", "meta", ONE_SNAPSHOT_PAIR).open(),
    Row::post("/backups", "backup", NEW_BACKUP),
    Row::put("/backups/{}", "backup", CHANGED_BACKUP).since(9),
    Row::post("/backups/{}/restore", "restore", RESTORE),
    Row::post("/backups/import_record", "backup-record", IMPORT),
    Row::post("/backups/{}/action", "os-reset_status", STATUS),
    Row::post("/groups", "group", NEW_GROUP).since(13),
    Row::put("/groups/{}", "group", CHANGED_GROUP).since(13),
    Row::post("/groups/action", "create-from-src", GROUP_COPY).since(14),
    Row::post(GROUP_ACTION, "delete", GROUP_DELETION).since(13),
    Row::post(GROUP_ACTION, "reset_status", STATUS).since(20),
    Row::post(GROUP_ACTION, "enable_replication", OBJECT).since(38),
    Row::post(GROUP_ACTION, "disable_replication", OBJECT).since(38),
    Row::post(GROUP_ACTION, "failover_replication", FAILOVER).since(38),
    Row::post(GROUP_ACTION, "list_replication_targets", OBJECT).since(38),
    Row::post("/group_snapshots", "group_snapshot", NEW_GROUP_SNAPSHOT).since(14),
    Row::post("/group_snapshots/{}/action", "reset_status", STATUS).since(19),
    Row::post(
        "/consistencygroups",
        "consistencygroup",
        NEW_CONSISTENCY_GROUP,
    )
    .open(),
    Row::post(
        "/consistencygroups/create_from_src",
        "consistencygroup-from-src",
        CONSISTENCY_GROUP_COPY,
    )
    .open(),
    Row::post(
        "/consistencygroups/{}/delete",
        "",
        CONSISTENCY_GROUP_DELETION,
    )
    .bare(),
    Row::put(
        "/consistencygroups/{}/update",
        "consistencygroup",
        CHANGED_CONSISTENCY_GROUP,
    )
    .open(),
    Row::post("/cgsnapshots", "cgsnapshot", NEW_CONSISTENCY_SNAPSHOT).open(),
];
