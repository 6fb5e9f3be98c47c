//! `/attachments`: who may use a volume, and the export that lets them.
//!
//! An attachment without a connector reserves the volume. The connector makes an export: a name of
//! 128 random bits that is told only here. The export closes with the attachment.

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::attaching::{announce, close, connect, connection_info, mode_of, refresh, reserve};
use super::filter::{Listed, Listing};
use super::records::{Attachment, Volume};
use super::volume_view::attachments_of;
use super::{qos, validate, volumes};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{View, Writer};
use crate::cinder::operations::attachments as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, create)
        .on(ops::DETAIL, detail)
        // The real service knows the path and no method for it.
        .untold(
            "/attachments/summary",
            get(async || Fault::version_not_found()),
        )
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, remove)
        .on_all(&ops::ACTIONS, action)
}

impl Listed for Attachment {
    const SORT_KEYS: &'static [&'static str] = &[
        "id",
        "volume_id",
        "created_at",
        "attach_status",
        "attach_mode",
        "instance_uuid",
    ];
    const FILTERS: &'static [&'static str] =
        &["volume_id", "status", "instance_id", "attach_status"];
    const COUNTED: bool = false;

    fn column(&self, key: &str) -> Option<Option<String>> {
        Some(match key {
            "id" => Some(self.id.to_string()),
            "volume_id" => Some(self.volume_id.to_string()),
            "status" | "attach_status" => Some(self.status.clone()),
            "attach_mode" => self.mode.clone(),
            "instance_id" | "instance_uuid" => self.instance_id.map(|id| id.to_string()),
            "created_at" => Some(volume_time(self.created_us)),
            "project_id" => Some(self.project_id.clone()),
            _ => return None,
        })
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

fn no_attachment(id: &str) -> Fault {
    Fault::not_found(format!(
        "Volume attachment could not be found with filter: attachment_id = {id}."
    ))
}

fn find(view: &impl View, caller: &Caller, id: &str) -> Result<Attachment, Fault> {
    let parsed = Uuid::parse_str(id).map_err(|_| no_attachment(id))?;
    let found = view.get::<Attachment>(&parsed)?;
    found
        .filter(|attachment| caller.sees(&attachment.project_id))
        .ok_or_else(|| no_attachment(id))
}

fn summary(attachment: &Attachment) -> Value {
    json!({
        "id": attachment.id,
        "status": attachment.status,
        "instance": attachment.instance_id,
        "volume_id": attachment.volume_id,
    })
}

fn full(services: &Services, attachment: &Attachment) -> Value {
    let mut view = summary(attachment);
    view["attached_at"] = json!(attachment.attached_us.map(volume_time).unwrap_or_default());
    view["detached_at"] = json!("");
    view["attach_mode"] = json!(attachment.mode.as_deref().unwrap_or("null"));
    view["connection_info"] = connection_info(services, attachment).unwrap_or_else(|| json!({}));
    view
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, caller, version, params, |_, attachment| {
        summary(attachment)
    })
    .await
}

async fn detail(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    list(services, caller, version, params, full).await
}

async fn list(
    services: Services,
    caller: Caller,
    version: Microversion,
    params: Params,
    shape: fn(&Services, &Attachment) -> Value,
) -> Result<Json<Value>, Fault> {
    version.require(27)?;
    let listing = Listing::parse::<Attachment>(&params, &caller, version, services.config())?;
    services
        .blocking(move |services| {
            let found = services
                .catalogue()
                .read(|reader| listing.run::<Attachment>(reader, &caller, no_attachment))?;
            let items: Vec<Value> = found.items.iter().map(|one| shape(services, one)).collect();
            Ok(Json(json!({"attachments": items})))
        })
        .await
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(27)?;
    services
        .blocking(move |services| {
            let attachment = services
                .catalogue()
                .read(|reader| find(reader, &caller, &id))?;
            Ok(Json(json!({"attachment": full(services, &attachment)})))
        })
        .await
}

/// What is asked for in a new attachment.
struct Wanted {
    volume_id: String,
    instance_id: Option<Uuid>,
    connector: Option<Map<String, Value>>,
    mode: Option<String>,
}

impl Wanted {
    fn parse(body: &Value, version: Microversion) -> Result<Self, Fault> {
        let map = validate::wrapped(body, "attachment")?;
        let mut allowed = vec!["instance_uuid", "volume_uuid", "connector"];
        if version.has(54) {
            allowed.push("mode");
        }
        validate::only("attachment", map, &allowed)?;
        let Some(volume) = map.get("volume_uuid") else {
            let whole = Value::Object(map.clone());
            let reason = "'volume_uuid' is a required property";
            return Err(validate::invalid("attachment", &whole, reason));
        };
        Ok(Self {
            volume_id: uuid_text(volume, "volume_uuid")?,
            instance_id: match map.get("instance_uuid") {
                None | Some(Value::Null) => None,
                Some(value) => Uuid::parse_str(&uuid_text(value, "instance_uuid")?).ok(),
            },
            connector: connector_of(map)?,
            mode: mode_of(map)?,
        })
    }
}

fn uuid_text(value: &Value, key: &str) -> Result<String, Fault> {
    let text = value.as_str().filter(|text| Uuid::parse_str(text).is_ok());
    text.map(str::to_owned).ok_or_else(|| {
        validate::invalid(
            key,
            value,
            &format!("{} is not a 'uuid'", validate::repr(value)),
        )
    })
}

/// The connector, unless it is absent or empty.
fn connector_of(map: &Map<String, Value>) -> Result<Option<Map<String, Value>>, Fault> {
    match map.get("connector") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(connector)) if connector.is_empty() => Ok(None),
        Some(Value::Object(connector)) => Ok(Some(connector.clone())),
        Some(other) => {
            let reason = format!("{} is not of type 'object', 'null'", validate::repr(other));
            Err(validate::invalid("connector", other, &reason))
        }
    }
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(27)?;
    let wanted = Wanted::parse(&body, version)?;
    services
        .blocking(move |services| {
            let (before, attachment) = services
                .catalogue()
                .write(|writer| add(services, writer, &caller, wanted))?;
            announce(services, "attachment.created", &attachment);
            Ok(Json(
                json!({"attachment": connected(services, &attachment, &before)}),
            ))
        })
        .await
}

/// Adds the attachment; returned as it was before it got its connector, and as it is.
fn add(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    wanted: Wanted,
) -> Result<(Attachment, Attachment), Fault> {
    let volume = volumes::find(writer, caller, &wanted.volume_id)?;
    caller.check(Rule::VolumeAttachmentCreate, &volume)?;
    if volume.status.contains("error") {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume attachments can not be created if the volume is in an error state. The Volume {} currently has a status of: {} ",
            volume.id, volume.status
        )));
    }
    if volume.multiattach && volume.status == "in-use" && volume.bootable {
        caller.check(Rule::VolumeMultiattachBootableVolume, &volume)?;
    }
    let takes_turns = is_free(&volume);
    if !takes_turns {
        check_same_server(writer, &volume, wanted.instance_id)?;
    }
    let mut attachment = reserve(services, writer, &volume, wanted.instance_id)?;
    attachment.mode = wanted.mode;
    let before = attachment.clone();
    if let Some(connector) = wanted.connector {
        connect(&mut attachment, &volume, connector, services.now_us())?;
        attachment.qos_specs = qos::front_end(writer, &volume)?;
    }
    writer.put(&attachment)?;
    let mut volume = refresh(services, writer, volume)?;
    // The newest attachment shows until it is complete; one more for a server that moves does not.
    let shown = match attachment.export {
        Some(_) => "attaching",
        None if takes_turns => "reserved",
        None => return Ok((before, attachment)),
    };
    shown.clone_into(&mut volume.status);
    writer.put(&volume)?;
    Ok((before, attachment))
}

/// The form of an attachment whose connector has just come: with the connection, else as before.
fn connected(services: &Services, attachment: &Attachment, before: &Attachment) -> Value {
    let mut view = full(services, before);
    view["connection_info"] = full(services, attachment)["connection_info"].take();
    view
}

/// Whether a volume may be reserved by anybody.
fn is_free(volume: &Volume) -> bool {
    volume.status == "available" || (volume.multiattach && volume.status == "in-use")
}

/// Refuses a volume that is not free, unless the server has it already and moves.
fn check_same_server(
    view: &impl View,
    volume: &Volume,
    instance: Option<Uuid>,
) -> Result<(), Fault> {
    let others = attachments_of(view, volume)?;
    let same = instance.is_some() && others.iter().any(|one| one.instance_id == instance);
    if same && ["in-use", "reserved"].contains(&volume.status.as_str()) {
        return Ok(());
    }
    let statuses = match volume.multiattach {
        true => "available or in-use or downloading",
        false => "available or downloading",
    };
    Err(Fault::bad_request(format!(
        "Invalid volume: Volume {} status must be {statuses} to reserve, but the current status is {}.",
        volume.id, volume.status
    )))
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(27)?;
    let map = validate::wrapped(&body, "attachment")?.clone();
    services
        .blocking(move |services| {
            let (before, attachment) = services.catalogue().write(|writer| {
                let mut attachment = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeAttachmentUpdate, &attachment.project_id)?;
                if let Some(Value::Object(empty)) = map.get("connector")
                    && empty.is_empty()
                {
                    let reason = "{} should be non-empty";
                    return Err(validate::invalid("connector", &map["connector"], reason));
                }
                let Some(connector) = connector_of(&map)? else {
                    let whole = Value::Object(map.clone());
                    let reason = "'connector' is a required property";
                    return Err(validate::invalid("attachment", &whole, reason));
                };
                let volume = volumes::find(writer, &caller, &attachment.volume_id.to_string())?;
                let before = attachment.clone();
                connect(&mut attachment, &volume, connector, services.now_us())?;
                attachment.qos_specs = qos::front_end(writer, &volume)?;
                writer.put(&attachment)?;
                let mut volume = refresh(services, writer, volume)?;
                if attachment.status == "attaching" {
                    "attaching".clone_into(&mut volume.status);
                    writer.put(&volume)?;
                }
                Ok::<_, Fault>((before, attachment))
            })?;
            Ok(Json(
                json!({"attachment": connected(services, &attachment, &before)}),
            ))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(27)?;
    services
        .blocking(move |services| {
            let (gone, left) = services.catalogue().write(|writer| {
                let attachment = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeAttachmentDelete, &attachment.project_id)?;
                let volume = writer.get::<Volume>(&attachment.volume_id)?;
                writer.delete::<Attachment>(&attachment.id)?;
                let volume = volume
                    .map(|volume| refresh(services, writer, volume))
                    .transpose()?;
                let left = match &volume {
                    Some(volume) => attachments_of(writer, volume)?,
                    None => Vec::new(),
                };
                Ok::<_, Fault>((attachment, left))
            })?;
            close(services, &gone);
            let left: Vec<Value> = left.iter().map(|one| full(services, one)).collect();
            Ok(Json(json!({"attachments": left})))
        })
        .await
}

async fn action(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Fault> {
    let (name, _) = super::action_of(&body)?;
    if name != "os-complete" {
        return Err(super::no_action(&name));
    }
    version.require(44)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut attachment = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeAttachmentComplete, &attachment.project_id)?;
                attachment.status = "attached".to_owned();
                attachment.attached_us = Some(services.now_us());
                writer.put(&attachment)?;
                let volume = volumes::find(writer, &caller, &attachment.volume_id.to_string())?;
                refresh(services, writer, volume)
            })?;
            Ok(StatusCode::NO_CONTENT)
        })
        .await
}
