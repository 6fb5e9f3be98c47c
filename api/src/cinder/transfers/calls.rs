//! The calls, the same below both paths but for what they accept and how they list.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::accept::{accept, key_of};
use super::list::{Paging, SORT_KEYS, list};
use super::rows::{KeyLock, Transfer, find};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::filter::Form;
use crate::cinder::operations::transfers as ops;
use crate::cinder::records::{BY_VOLUME, Object, Snapshot, Volume};
use crate::cinder::{encryption, validate, volumes};
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// The microversion that transfers without snapshots came with.
const NO_SNAPSHOTS_SINCE: u16 = 55;
/// The microversion that the projects in answers came with.
const HISTORY_SINCE: u16 = 57;
/// The microversion that transfers of encrypted volumes came with.
const ENCRYPTED_SINCE: u16 = 70;
/// The microversion that pages came with.
const PAGES_SINCE: u16 = 59;
/// Longest name.
const NAME_MAX: usize = 255;

/// Which of the two interfaces was called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Api {
    Old,
    New,
}

/// The routes.
pub(in crate::cinder) fn routes() -> Routes {
    routes_of(&ops::OLD, Api::Old).merge(routes_of(&ops::NEW, Api::New))
}

fn routes_of(operations: &ops::Transfers, api: Api) -> Routes {
    let index = async move |services, url, caller, version, params| {
        lists(api, Form::Summary, services, url, caller, version, params).await
    };
    let detail = async move |services, url, caller, version, params| {
        lists(api, Form::Detail, services, url, caller, version, params).await
    };
    let create = async move |services, url, caller, version, body| {
        create(api, services, url, caller, version, body).await
    };
    Routes::new()
        .on(operations.list, index)
        .on(operations.create, create)
        .on(operations.detail, detail)
        .on(operations.show, show)
        .on(operations.delete, remove)
        .on(operations.accept, take)
}

/// How a transfer is shown to a caller.
struct Viewer<'a> {
    services: &'a Services,
    url: &'a UrlProject,
    version: Microversion,
}

impl Viewer<'_> {
    fn summary(&self, transfer: &Transfer) -> Value {
        let (base, bookmark) = (
            self.url.base(self.services),
            self.url.bookmark_base(self.services),
        );
        let id = transfer.id;
        json!({
            "id": id,
            "volume_id": transfer.volume_id,
            "name": transfer.name,
            // The older path, whichever was called.
            "links": [
                {"rel": "self", "href": format!("{base}/os-volume-transfer/{id}")},
                {"rel": "bookmark", "href": format!("{bookmark}/os-volume-transfer/{id}")},
            ],
        })
    }

    fn detail(&self, transfer: &Transfer) -> Value {
        let mut shown = self.summary(transfer);
        shown["created_at"] = json!(volume_time(transfer.created_us));
        if self.version.has(NO_SNAPSHOTS_SINCE) {
            shown["no_snapshots"] = json!(transfer.no_snapshots);
        }
        if self.version.has(HISTORY_SINCE) {
            shown["source_project_id"] = json!(transfer.project_id);
            shown["destination_project_id"] = Value::Null;
            shown["accepted"] = json!(false);
        }
        shown
    }
}

async fn lists(
    api: Api,
    form: Form,
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeGetAllTransfers)?;
    let paging = match api == Api::New && version.has(PAGES_SINCE) {
        true => Paging::Asked,
        false => Paging::None,
    };
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            let (page, found) = catalogue.read(|reader| list(reader, &caller, &params, paging))?;
            let unknown = |id: &str| Fault::not_found(format!("Transfer {id} could not be found."));
            let shown = page.cut_ordered(
                &SORT_KEYS,
                found,
                |transfer| transfer.id.to_string(),
                unknown,
            )?;
            let viewer = Viewer {
                services,
                url: &url,
                version,
            };
            let view = |transfer: &Transfer| match form {
                Form::Summary => viewer.summary(transfer),
                Form::Detail => viewer.detail(transfer),
            };
            let items: Vec<Value> = shown.iter().map(view).collect();
            let mut body = json!({ "transfers": items });
            let href = format!("{}/os-volume-transfer", url.base(services));
            let last = shown.last().map(|last| last.id.to_string());
            if let Some(links) = page.links(&params, &href, shown.len(), last.as_deref()) {
                body["transfers_links"] = links;
            }
            Ok(Json(body))
        })
        .await
}

/// What is asked for in a new transfer.
struct Wanted {
    volume_id: String,
    name: Option<String>,
    no_snapshots: bool,
    /// Whether an encrypted volume may be offered so.
    may_be_encrypted: bool,
}

impl Wanted {
    fn parse(body: &Value, api: Api, version: Microversion) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "transfer")?;
        let Some(volume) = map.get("volume_id") else {
            let whole = Value::Object(map.clone());
            let reason = "'volume_id' is a required property";
            return Err(validate::invalid("transfer", &whole, reason));
        };
        let mut known = vec!["volume_id", "name"];
        if api == Api::New && version.has(NO_SNAPSHOTS_SINCE) {
            known.push("no_snapshots");
        }
        validate::only("transfer", map, &known)?;
        let volume_id = match volume.as_str().filter(|text| Uuid::parse_str(text).is_ok()) {
            Some(text) => text.to_owned(),
            None => {
                let reason = format!("{} is not a 'uuid'", validate::repr(volume));
                return Err(validate::invalid("volume_id", volume, &reason));
            }
        };
        Ok(Self {
            volume_id,
            name: name_of(map)?,
            no_snapshots: validate::flag(map, "no_snapshots")?.unwrap_or(false),
            may_be_encrypted: api == Api::New && version.has(ENCRYPTED_SINCE),
        })
    }
}

/// A name of 1 to 255 characters besides blanks at the ends, or null.
fn name_of(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    let value = match map.get("name") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let trimmed = value.as_str().map(str::trim);
    match trimmed.filter(|name| !name.is_empty() && name.chars().count() <= NAME_MAX) {
        Some(name) => Ok(Some(name.to_owned())),
        None => {
            let shown = validate::repr(value);
            let reason = format!("{shown} is not valid under any of the given schemas");
            Err(validate::invalid("name", value, &reason))
        }
    }
}

async fn create(
    api: Api,
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let wanted = Wanted::parse(&body, api, version)?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            let (transfer, key) = services
                .catalogue()
                .write(|writer| offer(writer, &caller, wanted, now_us))?;
            let volume = transfer.volume_id.to_string();
            let project = Some(transfer.project_id.as_str());
            services.event("volume.transfer.created", project, &volume, String::new());
            let viewer = Viewer {
                services,
                url: &url,
                version,
            };
            let mut shown = viewer.detail(&transfer);
            shown["auth_key"] = json!(key);
            Ok((StatusCode::ACCEPTED, Json(json!({ "transfer": shown }))))
        })
        .await
}

/// Adds a transfer, whose volume then waits; with its key.
fn offer(
    writer: &Writer,
    caller: &Caller,
    wanted: Wanted,
    now_us: u64,
) -> Result<(Transfer, String), Fault> {
    let mut volume = volumes::find(writer, caller, &wanted.volume_id)?;
    caller.check(Rule::VolumeCreateTransfer, &volume)?;
    if volume.status != "available" {
        return Err(Fault::bad_request(
            "Invalid volume: status must be available",
        ));
    }
    check_encrypted(writer, &volume, &wanted)?;
    if !wanted.no_snapshots {
        check_snapshots(writer, &volume)?;
    }
    let (key, lock) = KeyLock::new()?;
    let transfer = Transfer {
        id: Uuid::new_v4(),
        project_id: volume.project_id.clone(),
        volume_id: volume.id,
        name: wanted.name,
        no_snapshots: wanted.no_snapshots,
        lock,
        created_us: now_us,
    };
    writer.insert(&transfer)?;
    "awaiting-transfer".clone_into(&mut volume.status);
    volume.touch(now_us);
    writer.put(&volume)?;
    Ok((transfer, key))
}

/// An encrypted volume goes with its snapshots, which have its key.
fn check_encrypted(view: &impl View, volume: &Volume, wanted: &Wanted) -> Result<(), Fault> {
    if encryption::of_type(view, volume.volume_type_id)?.is_none() {
        return Ok(());
    }
    let what = match (wanted.may_be_encrypted, wanted.no_snapshots) {
        (true, false) => return Ok(()),
        (true, true) => "an encrypted volume without its snapshots",
        (false, _) => "encrypted volume",
    };
    Err(Fault::bad_request(format!(
        "Invalid volume: transferring {what} is not supported"
    )))
}

/// Snapshots that go along must be at rest.
fn check_snapshots(view: &impl View, volume: &Volume) -> Result<(), Fault> {
    let snapshots: Vec<Snapshot> = view.list(&Query::by(BY_VOLUME, Key::new().uuid(volume.id)))?;
    match snapshots.iter().find(|one| one.status != "available") {
        None => Ok(()),
        Some(busy) => Err(Fault::bad_request(format!(
            "Invalid snapshot: snapshot: {} status must be available",
            busy.id
        ))),
    }
}

async fn show(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeGetTransfer)?;
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            let found = catalogue.read(|reader| find(reader, &caller, &id))?;
            let viewer = Viewer {
                services,
                url: &url,
                version,
            };
            Ok(Json(json!({"transfer": viewer.detail(&found)})))
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
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let found = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeDeleteTransfer, found.project_id.as_str())?;
                if let Some(mut volume) = writer.get::<Volume>(&found.volume_id)?
                    && volume.status == "awaiting-transfer"
                {
                    "available".clone_into(&mut volume.status);
                    volume.touch(now_us);
                    writer.put(&volume)?;
                }
                writer.delete::<Transfer>(&found.id)?;
                Ok::<_, Fault>(())
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

async fn take(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let key = key_of(&body)?;
    caller.check_own(Rule::VolumeAcceptTransfer)?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            let taken = services
                .catalogue()
                .write(|writer| accept(writer, &caller, &id, &key, now_us))?;
            let volume = taken.volume_id.to_string();
            let project = caller.project_id();
            services.event("volume.transfer.accepted", project, &volume, String::new());
            let viewer = Viewer {
                services,
                url: &url,
                version,
            };
            let shown = json!({"transfer": viewer.summary(&taken)});
            Ok((StatusCode::ACCEPTED, Json(shown)))
        })
        .await
}
