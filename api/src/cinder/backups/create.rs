//! Asking for a new backup.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};
use store::VolumeId;
use uuid::Uuid;

use super::records::Backup;
use super::{Viewer, invalid_backup, work};
use crate::auth::Caller;
use crate::backup;
use crate::body::JsonBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::quotas;
use crate::cinder::records::{BY_VOLUME, Object, Snapshot, Volume};
use crate::cinder::{encryption, snapshots, validate, volumes};
use crate::fault::Fault;
use crate::jobs::{self, Job};
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// Where backups go that name no container.
const CONTAINER: &str = "backups";

/// What is asked for in a new backup.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    description: Option<String>,
    container: Option<String>,
    incremental: bool,
    force: bool,
    snapshot_id: Option<Uuid>,
    metadata: BTreeMap<String, String>,
    availability_zone: Option<String>,
}

impl Wanted {
    fn parse(body: &Value, version: Microversion) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "backup")?;
        let mut keys = vec![
            "volume_id",
            "container",
            "description",
            "incremental",
            "force",
            "name",
            "snapshot_id",
        ];
        keys.extend(version.has(43).then_some("metadata"));
        keys.extend(version.has(51).then_some("availability_zone"));
        validate::only("backup", map, &keys)?;
        let Some(volume) = map.get("volume_id") else {
            let reason = "'volume_id' is a required property";
            return Err(validate::invalid("backup", &body["backup"], reason));
        };
        let volume_id = match volume.as_str().filter(|text| Uuid::parse_str(text).is_ok()) {
            Some(text) => text.to_owned(),
            None => {
                let reason = format!("{} is not a 'uuid'", validate::repr(volume));
                return Err(validate::invalid("volume_id", volume, &reason));
            }
        };
        Ok(Self {
            volume_id,
            name: validate::short_text(map, "name")?,
            description: validate::short_text(map, "description")?,
            container: validate::short_text(map, "container")?,
            incremental: validate::flag(map, "incremental")?.unwrap_or(false),
            force: validate::flag(map, "force")?.unwrap_or(false),
            snapshot_id: validate::id(map, "snapshot_id")?,
            metadata: validate::metadata(map, "metadata")?.unwrap_or_default(),
            availability_zone: validate::short_text(map, "availability_zone")?,
        })
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let wanted = Wanted::parse(&body, version)?;
    let project = caller.require_project()?.to_owned();
    services
        .blocking(move |services| {
            let backup = services
                .catalogue()
                .write(|writer| add(services, writer, &caller, &project, &wanted))?;
            let id = backup.id.to_string();
            services.event("backup.creating", Some(&project), &id, String::new());
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({"backup": viewer.summary(&backup)})),
            ))
        })
        .await
}

/// 503 of a daemon without a target.
pub(super) fn no_service() -> Fault {
    Fault::unavailable("Service cinder-backup could not be found.")
}

/// Adds the row, takes its quota, marks what is backed up and queues the work.
fn add(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    project: &str,
    wanted: &Wanted,
) -> Result<Backup, Fault> {
    let volume = volumes::find(writer, caller, &wanted.volume_id)?;
    caller.check(Rule::BackupCreate, &volume)?;
    let snapshot = match wanted.snapshot_id {
        Some(id) => Some(snapshots::find(writer, caller, &id.to_string())?),
        None => None,
    };
    check_source(&volume, snapshot.as_ref(), wanted)?;
    if services.config().backup.is_none() {
        return Err(no_service());
    }
    let container = wanted.container.clone().filter(|name| !name.is_empty());
    let container = container.unwrap_or_else(|| CONTAINER.to_owned());
    let now_us = services.now_us();
    let mut backup = Backup {
        id: Uuid::new_v4(),
        project_id: project.to_owned(),
        user_id: caller.user_id.clone(),
        volume_id: volume.id,
        snapshot_id: wanted.snapshot_id,
        parent_id: None,
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        repository: String::new(),
        encrypted: false,
        volume_type_id: None,
        container: Some(container),
        availability_zone: wanted.availability_zone.clone(),
        status: "creating".to_owned(),
        fail_reason: None,
        size_gib: volume.size_gib,
        object_count: 0,
        metadata: wanted.metadata.clone(),
        data_us: snapshot.as_ref().map_or(now_us, |s| s.created_us),
        stored: None,
        method: None,
        created_us: now_us,
        updated_us: None,
    };
    place(services, writer, &volume, &mut backup)?;
    quotas::reserve(writer, project, backup.counts())?;
    if wanted.incremental {
        backup.parent_id = Some(parent(writer, &backup, snapshot.as_ref())?.id);
    }
    writer.insert(&backup)?;
    let source = mark(services, writer, volume, snapshot)?;
    let job = Job::new(
        work::CREATE,
        &backup.id.to_string(),
        Some(project),
        Value::Null,
        now_us,
    );
    jobs::enqueue(writer, job.reading(source))?;
    Ok(backup)
}

/// Says where the backup goes: those of encrypted volumes are encrypted, and share chunks only among
/// themselves.
fn place(
    services: &Services,
    view: &impl View,
    volume: &Volume,
    backup: &mut Backup,
) -> Result<(), Fault> {
    let container = backup.container.as_deref().unwrap_or(CONTAINER);
    let project = &backup.project_id;
    backup.repository = match encryption::of_type(view, volume.volume_type_id)? {
        None => backup::repository_path(container, project),
        Some(_) => {
            backup.encrypted = true;
            backup.volume_type_id = Some(volume.volume_type_id);
            let store = services.store_of(volume.backend())?;
            let domain = store.volume_info(VolumeId(volume.id))?.domain;
            backup::sealed_repository_path(container, project, domain)
        }
    };
    Ok(())
}

fn check_source(
    volume: &Volume,
    snapshot: Option<&Snapshot>,
    wanted: &Wanted,
) -> Result<(), Fault> {
    let refused = |reason: String| Err(Fault::bad_request(reason));
    match (snapshot, volume.status.as_str()) {
        (Some(snapshot), _) if snapshot.volume_id != volume.id => refused(format!(
            "Invalid volume: Volume {} does not match with snapshot.volume_id {}.",
            volume.id, snapshot.volume_id
        )),
        (Some(snapshot), _) if snapshot.status != "available" => refused(format!(
            "Invalid snapshot: Snapshot to be backed up must be available, but the current status \
             is \"{}\".",
            snapshot.status
        )),
        (Some(_), _) | (None, "available") => Ok(()),
        (None, "in-use") if wanted.force => Ok(()),
        (None, "in-use") => refused(
            "Invalid volume: Backing up an in-use volume must use the force flag.".to_owned(),
        ),
        (None, status) => refused(format!(
            "Invalid volume: Volume to be backed up must be available or in-use, but the current \
             status is \"{status}\"."
        )),
    }
}

/// The backup that an increment is the difference from: of the same volume and project, usable, with
/// the newest data, and older data than the snapshot's if it is one that is backed up.
fn parent(view: &impl View, backup: &Backup, snapshot: Option<&Snapshot>) -> Result<Backup, Fault> {
    let of_volume = Query::by(BY_VOLUME, Key::new().uuid(backup.volume_id));
    let usable = |other: &Backup| {
        other.project_id == backup.project_id
            && other.status == "available"
            && other.stored.is_some()
            && snapshot.is_none_or(|snapshot| other.data_us < snapshot.created_us)
    };
    let all: Vec<Backup> = view.list(&of_volume)?;
    all.into_iter()
        .filter(usable)
        .max_by_key(|other| (other.data_us, other.created_us))
        .ok_or_else(|| invalid_backup("No backups available to do an incremental backup."))
}

/// Marks the volume or snapshot as being backed up; what it was before comes back at the end.
fn mark(
    services: &Services,
    writer: &Writer,
    mut volume: Volume,
    snapshot: Option<Snapshot>,
) -> Result<Uuid, Fault> {
    let now_us = services.now_us();
    if let Some(mut snapshot) = snapshot {
        snapshot.status = "backing-up".to_owned();
        snapshot.touch(now_us);
        writer.put(&snapshot)?;
        return Ok(snapshot.id);
    }
    let before = std::mem::replace(&mut volume.status, "backing-up".to_owned());
    volume.previous_status = Some(before);
    volume.touch(now_us);
    writer.put(&volume)?;
    Ok(volume.id)
}
