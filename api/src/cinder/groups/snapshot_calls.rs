//! `/group_snapshots`.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::bodies::{self, Texts, required};
use super::create::{GROUP, SNAPSHOT, check_generic};
use super::lists::ListCall;
use super::snapshots;
use super::view::{self, Viewer};
use super::{SNAPSHOTS_SINCE, find};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::groups as ops;
use crate::cinder::{accepted, action_of, no_action};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

/// The microversion that brought `reset_status`.
const RESET_SINCE: u16 = 19;
/// The microversion that brought filters, order and pages.
const PAGES_SINCE: u16 = 29;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::SNAPSHOTS, index)
        .on(ops::CREATE_SNAPSHOT, new)
        .on(ops::SNAPSHOTS_DETAIL, detail)
        .on(ops::SHOW_SNAPSHOT, show)
        .on(ops::DELETE_SNAPSHOT, remove)
        .on_all(&ops::SNAPSHOT_ACTIONS, action)
}

async fn index(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call).await
}

async fn detail(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call.detailed()).await
}

async fn list(mut call: ListCall) -> Result<Json<Value>, Fault> {
    call.version.require(SNAPSHOTS_SINCE)?;
    call.caller.check_own(Rule::GroupGetAllGroupSnapshots)?;
    if !call.version.has(PAGES_SINCE) {
        call.params = Params::default();
    }
    Ok(Json(call.snapshots().await?))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(SNAPSHOTS_SINCE)?;
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let snapshot = snapshots::find(reader, &caller, &id)?;
                check_generic(reader, snapshot.group_type_id, SNAPSHOT)?;
                let viewer = Viewer {
                    caller: &caller,
                    version,
                    zone: &services.config().availability_zone,
                    with_volumes: false,
                };
                Ok(Json(json!({"group_snapshot": viewer.snapshot(&snapshot)})))
            })
        })
        .await
}

async fn new(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    const KEY: &str = "group_snapshot";
    version.require(SNAPSHOTS_SINCE)?;
    let map = bodies::sole(&body, KEY, &["group_id", "name", "description"])?;
    let group = bodies::uuid("group_id", required(KEY, map, "group_id")?)?.to_string();
    let texts = Texts::parse(map)?;
    services
        .blocking(move |services| {
            let made = services.catalogue().write(|writer| {
                let group = find(writer, &caller, &group)?;
                check_generic(writer, group.group_type_id, GROUP)?;
                snapshots::create(services, writer, &caller, &group, texts)
            })?;
            let (id, project) = (made.id.to_string(), Some(made.project_id.as_str()));
            services.event("group_snapshot.creating", project, &id, String::new());
            let mut shown = view::snapshot_summary(&made);
            shown["group_type_id"] = json!(made.group_type_id);
            Ok((StatusCode::ACCEPTED, Json(json!({ KEY: shown }))))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<StatusCode, Fault> {
    version.require(SNAPSHOTS_SINCE)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let snapshot = snapshots::find(writer, &caller, &id)?;
                check_generic(writer, snapshot.group_type_id, SNAPSHOT)?;
                snapshots::delete(services, writer, &caller, snapshot)
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

async fn action(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let (name, _) = action_of(&body)?;
    if name != "reset_status" {
        return Err(no_action(&name));
    }
    version.require(RESET_SINCE)?;
    let status = bodies::status(&body, "GroupSnapshot")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut snapshot = snapshots::find(writer, &caller, &id)?;
                caller.check(Rule::GroupResetGroupSnapshotStatus, &snapshot)?;
                snapshot.status = status;
                snapshot.updated_us = Some(services.now_us());
                Ok::<_, Fault>(writer.put(&snapshot)?)
            })
        })
        .await?;
    Ok(accepted())
}
