//! `/volumes`: creating, showing, changing and deleting.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::images::{self, Sought};
use super::records::Volume;
use super::volume_view::{Viewer, load, no_volume};
use super::{
    backups, groups, snapshots, validate, volume_actions, volume_delete, volume_list, volume_row,
    work,
};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{View, Writer};
use crate::cinder::operations::{self, volumes as ops};
use crate::external::glance::UserToken;
use crate::fault::Fault;
use crate::jobs::{self, Job};
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// Keys of a new volume since 3.53; before, others were let through.
const CREATE_KEYS: [&str; 16] = [
    "name",
    "description",
    "display_name",
    "display_description",
    "volume_type",
    "metadata",
    "snapshot_id",
    "source_volid",
    "consistencygroup_id",
    "size",
    "availability_zone",
    "multiattach",
    "image_id",
    "imageRef",
    "group_id",
    "backup_id",
];

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, volume_list::index)
        .on(ops::CREATE, create)
        .on(ops::DETAIL, volume_list::detail)
        .on(ops::SUMMARY, volume_list::totals)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, volume_delete::remove)
        .on_all(&operations::volume_actions::ALL, volume_actions::action)
}

/// The volume if the caller may see it, or 404.
pub(crate) fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Volume, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_volume(id))?;
    let found = view.get::<Volume>(&parsed)?;
    found
        .filter(|volume| caller.sees(&volume.project_id))
        .ok_or_else(|| no_volume(id))
}

/// What is asked for in a new volume, checked as far as the body alone allows.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) size_gib: Option<u64>,
    pub(super) volume_type: Option<String>,
    pub(super) metadata: std::collections::BTreeMap<String, String>,
    pub(super) snapshot_id: Option<Uuid>,
    pub(super) source_volid: Option<Uuid>,
    pub(super) group: Option<String>,
    pub(super) backup_id: Option<Uuid>,
    /// What the image is called: an id, the end of an address, or a name.
    pub(super) image: Option<String>,
}

impl Wanted {
    fn parse(body: &Value, version: Microversion, zone: &str) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "volume")?;
        validate::scheduler_hints(body)?;
        if version.has(53) {
            validate::only("volume", map, &CREATE_KEYS)?;
        }
        // A first key that is there counts, even with null.
        let either = |first: &str, second: &str| {
            let key = if map.contains_key(first) {
                first
            } else {
                second
            };
            validate::text(map, key)
        };
        let wanted = Self {
            name: either("name", "display_name")?,
            description: either("description", "display_description")?,
            size_gib: validate::size(map, "size")?,
            volume_type: map
                .get("volume_type")
                .and_then(Value::as_str)
                .map(str::to_owned),
            metadata: validate::metadata(map, "metadata")?.unwrap_or_default(),
            snapshot_id: validate::reference(map, "snapshot_id", snapshots::no_snapshot)?,
            source_volid: validate::reference(map, "source_volid", no_volume)?,
            group: groups::asked(map)?,
            backup_id: backup_of(map)?,
            image: either("image_id", "imageRef")?,
        };
        check_rest(map, zone)?;
        let sources = [wanted.snapshot_id, wanted.source_volid, wanted.backup_id];
        let count = sources.iter().flatten().count() + usize::from(wanted.image.is_some());
        if count > 1 {
            return Err(Fault::bad_request(
                "Invalid input received: May specify only one of backup, imageRef, snapshot, source volume",
            ));
        }
        Ok(wanted)
    }
}

/// The backup asked for. Older microversions read it too; only newer ones say what it has to be.
fn backup_of(map: &Map<String, Value>) -> Result<Option<Uuid>, Fault> {
    let told = map.get("backup_id").filter(|told| !told.is_null());
    let text = told.map(validate::shown).filter(|text| !text.is_empty());
    let id = text.map(|text| Uuid::parse_str(&text).map_err(|_| backups::no_backup(&text)));
    id.transpose()
}

/// What can be asked for and cannot be given.
fn check_rest(map: &Map<String, Value>, zone: &str) -> Result<(), Fault> {
    if validate::flag_or_null(map, "multiattach")? == Some(true) {
        return Err(Fault::bad_request(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes.",
        ));
    }
    match validate::text(map, "availability_zone")? {
        Some(other) if other != zone => Err(Fault::bad_request(format!(
            "Availability zone '{other}' is invalid."
        ))),
        _ => Ok(()),
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    url: UrlProject,
    (caller, token): (Caller, UserToken),
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let wanted = Wanted::parse(&body, version, &services.config().availability_zone)?;
    let project = caller.require_project()?.to_owned();
    caller.check(Rule::VolumeCreate, &project)?;
    let sought = match &wanted.image {
        Some(image) => Sought::named(&services, &token, image).await,
        None => Sought::InCatalogue,
    };
    services
        .blocking(move |services| {
            let loaded = services.catalogue().write(|writer| {
                let volume = add(services, writer, (&caller, &project), &wanted, sought)?;
                Ok::<_, Fault>(load(writer, volume)?)
            })?;
            let id = loaded.volume.id.to_string();
            services.event("volume.creating", Some(&project), &id, String::new());
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({"volume": viewer.brief(&loaded)})),
            ))
        })
        .await
}

/// Adds the row, takes its quota and queues the work.
pub(super) fn add(
    services: &Services,
    writer: &Writer,
    (caller, project): (&Caller, &str),
    wanted: &Wanted,
    sought: Sought,
) -> Result<Volume, Fault> {
    let named = wanted.image.as_deref();
    let image = named.map(|image| sought.find_named(writer, caller, image));
    let image = image.transpose()?;
    let volume = volume_row::add(services, writer, (caller, project), wanted, image.as_ref())?;
    let placed = volume.backend.is_some();
    let mut job = match (wanted.backup_id, &image) {
        (Some(backup), _) if placed => backups::create_volume_job(services, &volume, backup),
        (None, Some(image)) => images::create_job(services, writer, &volume, image)?,
        _ => {
            let args = json!({ work::PLACED: placed });
            job_of(services, work::CREATE_VOLUME, &volume, args)
        }
    };
    // A source that is deleted from now on waits for this volume.
    if let Some(source) = wanted.snapshot_id.or(wanted.source_volid) {
        job = job.reading(source);
    }
    jobs::enqueue(writer, job)?;
    Ok(volume)
}

/// Queues a job for a volume.
pub(super) fn enqueue(
    services: &Services,
    writer: &Writer,
    kind: &str,
    volume: &Volume,
    args: Value,
) -> Result<(), Fault> {
    Ok(jobs::enqueue(writer, job_of(services, kind, volume, args))?)
}

fn job_of(services: &Services, kind: &str, volume: &Volume, args: Value) -> Job {
    let (id, project) = (volume.id.to_string(), Some(volume.project_id.as_str()));
    Job::new(kind, &id, project, args, services.now_us())
}

pub(super) async fn show(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let loaded = services.catalogue().read(|reader| {
                let volume = find(reader, &caller, &id)?;
                caller.check(Rule::VolumeGet, &volume)?;
                Ok::<_, Fault>(load(reader, volume)?)
            })?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok(Json(json!({"volume": viewer.detail(&loaded)})))
        })
        .await
}

async fn update(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "volume")?.clone();
    if version.has(53) && map.is_empty() {
        let reason = "{} is not valid under any of the given schemas";
        return Err(validate::invalid("volume", &body["volume"], reason));
    }
    services
        .blocking(move |services| {
            let loaded = services.catalogue().write(|writer| {
                let volume = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeUpdate, &volume)?;
                let volume = changed(volume, &map, services.now_us())?;
                writer.put(&volume)?;
                Ok::<_, Fault>(load(writer, volume)?)
            })?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            Ok(Json(json!({"volume": viewer.brief(&loaded)})))
        })
        .await
}

fn changed(mut volume: Volume, map: &Map<String, Value>, now_us: u64) -> Result<Volume, Fault> {
    let allowed = [
        "name",
        "description",
        "display_name",
        "display_description",
        "metadata",
    ];
    validate::only("volume", map, &allowed)?;
    for key in ["display_name", "name"] {
        if map.contains_key(key) {
            volume.name = validate::text(map, key)?;
        }
    }
    for key in ["display_description", "description"] {
        if map.contains_key(key) {
            volume.description = validate::text(map, key)?;
        }
    }
    if let Some(metadata) = validate::metadata(map, "metadata")? {
        volume.metadata = metadata;
    }
    volume.updated_us = Some(now_us);
    Ok(volume)
}
