//! Changing and deleting backups, and the actions of admins.

use axum::Json;
use axum::extract::{Path, State};
use http::header::CONTENT_TYPE;
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value, json};

use super::records::Backup;
use super::{Viewer, find, has_dependents, invalid_backup, work};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{self, View, Writer};
use crate::cinder::records::Object;
use crate::cinder::{action_of, no_action, validate};
use crate::fault::Fault;
use crate::jobs::{self, Job};
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// States that an admin may set.
const STATUSES: [&str; 2] = ["available", "error"];

/// The object under a key that may also be null.
pub(super) fn wrapped_or_null(body: &Value, key: &str) -> Result<Map<String, Value>, Fault> {
    match body.get(key) {
        Some(Value::Null) => Ok(Map::new()),
        _ => Ok(validate::wrapped(body, key)?.clone()),
    }
}

pub(super) async fn update(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    if !version.has(9) {
        return Err(Fault::version_not_found());
    }
    let map = wrapped_or_null(&body, "backup")?;
    let mut keys = vec!["name", "description"];
    keys.extend(version.has(43).then_some("metadata"));
    validate::only("backup", &map, &keys)?;
    let (name, description) = (
        validate::short_text(&map, "name")?,
        validate::short_text(&map, "description")?,
    );
    let metadata = validate::metadata(&map, "metadata")?;
    services
        .blocking(move |services| {
            let backup = services.catalogue().write(|writer| {
                let mut backup = find(writer, &caller, &id)?;
                caller.check(Rule::BackupUpdate, &backup)?;
                if map.contains_key("name") {
                    backup.name = name;
                }
                if map.contains_key("description") {
                    backup.description = description;
                }
                backup.metadata = metadata.unwrap_or(backup.metadata);
                backup.touch(services.now_us());
                writer.put(&backup)?;
                Ok::<_, Fault>(backup)
            })?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok(Json(json!({"backup": viewer.summary(&backup)})))
        })
        .await
}

pub(super) async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1]), Fault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let backup = find(writer, &caller, &id)?;
                caller.check(Rule::BackupDelete, &backup)?;
                if !["available", "error"].contains(&backup.status.as_str()) {
                    return Err(invalid_backup("Backup status must be available or error"));
                }
                queue_deletion(services, writer, backup)
            })?;
            // Unlike other deletions this one has the type of the real service's framework.
            let json = [(CONTENT_TYPE, "application/json")];
            Ok((StatusCode::ACCEPTED, json))
        })
        .await
}

/// Gives a backup that nothing builds on the status deleting and queues the work.
fn queue_deletion(services: &Services, writer: &Writer, mut backup: Backup) -> Result<(), Fault> {
    if has_dependents(writer, backup.id)? {
        return Err(invalid_backup("Incremental backups exist for this backup."));
    }
    let now_us = services.now_us();
    backup.status = "deleting".to_owned();
    backup.touch(now_us);
    writer.put(&backup)?;
    let (id, project) = (backup.id.to_string(), Some(backup.project_id.as_str()));
    let mut job = Job::new(work::DELETE, &id, project, Value::Null, now_us);
    // Rows that stand for one backup go one after another, so that one of them is the last.
    if let Some(stored) = &backup.stored {
        job = job.owning(stored.id);
    }
    Ok(jobs::enqueue(writer, job)?)
}

pub(super) async fn action(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Fault> {
    let (name, args) = action_of(&body)?;
    let status = match name.as_str() {
        "os-reset_status" => Some(status_of(&args)?),
        "os-force_delete" => None,
        _ => return Err(no_action(&name)),
    };
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut backup = find(writer, &caller, &id)?;
                let Some(status) = status else {
                    caller.check(Rule::BackupAdminActionsForceDelete, &backup)?;
                    return queue_deletion(services, writer, backup);
                };
                caller.check(Rule::BackupAdminActionsResetStatus, &backup)?;
                // What is on its way out must not be offered again; its deletion says what becomes
                // of it, as it does for the real service, which takes the two in order.
                if is_going(writer, &backup)? {
                    return Ok(());
                }
                backup.status = status;
                backup.touch(services.now_us());
                Ok(writer.put(&backup)?)
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

/// Whether a deletion is queued or running.
fn is_going(view: &impl View, backup: &Backup) -> catalogue::Result<bool> {
    let jobs = jobs::unfinished_of(view, &backup.id.to_string())?;
    Ok(jobs.iter().any(|job| job.kind == work::DELETE))
}

/// The status that a reset names.
fn status_of(args: &Value) -> Result<String, Fault> {
    let Value::Object(map) = args else {
        let reason = format!("{} is not of type 'object'", validate::repr(args));
        return Err(validate::invalid("os-reset_status", args, &reason));
    };
    validate::only("os-reset_status", map, &["status"])?;
    let Some(status) = map.get("status") else {
        let reason = "'status' is a required property";
        return Err(validate::invalid("os-reset_status", args, reason));
    };
    let word = status.as_str().map(str::to_lowercase);
    match word.filter(|word| STATUSES.contains(&word.as_str())) {
        Some(word) => Ok(word),
        None => {
            let quoted: Vec<String> = STATUSES.iter().map(|one| format!("'{one}'")).collect();
            Err(Fault::bad_request(format!(
                "Backup status: {} is invalid, valid statuses are: [{}].",
                validate::shown(status),
                quoted.join(", ")
            )))
        }
    }
}
