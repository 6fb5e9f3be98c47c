//! Records of backups: enough for another daemon that reaches the target to restore them.
//!
//! A record may be imported under another id than the backup has on the target, so that several rows
//! may stand for one backup; it is removed with the last of them.

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::records::Backup;
use super::{Viewer, create, find, has_dependents, invalid_backup, work};
use crate::auth::Caller;
use crate::backup::{self, Ancestor, Description};
use crate::body::JsonBody;
use crate::catalogue::{self, View, Writer};
use crate::cinder::quotas;
use crate::cinder::records::Object;
use crate::cinder::validate;
use crate::cinder::work::{Outcome, row, settle};
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::jobs::{self, Handler, Job, JobError};
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};
use crate::types::cinder as wire;

/// What records call the format. Clients expect the real service's prefix.
const SERVICE: &str = "cinder.backup.drivers.cinderblock";
/// Largest size that a record may claim, in GiB: 64 TiB is the largest volume.
const SIZE_MAX: u64 = 64 << 10;

pub(super) async fn export(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let (backup, dependents) = services.catalogue().read(|reader| {
                let backup = find(reader, &caller, &id)?;
                let dependents = has_dependents(reader, backup.id)?;
                Ok::<_, Fault>((backup, dependents))
            })?;
            caller.check(Rule::BackupExportImport, &backup)?;
            let Some(stored) = backup
                .stored
                .as_ref()
                .filter(|_| backup.status == "available")
            else {
                return Err(invalid_backup(&format!(
                    "Backup status must be available and not {}.",
                    backup.status
                )));
            };
            let text = record(&backup, stored, dependents).to_string();
            let answer = wire::BackupRecord {
                backup_service: SERVICE.to_owned(),
                backup_url: STANDARD.encode(text),
            };
            Ok(Json(json!({ "backup-record": answer })))
        })
        .await
}

/// The record: the keys of the real service, with what finds the backup under `driver_info`.
fn record(backup: &Backup, stored: &Ancestor, has_dependents: bool) -> Value {
    json!({
        "driver_info": stored,
        "id": backup.id,
        "user_id": backup.user_id,
        "project_id": backup.project_id,
        "volume_id": backup.volume_id,
        "availability_zone": backup.availability_zone,
        "container": backup.container,
        "parent_id": backup.parent_id,
        "status": backup.status,
        "fail_reason": backup.fail_reason,
        "size": backup.size_gib,
        "display_name": backup.name,
        "display_description": backup.description,
        "service_metadata": backup.repository,
        "service": SERVICE,
        "object_count": backup.object_count,
        "num_dependent_backups": u64::from(has_dependents),
        "snapshot_id": backup.snapshot_id,
        "data_timestamp": volume_time(backup.data_us),
        "data_timestamp_us": backup.data_us,
        "metadata": backup.metadata,
        "created_at": volume_time(backup.created_us),
        "updated_at": backup.updated_us.map(volume_time),
    })
}

/// A record as it came in.
struct Wanted {
    service: String,
    record: Value,
    id: Uuid,
    size_gib: u64,
}

impl Wanted {
    fn parse(body: &Value) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "backup-record")?;
        validate::only("backup-record", map, &["backup_service", "backup_url"])?;
        for key in ["backup_service", "backup_url"] {
            if !map.get(key).is_some_and(Value::is_string) {
                let whole = &body["backup-record"];
                return Err(match map.get(key) {
                    None => {
                        let reason = format!("'{key}' is a required property");
                        validate::invalid("backup-record", whole, &reason)
                    }
                    Some(other) => {
                        let reason = format!("{} is not of type 'string'", validate::repr(other));
                        validate::invalid(key, other, &reason)
                    }
                });
            }
        }
        let service = validate::short_text(map, "backup_service")?.unwrap_or_default();
        let url = &map["backup_url"];
        let bytes = STANDARD.decode(url.as_str().unwrap_or_default()).ok();
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) else {
            let reason = format!("{} is not a 'base64'", validate::repr(url));
            return Err(validate::invalid("backup_url", url, &reason));
        };
        let invalid =
            |reason: &str| Fault::bad_request(format!("Invalid input received: {reason}"));
        let record: Value =
            serde_json::from_slice(&bytes).map_err(|_| invalid("Can't parse backup record."))?;
        let id = record
            .get("id")
            .ok_or_else(|| invalid("Provided backup record is missing an id"))?;
        let size = record
            .get("size")
            .ok_or_else(|| invalid("Provided backup record is missing size attribute"))?;
        let id = id.as_str().and_then(|text| text.parse().ok());
        let size = size.as_u64().filter(|size| *size <= SIZE_MAX);
        let (Some(id), Some(size_gib)) = (id, size) else {
            return Err(invalid("Can't parse backup record."));
        };
        Ok(Self {
            service,
            record,
            id,
            size_gib,
        })
    }
}

pub(super) async fn import(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let wanted = Wanted::parse(&body)?;
    caller.check_own(Rule::BackupImport)?;
    let project = caller.require_project()?.to_owned();
    services
        .blocking(move |services| {
            if services.config().backup.is_none() {
                return Err(create::no_service());
            }
            let backup = services
                .catalogue()
                .write(|writer| add(services, writer, &caller, &project, &wanted))?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok((
                StatusCode::CREATED,
                Json(json!({"backup": viewer.summary(&backup)})),
            ))
        })
        .await
}

/// Adds a row that the job fills in, takes its quota and queues the work.
fn add(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    project: &str,
    wanted: &Wanted,
) -> Result<Backup, Fault> {
    if writer.get::<Backup>(&wanted.id)?.is_some() {
        return Err(invalid_backup("Backup already exists in database."));
    }
    let now_us = services.now_us();
    let backup = Backup {
        id: wanted.id,
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        volume_id: Uuid::nil(),
        snapshot_id: None,
        parent_id: None,
        name: None,
        description: None,
        container: None,
        availability_zone: None,
        status: "creating".to_owned(),
        fail_reason: None,
        size_gib: wanted.size_gib,
        object_count: 0,
        metadata: std::collections::BTreeMap::new(),
        data_us: now_us,
        stored: None,
        method: None,
        encrypted: false,
        volume_type_id: None,
        repository: String::new(),
        created_us: now_us,
        updated_us: None,
    };
    quotas::reserve(writer, project, backup.counts())?;
    writer.insert(&backup)?;
    let args = json!({"service": wanted.service, "record": wanted.record});
    let job = Job::new(
        work::IMPORT,
        &backup.id.to_string(),
        Some(project),
        args,
        now_us,
    );
    jobs::enqueue(writer, job)?;
    Ok(backup)
}

pub(super) struct ImportBackup;

impl Handler for ImportBackup {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let backup: Backup = row(services, job)?;
        let service = job.args["service"].as_str().unwrap_or_default();
        if service != SERVICE {
            return Err(JobError(format!(
                "Import record failed, cannot find backup service to perform the import. Request \
                 service {service}."
            )));
        }
        let record = &job.args["record"];
        let stored: Ancestor = serde_json::from_value(record["driver_info"].clone())
            .map_err(|_| JobError("the record does not say where the backup is".to_owned()))?;
        let held = backup::check(work::target(services)?, &stored, None)?;
        let gib = held.size_bytes.div_ceil(1 << 30);
        if gib != backup.size_gib {
            return Err(JobError(format!(
                "the record says {} GiB, and the backup has {gib}",
                backup.size_gib
            )));
        }
        let zone = services.config().availability_zone.clone();
        services.catalogue().write(|writer| {
            let Some(mut row) = writer.get::<Backup>(&backup.id)? else {
                return Ok(());
            };
            fill(&mut row, record, held, stored);
            row.availability_zone = Some(zone);
            writer.put(&row)
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
        settle::<Backup>(writer, job, now_us, |backup| {
            work::made(backup, result);
        })
    }
}

/// Takes over what the record says for people, and what the manifest says for everything else.
fn fill(backup: &mut Backup, record: &Value, held: Description, stored: Ancestor) {
    let text = |key: &str| {
        let text = record.get(key)?.as_str()?;
        Some(text.chars().take(255).collect::<String>())
    };
    backup.name = text("display_name");
    backup.description = text("display_description");
    backup.container = text("container");
    backup.snapshot_id = text("snapshot_id").and_then(|id| id.parse().ok());
    backup.object_count = record["object_count"].as_u64().unwrap_or_default();
    let metadata = serde_json::from_value(record["metadata"].clone());
    backup.metadata = metadata.unwrap_or_default();
    let data_us = record["data_timestamp_us"].as_u64();
    backup.data_us = data_us.unwrap_or(held.created_us);
    backup.created_us = held.created_us;
    backup.volume_id = held.volume.id;
    backup.parent_id = held.parent.map(|parent| parent.id);
    backup.method = Some(held.method);
    backup.encrypted = held.sealed.is_some();
    backup.repository.clone_from(&stored.repository);
    backup.stored = Some(stored);
}
