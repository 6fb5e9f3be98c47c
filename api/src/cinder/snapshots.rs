//! `/snapshots`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::filter::{Form, Listed, Listing};
use super::quotas::{self, Change};
use super::records::Snapshot;
use super::{backends, services, snapshot_actions, validate, volumes, work};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{View, Writer};
use crate::cinder::operations::snapshots as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::jobs::{self, Job};
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};
use crate::types::cinder as wire;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, create)
        .on(ops::DETAIL, detail)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, remove)
        .on_all(&ops::ACTIONS, snapshot_actions::action)
}

impl Listed for Snapshot {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "name",
        "display_name",
        "status",
        "volume_size",
        "created_at",
        "updated_at",
        "volume_id",
        "user_id",
        "project_id",
    ];
    const FILTERS: &'static [&'static str] = &[
        "name",
        "status",
        "volume_id",
        "metadata",
        "availability_zone",
        "consumes_quota",
    ];

    const INDEXED: &'static [&'static str] = &["host", "volume_type_id"];
    const FILTERS_SINCE: &'static [(&'static str, u16)] = &[("metadata", 22)];
    const SORT_SINCE: &'static [(&'static str, u16)] = &[("name", 30)];

    fn column(&self, key: &str) -> Option<Option<String>> {
        Some(match key {
            "id" => Some(self.id.to_string()),
            "name" | "display_name" => self.name.clone(),
            "description" => self.description.clone(),
            "status" => Some(self.status.clone()),
            "volume_id" => Some(self.volume_id.to_string()),
            "volume_size" | "size" => Some(self.size_gib.to_string()),
            "created_at" => Some(volume_time(self.created_us)),
            "updated_at" => self.updated_us.map(volume_time),
            "user_id" => Some(self.user_id.clone()),
            "project_id" => Some(self.project_id.clone()),
            "volume_type_id" => Some(self.volume_type_id.to_string()),
            "consumes_quota" => Some("true".to_owned()),
            "host" => self.backend.clone(),
            "availability_zone" => None,
            _ => return None,
        })
    }

    fn pairs(&self) -> Option<&BTreeMap<String, String>> {
        Some(&self.metadata)
    }

    fn id_text(&self) -> String {
        self.id.to_string()
    }

    fn project(&self) -> &str {
        &self.project_id
    }

    fn created_us(&self) -> u64 {
        self.created_us
    }
}

/// 404 of a snapshot.
pub(super) fn no_snapshot(id: &str) -> Fault {
    Fault::not_found(format!("Snapshot {id} could not be found."))
}

/// The snapshot if the caller may see it, or 404.
pub(super) fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Snapshot, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_snapshot(id))?;
    let found = view.get::<Snapshot>(&parsed)?;
    found
        .filter(|snapshot| caller.sees(&snapshot.project_id))
        .ok_or_else(|| no_snapshot(id))
}

/// The form of short lists: the base fields alone.
fn summary(snapshot: &Snapshot) -> wire::Snapshot {
    wire::Snapshot {
        id: snapshot.id.to_string(),
        created_at: volume_time(snapshot.created_us),
        updated_at: snapshot.updated_us.map(volume_time),
        name: snapshot.name.clone(),
        description: snapshot.description.clone(),
        volume_id: snapshot.volume_id.to_string(),
        status: snapshot.status.clone(),
        size: snapshot.size_gib,
        metadata: snapshot.metadata.clone(),
        ..wire::Snapshot::default()
    }
}

/// The form of creations and updates.
pub(super) fn brief(snapshot: &Snapshot, version: Microversion) -> wire::Snapshot {
    wire::Snapshot {
        group_snapshot_id: version
            .has(14)
            .then(|| snapshot.group_snapshot_id.map(|id| id.to_string())),
        user_id: version.has(41).then(|| Some(snapshot.user_id.clone())),
        consumes_quota: version.has(65).then_some(true),
        ..summary(snapshot)
    }
}

/// The form of show and detail lists.
fn full(caller: &Caller, snapshot: &Snapshot, version: Microversion) -> wire::Snapshot {
    let extended = caller.can_own(Rule::ExtendedSnapshotAttributes);
    wire::Snapshot {
        project_id: extended.then(|| snapshot.project_id.clone()),
        progress: extended.then(|| snapshot.progress.clone()),
        ..brief(snapshot, version)
    }
}

async fn index(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, url, caller, version, params, Form::Summary).await
}

async fn detail(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, url, caller, version, params, Form::Detail).await
}

async fn list(
    services: Services,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
    form: Form,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeGetAllSnapshots)?;
    let listing = Listing::parse::<Snapshot>(&params, &caller, version, services.config())?
        .on_backends(&services);
    services
        .blocking(move |services| {
            let found = services
                .catalogue()
                .read(|reader| listing.run::<Snapshot>(reader, &caller, no_snapshot))?;
            let href = format!("{}/snapshots{}", url.base(services), form.suffix());
            let shape = |snapshot: Snapshot| {
                Ok::<_, Fault>(match form {
                    Form::Summary => json!(summary(&snapshot)),
                    Form::Detail => json!(full(&caller, &snapshot, version)),
                })
            };
            let body = listing.body(&params, "snapshots", &href, found, shape)?;
            Ok(Json(body))
        })
        .await
}

/// What is asked for in a new snapshot.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    description: Option<String>,
    metadata: BTreeMap<String, String>,
    force: bool,
}

impl Wanted {
    fn parse(body: &Value, version: Microversion) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "snapshot")?;
        let Some(volume) = map.get("volume_id") else {
            let whole = Value::Object(map.clone());
            return Err(validate::invalid(
                "snapshot",
                &whole,
                "'volume_id' is a required property",
            ));
        };
        let volume_id = match volume.as_str() {
            Some(text) if Uuid::parse_str(text).is_ok() => text.to_owned(),
            // The schema lets it pass; no volume is called that.
            None if volume.is_null() => validate::repr(volume),
            Some(_) | None => {
                let reason = format!(
                    "{} is not valid under any of the given schemas",
                    validate::repr(volume)
                );
                return Err(validate::invalid("volume_id", volume, &reason));
            }
        };
        let force = validate::flag(map, "force")?;
        if version.has(66) && force == Some(false) {
            return Err(Fault::bad_request(
                "Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored.",
            ));
        }
        Ok(Self {
            volume_id,
            name: validate::short_text(map, "name")?,
            description: validate::short_text(map, "description")?,
            metadata: validate::metadata(map, "metadata")?.unwrap_or_default(),
            force: force.unwrap_or(false) || version.has(66),
        })
    }
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let wanted = Wanted::parse(&body, version)?;
    services
        .blocking(move |services| {
            let snapshot = services
                .catalogue()
                .write(|writer| add(services, writer, &caller, &wanted))?;
            let (id, project) = (snapshot.id.to_string(), Some(snapshot.project_id.as_str()));
            services.event("snapshot.creating", project, &id, String::new());
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({"snapshot": brief(&snapshot, version)})),
            ))
        })
        .await
}

fn add(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    wanted: &Wanted,
) -> Result<Snapshot, Fault> {
    let volume = volumes::find(writer, caller, &wanted.volume_id)?;
    caller.check(Rule::VolumeCreateSnapshot, &volume)?;
    let host = backends::service_host_of(services, volume.backend.as_deref());
    services::check_not_frozen(writer, &host)?;
    let usable = volume.status == "available" || (wanted.force && volume.status == "in-use");
    if !usable || volume.is_migrating() {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be available, but current status is: {}.",
            volume.id, volume.status
        )));
    }
    quotas::reserve_of_type(
        writer,
        &volume.project_id,
        volume.volume_type_id,
        Change {
            snapshots: 1,
            ..Change::of_gib(volume.size_gib)
        },
    )?;
    let snapshot = Snapshot {
        name: wanted.name.clone(),
        description: wanted.description.clone(),
        metadata: wanted.metadata.clone(),
        ..Snapshot::of(&volume, &caller.user_id, services.now_us())
    };
    writer.insert(&snapshot)?;
    enqueue(services, writer, work::CREATE_SNAPSHOT, &snapshot)?;
    Ok(snapshot)
}

/// Queues a job for a snapshot, whose volume must stay until it is done.
fn enqueue(
    services: &Services,
    writer: &Writer,
    kind: &str,
    snapshot: &Snapshot,
) -> Result<(), Fault> {
    let (id, project) = (snapshot.id.to_string(), Some(snapshot.project_id.as_str()));
    let job = Job::new(kind, &id, project, Value::Null, services.now_us());
    Ok(jobs::enqueue(writer, job.reading(snapshot.volume_id))?)
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let snapshot = services
                .catalogue()
                .read(|reader| find(reader, &caller, &id))?;
            caller.check(Rule::VolumeGetSnapshot, &snapshot)?;
            Ok(Json(json!({"snapshot": full(&caller, &snapshot, version)})))
        })
        .await
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "snapshot")?.clone();
    services
        .blocking(move |services| {
            let snapshot = services.catalogue().write(|writer| {
                let mut snapshot = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeUpdateSnapshot, &snapshot)?;
                validate::only(
                    "snapshot",
                    &map,
                    &["name", "description", "display_name", "display_description"],
                )?;
                for key in ["display_name", "name"]
                    .iter()
                    .filter(|key| map.contains_key(**key))
                {
                    snapshot.name = validate::text(&map, key)?;
                }
                let keys = ["display_description", "description"];
                for key in keys.iter().filter(|key| map.contains_key(**key)) {
                    snapshot.description = validate::text(&map, key)?;
                }
                snapshot.updated_us = Some(services.now_us());
                writer.put(&snapshot)?;
                Ok::<_, Fault>(snapshot)
            })?;
            Ok(Json(json!({"snapshot": brief(&snapshot, version)})))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let snapshot = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeDeleteSnapshot, &snapshot)?;
                if !["available", "error"].contains(&snapshot.status.as_str())
                    || snapshot.group_snapshot_id.is_some()
                {
                    return Err(Fault::bad_request(NOT_DELETABLE));
                }
                let backend = snapshot.backend.as_deref();
                let host = backends::service_host_of(services, backend);
                services::check_not_frozen(writer, &host)?;
                queue_deletion(services, writer, snapshot)
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

pub(super) const NOT_DELETABLE: &str =
    "Invalid snapshot: Snapshot status must be available or error and must not be part of a group.";

/// Gives a snapshot the status deleting and queues the work; whether it may go is the caller's to
/// say.
pub(super) fn queue_deletion(
    services: &Services,
    writer: &Writer,
    mut snapshot: Snapshot,
) -> Result<(), Fault> {
    snapshot.status = "deleting".to_owned();
    snapshot.updated_us = Some(services.now_us());
    writer.put(&snapshot)?;
    enqueue(services, writer, work::DELETE_SNAPSHOT, &snapshot)
}
