//! The actions of volumes.

use super::{in_any_case, pairs, size, spelled_flag, uuid_or_null, words_or_null};
use crate::cinder::reset_status::{ATTACH_STATUSES, MIGRATION_STATUSES, STATUSES};
use crate::cinder::validate::TEXT_MAX;
use crate::cinder::volume_actions::DISK_FORMATS;
use crate::openapi::Operation;
use crate::openapi::shape::{
    Shape, any, any_of, field, flag, map_of, maybe, null, object, text, text_of, uuid, wire, words,
    wrapped,
};
use crate::policy::Rule;
use crate::types::cinder::{ConnectionInfo, MetadataBody};

const fn action(name: &'static str, summary: &'static str, rule: Rule) -> Operation {
    Operation::action("/volumes/{id}/action", name, summary)
        .rule(rule)
        .empty(202)
}

pub(in crate::cinder) const ALL: [Operation; 25] = [
    action(
        "revert",
        "Give a volume the content of its newest snapshot.",
        Rule::VolumeRevertToSnapshot,
    )
    .since(40)
    .body(|| of("revert", [maybe("snapshot_id", uuid_or_null())])),
    action(
        "os-reset_status",
        "Say what status a volume is in.",
        Rule::VolumeAdminActionsResetStatus,
    )
    .body(reset),
    action(
        "os-force_delete",
        "Delete a volume in whatever status.",
        Rule::VolumeAdminActionsForceDelete,
    )
    .body(|| bare("os-force_delete")),
    action(
        "os-force_detach",
        "End an attachment for its user.",
        Rule::VolumeAdminActionsForceDetach,
    )
    .body(|| {
        let connector = maybe("connector", connector_or_null());
        of(
            "os-force_detach",
            [connector, maybe("attachment_id", uuid_or_null())],
        )
    })
    .faults(&[409]),
    action(
        "os-migrate_volume",
        "Move a volume to another backend.",
        Rule::VolumeAdminActionsMigrateVolume,
    )
    .body(migrate),
    action(
        "os-migrate_volume_completion",
        "Tell the end of a migration.",
        Rule::VolumeAdminActionsMigrateVolumeCompletion,
    )
    .body(|| {
        let error = maybe("error", error());
        of(
            "os-migrate_volume_completion",
            [field("new_volume", uuid()), error],
        )
    })
    .answers(200, || wrapped("save_volume_id", uuid())),
    action(
        "os-extend_volume_completion",
        "Tell the end of an extension.",
        Rule::VolumeAdminActionsExtendVolumeCompletion,
    )
    .since(71)
    .body(|| of("os-extend_volume_completion", [maybe("error", error())])),
    action(
        "os-attach",
        "Tell that a volume is attached.",
        Rule::VolumeActionsAttach,
    )
    .body(attach),
    action(
        "os-detach",
        "Tell that a volume is detached.",
        Rule::VolumeActionsDetach,
    )
    .body(|| of("os-detach", [maybe("attachment_id", uuid_or_null())]))
    .faults(&[409]),
    action(
        "os-reserve",
        "Reserve a volume.",
        Rule::VolumeActionsReserve,
    )
    .body(|| bare("os-reserve")),
    action(
        "os-unreserve",
        "Undo a reservation.",
        Rule::VolumeActionsUnreserve,
    )
    .body(|| bare("os-unreserve")),
    action(
        "os-begin_detaching",
        "Tell that a volume is being detached.",
        Rule::VolumeActionsBeginDetaching,
    )
    .body(|| bare("os-begin_detaching")),
    action(
        "os-roll_detaching",
        "Tell that it is not.",
        Rule::VolumeActionsRollDetaching,
    )
    .body(|| bare("os-roll_detaching")),
    action(
        "os-initialize_connection",
        "Tell a host how to reach a volume.",
        Rule::VolumeActionsInitializeConnection,
    )
    .body(|| {
        of(
            "os-initialize_connection",
            [field("connector", map_of(any()))],
        )
    })
    .answers(200, connection),
    action(
        "os-terminate_connection",
        "End what a host was told.",
        Rule::VolumeActionsTerminateConnection,
    )
    .body(|| {
        of(
            "os-terminate_connection",
            [field("connector", connector_or_null())],
        )
    }),
    action(
        "os-volume_upload_image",
        "Make an image of a volume.",
        Rule::VolumeActionsUploadImage,
    )
    .body(upload)
    // Of images elsewhere, and of a quota there.
    .faults(&[413, 503])
    .answers(202, uploading),
    action("os-extend", "Make a volume larger.", Rule::VolumeExtend)
        .body(|| of("os-extend", [field("new_size", size())])),
    action(
        "os-update_readonly_flag",
        "Say whether a volume may be written.",
        Rule::VolumeUpdateReadonlyFlag,
    )
    .body(|| {
        of(
            "os-update_readonly_flag",
            [field("readonly", spelled_flag())],
        )
    }),
    action(
        "os-retype",
        "Give a volume another type.",
        Rule::VolumeRetype,
    )
    .body(retype),
    action(
        "os-set_bootable",
        "Say whether guests can start from a volume.",
        Rule::VolumeUpdate,
    )
    .body(|| of("os-set_bootable", [field("bootable", spelled_flag())]))
    .empty(200),
    action(
        "os-reimage",
        "Give a volume the content of an image.",
        Rule::VolumeReimage,
    )
    .since(68)
    .body(|| {
        let reserved = maybe("reimage_reserved", spelled_flag());
        of("os-reimage", [field("image_id", uuid()), reserved])
    })
    .faults(&[409, 503]),
    action(
        "os-set_image_metadata",
        "Add pairs to what is said of a volume's image.",
        Rule::VolumeImageMetadataSet,
    )
    .body(|| of("os-set_image_metadata", [field("metadata", pairs())]))
    .answers(200, wire::<MetadataBody>),
    action(
        "os-show_image_metadata",
        "Show what is said of a volume's image.",
        Rule::VolumeGetVolumeMetadata,
    )
    .body(|| bare("os-show_image_metadata"))
    .answers(200, wire::<MetadataBody>),
    action(
        "os-unset_image_metadata",
        "Remove a pair of what is said of a volume's image.",
        Rule::VolumeImageMetadataRemove,
    )
    .body(|| {
        of(
            "os-unset_image_metadata",
            [field("key", text_of(1, TEXT_MAX))],
        )
    })
    .empty(200),
    action(
        "os-unmanage",
        "Forget a volume and keep its data.",
        Rule::VolumeUnmanage,
    )
    .body(|| bare("os-unmanage")),
];

/// An action with arguments.
pub(super) fn of(
    name: &str,
    fields: impl IntoIterator<Item = crate::openapi::shape::Field>,
) -> Shape {
    wrapped(name, object(fields))
}

/// An action without arguments; what is given is not looked at.
pub(super) fn bare(name: &str) -> Shape {
    wrapped(name, any())
}

fn connector_or_null() -> Shape {
    any_of([map_of(any()), null()])
}

fn error() -> Shape {
    any_of([flag(), text(), null()])
}

fn reset() -> Shape {
    let args = object([
        maybe("status", in_any_case(&STATUSES).or_null()),
        maybe("attach_status", in_any_case(&ATTACH_STATUSES).or_null()),
        maybe(
            "migration_status",
            in_any_case(&MIGRATION_STATUSES).or_null(),
        ),
    ]);
    wrapped("os-reset_status", args.filled())
}

fn migrate() -> Shape {
    let args = [
        maybe("host", words_or_null()),
        maybe("force_host_copy", spelled_flag()),
        maybe("lock_volume", spelled_flag()),
        maybe("cluster", words_or_null()).since(16),
    ];
    of("os-migrate_volume", args)
}

fn attach() -> Shape {
    let args = [
        maybe("instance_uuid", uuid()),
        field("mountpoint", text_of(1, TEXT_MAX)),
        maybe("host_name", text_of(0, TEXT_MAX)),
        maybe("mode", words(&["rw", "ro"])),
    ];
    of("os-attach", args)
}

fn retype() -> Shape {
    let policy = words(&["on-demand", "never"]).or_null();
    of(
        "os-retype",
        [field("new_type", text()), maybe("migration_policy", policy)],
    )
}

fn upload() -> Shape {
    let visibility = words(&["community", "public", "private", "shared"]);
    let args = [
        field("image_name", text_of(1, TEXT_MAX)),
        maybe("force", spelled_flag()),
        maybe("disk_format", words(&DISK_FORMATS)),
        maybe("container_format", words_or_null()),
        maybe("visibility", visibility).since(1),
        maybe("protected", spelled_flag()).since(1),
    ];
    of("os-volume_upload_image", args)
}

fn uploading() -> Shape {
    let volume_type = object([
        field("id", uuid()),
        field("name", text()),
        field("description", words_or_null()),
        field("is_public", flag()),
        field("extra_specs", map_of(text().or_null())),
        field("qos_specs_id", words_or_null()),
        field("created_at", text()),
        field("updated_at", words_or_null()),
        field("deleted", flag()),
        field("deleted_at", words_or_null()),
    ]);
    let image = object([
        field("id", uuid()),
        field("updated_at", text()),
        field("status", words(&["uploading"])),
        field("display_description", words_or_null()),
        field("size", size()),
        field("volume_type", volume_type.or_null()),
        field("image_id", uuid()),
        field("container_format", text()),
        field("disk_format", words(&DISK_FORMATS)),
        field("image_name", text()),
        field("protected", flag()),
        field("visibility", text()),
    ]);
    wrapped("os-volume_upload_image", image)
}

fn connection() -> Shape {
    let info = object([
        field("driver_volume_type", words(&["nbd"])),
        field("data", wire::<ConnectionInfo>()),
    ]);
    wrapped("connection_info", info)
}
