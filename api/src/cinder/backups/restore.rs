//! Restoring: into a volume that is there, into one made for it, or as the source of a new volume.
//!
//! The job belongs to the volume and reads the backup, so that neither goes meanwhile. A new volume
//! is made by the job itself: for clients it is there, being restored, from the answer on.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};
use store::VolumeId;
use uuid::Uuid;

use super::records::Backup;
use super::{calls, create, find, invalid_backup, work};
use crate::auth::Caller;
use crate::backup::{self, Ancestor, Description, Onto, VolumeFacts};
use crate::body::JsonBody;
use crate::catalogue::{self, View, Writer};
use crate::cinder::images::Sought;
use crate::cinder::messages::{self, Action, Detail, Failure, Resource};
use crate::cinder::records::{Object, Volume};
use crate::cinder::work::{Outcome, row, settle, spec_of};
use crate::cinder::{encryption, validate, volumes};
use crate::fault::Fault;
use crate::jobs::{self, Handler, Job, JobError, Progress};
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder as wire;

/// How volumes are called that are made for a restore without a name: the backup's own name of the
/// volume takes its place.
const NEW_NAME: &str = "restore_backup_";

pub(super) async fn restore(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let map = calls::wrapped_or_null(&body, "restore")?;
    validate::only("restore", &map, &["name", "volume_id"])?;
    let name = validate::short_text(&map, "name")?;
    let onto = validate::id(&map, "volume_id")?;
    services
        .blocking(move |services| {
            let (backup, volume) = services.catalogue().write(|writer| {
                let backup = find(writer, &caller, &id)?;
                caller.check(Rule::BackupRestore, &backup)?;
                if backup.status != "available" {
                    return Err(invalid_backup("Backup status must be available"));
                }
                if services.config().backup.is_none() {
                    return Err(create::no_service());
                }
                let volume = match onto {
                    Some(volume) => onto_used(services, writer, &caller, &backup, volume)?,
                    None => onto_new(services, writer, &caller, &backup, name)?,
                };
                Ok::<_, Fault>((
                    backup.id.to_string(),
                    begin(services, writer, backup, volume)?,
                ))
            })?;
            let id = volume.id.to_string();
            let project = Some(volume.project_id.as_str());
            services.event("backup.restoring", project, &id, String::new());
            let answer = wire::Restore {
                backup_id: backup,
                volume_id: id,
                volume_name: volume.name,
            };
            Ok((StatusCode::ACCEPTED, Json(json!({ "restore": answer }))))
        })
        .await
}

/// A volume that is there, and its job.
fn onto_used(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    backup: &Backup,
    id: Uuid,
) -> Result<Volume, Fault> {
    let volume = volumes::find(writer, caller, &id.to_string())?;
    if volume.status != "available" {
        return Err(Fault::bad_request(
            "Invalid volume: Volume to be restored to must be available",
        ));
    }
    if backup.size_gib > volume.size_gib {
        return Err(Fault::bad_request(format!(
            "Invalid volume: volume size {} is too small to restore backup of size {}.",
            volume.size_gib, backup.size_gib
        )));
    }
    jobs::enqueue(writer, job_of(services, &volume, backup.id, Onto::Used))?;
    Ok(volume)
}

/// A volume made for this, and its job.
fn onto_new(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    backup: &Backup,
    name: Option<String>,
) -> Result<Volume, Fault> {
    let project = caller.require_project()?.to_owned();
    caller.check(Rule::VolumeCreate, &project)?;
    let wanted = volumes::Wanted {
        name: Some(name.unwrap_or_else(|| format!("{NEW_NAME}{}", backup.id))),
        description: Some("auto-created_from_restore_from_backup".to_owned()),
        size_gib: Some(backup.size_gib),
        backup_id: Some(backup.id),
        ..volumes::Wanted::default()
    };
    let nothing = Sought::InCatalogue;
    volumes::add(services, writer, (caller, &project), &wanted, nothing)
}

/// Marks both as being restored.
fn begin(
    services: &Services,
    writer: &Writer,
    mut backup: Backup,
    mut volume: Volume,
) -> Result<Volume, Fault> {
    let now_us = services.now_us();
    backup.status = "restoring".to_owned();
    backup.touch(now_us);
    writer.put(&backup)?;
    volume.status = "restoring-backup".to_owned();
    volume.touch(now_us);
    writer.put(&volume)?;
    Ok(volume)
}

/// The backup that a new volume is to be filled from, if the caller may use it and it is usable.
pub(in crate::cinder) fn source_of(
    view: &impl View,
    caller: &Caller,
    id: Uuid,
    size_gib: Option<u64>,
) -> Result<Backup, Fault> {
    let backup = find(view, caller, &id.to_string())?;
    caller.check(Rule::BackupGet, &backup)?;
    if backup.status != "available" {
        return Err(invalid_backup(
            "Originating backup status must be one of 'available' values",
        ));
    }
    match size_gib {
        Some(size) if size < backup.size_gib => Err(Fault::bad_request(format!(
            "Invalid input received: Volume size {size}GB cannot be smaller than the backup size \
             {}GB. It must be >= backup size.",
            backup.size_gib
        ))),
        _ => Ok(backup),
    }
}

/// The type of volumes made from an encrypted backup that name none, if it still is encrypted.
pub(in crate::cinder) fn type_of(
    view: &impl View,
    backup: &Backup,
) -> catalogue::Result<Option<Uuid>> {
    Ok(match backup.volume_type_id {
        Some(id) => encryption::of_type(view, id)?.map(|found| found.volume_type_id),
        None => None,
    })
}

/// The job that makes a new volume and fills it from a backup.
pub(in crate::cinder) fn create_volume_job(
    services: &Services,
    volume: &Volume,
    backup: Uuid,
) -> Job {
    job_of(services, volume, backup, Onto::New)
}

fn job_of(services: &Services, volume: &Volume, backup: Uuid, onto: Onto) -> Job {
    let (id, project) = (volume.id.to_string(), Some(volume.project_id.as_str()));
    let args = json!({"backup": backup, "new": onto == Onto::New});
    Job::new(work::RESTORE, &id, project, args, services.now_us()).reading(backup)
}

pub(super) struct RestoreBackup;

fn backup_of(job: &Job) -> Option<Uuid> {
    job.args.get("backup")?.as_str()?.parse().ok()
}

fn is_new(job: &Job) -> bool {
    job.args.get("new").and_then(Value::as_bool) == Some(true)
}

impl Handler for RestoreBackup {
    fn is_long(&self) -> bool {
        true
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = row(services, job)?;
        let stored = start(services, job)?;
        let store = services.store_of(volume.backend.as_deref())?;
        let id = VolumeId(volume.id);
        let onto = if is_new(job) { Onto::New } else { Onto::Used };
        let target = work::target(services)?;
        let held = backup::check(target, &stored, Some(store))?;
        check_encryption(services, &volume, &held)?;
        if onto == Onto::New {
            store.create_volume(id, spec_of(services, &volume)?)?;
        }
        let watch = Progress::new(services, job);
        let disk = store.volume(id)?;
        let held = backup::restore(target, &stored, (store, &disk), onto, &watch)?;
        services.catalogue().write(|writer| {
            let Some(mut volume) = writer.get::<Volume>(&volume.id)? else {
                return Ok(());
            };
            apply(&mut volume, held.volume, &stored, onto);
            writer.put(&volume)
        })?;
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle::<Volume>(writer, job, now_us, |volume| {
            if ["restoring-backup", "creating"].contains(&volume.status.as_str()) {
                let status = match result {
                    Ok(()) => "available",
                    Err(_) if is_new(job) => "error",
                    Err(_) => "error_restoring",
                };
                status.clone_into(&mut volume.status);
            }
        })?;
        let id = backup_of(job).unwrap_or_default();
        if result.is_err() {
            let failure = Failure {
                resource: Resource::Backup,
                action: Action::RestoreBackup,
                detail: Detail::RestoreFailed,
            };
            messages::record_of(writer, job, &id.to_string(), failure, now_us)?;
        }
        if let Some(mut backup) = writer.get::<Backup>(&id)?
            && backup.status == "restoring"
        {
            backup.status = "available".to_owned();
            backup.touch(now_us);
            writer.put(&backup)?;
        }
        Ok(())
    }
}

/// Refuses to put what is encrypted onto a volume that is not, as the real service does.
fn check_encryption(
    services: &Services,
    volume: &Volume,
    held: &Description,
) -> Result<(), JobError> {
    let type_id = volume.volume_type_id;
    let asked = services
        .catalogue()
        .read(|reader| encryption::of_type(reader, type_id))?;
    if held.sealed.is_some() && asked.is_none() {
        let message = format!("the backup is encrypted, and the volume's type {type_id} is not");
        return Err(JobError(message));
    }
    Ok(())
}

/// Marks both sides, as long as nobody has asked for anything else of them, and says where the
/// backup is.
fn start(services: &Services, job: &Job) -> Result<Ancestor, JobError> {
    let id = backup_of(job).ok_or_else(|| JobError("the job names no backup".to_owned()))?;
    let volume: Volume = row(services, job)?;
    let found = services.catalogue().write(|writer| {
        if volume.status == "creating" {
            let status = "restoring-backup".to_owned();
            writer.update::<Volume>(&volume.id, |volume| volume.status = status)?;
        }
        let mut backup = writer.get::<Backup>(&id)?;
        if let Some(backup) = &mut backup
            && backup.status == "available"
        {
            backup.status = "restoring".to_owned();
            writer.put(backup)?;
        }
        Ok::<_, catalogue::Error>(backup)
    })?;
    let stored = found.and_then(|backup| backup.stored);
    stored.ok_or_else(|| JobError(format!("backup {id} is not on the target")))
}

/// Gives a volume what was kept of the one that was backed up, as the real service does.
fn apply(volume: &mut Volume, facts: VolumeFacts, backup: &Ancestor, onto: Onto) {
    let named = volume.name.as_deref().unwrap_or_default();
    if facts.name.is_some() && (named.is_empty() || named.starts_with(NEW_NAME)) {
        volume.name = facts.name;
        volume.description = facts.description;
    }
    if !facts.metadata.is_empty() {
        volume.metadata = facts.metadata;
    }
    if facts.id != volume.id {
        let source = ("src_backup_id".to_owned(), backup.id.to_string());
        volume.metadata.extend([source]);
    }
    volume.bootable |= facts.bootable;
    if onto == Onto::New {
        volume.source_length = facts.source_length;
    }
}
