//! Backups and their records.

use super::volume_actions::{bare, of};
use super::{pairs, spelled_flag, uuid_or_null, words_or_null};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::shape::{
    Shape, any_of, field, maybe, null, object, text, text_of, uuid, wire, words, wrapped,
};
use crate::openapi::{ALL_TENANTS, COUNT, ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;
use crate::types::cinder::{
    Backup, BackupBody, BackupList, BackupRecordBody, BackupSummary, RestoreBody,
};

const FILTERS: &[Parameter] = &[
    parameter("name", text, "Backups of this name."),
    parameter("status", text, "Backups in this status."),
    parameter("volume_id", text, "Backups of this volume."),
];

pub(in crate::cinder) const LIST: Operation =
    Operation::get("/backups", "List backups: id, name and links.")
        .rule(Rule::BackupGetAll)
        .query(&[PAGES, ORDER, ALL_TENANTS, COUNT, FILTERS])
        .answers(200, wire::<BackupList<BackupSummary>>);
pub(in crate::cinder) const DETAIL: Operation = LIST
    .at("/backups/detail")
    .means("List backups with all their fields.")
    .answers(200, wire::<BackupList<Backup>>);
pub(in crate::cinder) const CREATE: Operation =
    Operation::post("/backups", "Back up a volume or snapshot.")
        .rule(Rule::BackupCreate)
        .body(new)
        .answers(202, wire::<BackupBody<BackupSummary>>)
        .faults(&[503]);
pub(in crate::cinder) const SHOW: Operation = Operation::get("/backups/{id}", "Show a backup.")
    .rule(Rule::BackupGet)
    .answers(200, wire::<BackupBody<Backup>>);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/backups/{id}", "Change name, description or metadata.")
        .since(9)
        .rule(Rule::BackupUpdate)
        .body(changes)
        .answers(200, wire::<BackupBody<BackupSummary>>);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/backups/{id}", "Delete a backup.")
        .rule(Rule::BackupDelete)
        .empty(202);
pub(in crate::cinder) const RESTORE: Operation =
    Operation::post("/backups/{id}/restore", "Restore a backup to a volume.")
        .rule(Rule::BackupRestore)
        .body(restore)
        .answers(202, wire::<RestoreBody>);
pub(in crate::cinder) const EXPORT: Operation = Operation::get(
    "/backups/{id}/export_record",
    "Show what another daemon must know of a backup.",
)
.rule(Rule::BackupExportImport)
.answers(200, wire::<BackupRecordBody>);
pub(in crate::cinder) const IMPORT: Operation = Operation::post(
    "/backups/import_record",
    "Take over a backup of another daemon.",
)
.rule(Rule::BackupImport)
.body(record)
.answers(201, wire::<BackupBody<BackupSummary>>)
.faults(&[503]);

const fn action(name: &'static str, summary: &'static str, rule: Rule) -> Operation {
    Operation::action("/backups/{id}/action", name, summary)
        .rule(rule)
        .empty(202)
}

pub(in crate::cinder) const ACTIONS: [Operation; 2] = [
    action(
        "os-reset_status",
        "Say what status a backup is in.",
        Rule::BackupAdminActionsResetStatus,
    )
    .body(|| {
        let status = words(&["available", "error"]);
        of("os-reset_status", [field("status", status)])
    }),
    action(
        "os-force_delete",
        "Delete a backup in whatever status.",
        Rule::BackupAdminActionsForceDelete,
    )
    .body(|| bare("os-force_delete")),
];

fn new() -> Shape {
    let backup = object([
        field("volume_id", uuid()),
        maybe("container", words_or_null()),
        maybe("description", words_or_null()),
        maybe("incremental", any_of([spelled_flag(), null()])),
        maybe("force", any_of([spelled_flag(), null()])),
        maybe("name", words_or_null()),
        maybe("snapshot_id", uuid_or_null()),
        maybe("metadata", pairs().or_null()).since(43),
        maybe("availability_zone", words_or_null()).since(51),
    ]);
    wrapped("backup", backup).named("BackupCreate")
}

fn changes() -> Shape {
    let backup = object([
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("metadata", pairs().or_null()).since(43),
    ]);
    wrapped("backup", backup.or_null()).named("BackupUpdate")
}

fn restore() -> Shape {
    let wanted = object([
        maybe("name", words_or_null()),
        maybe("volume_id", uuid_or_null()),
    ]);
    wrapped("restore", wanted.or_null())
}

fn record() -> Shape {
    let record = object([
        field("backup_service", text_of(1, TEXT_MAX)),
        field("backup_url", text_of(1, 65_535)),
    ]);
    wrapped("backup-record", record)
}
