//! `/groups`.

use axum::extract::{Path, State};
use axum::response::Response;
use axum::{Json, routing};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::bodies;
use super::create::{self, GROUP, Wanted, check_generic};
use super::lists::ListCall;
use super::members::{self, Changes};
use super::view::{self, Viewer};
use super::{SINCE, actions, find};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::groups as ops;
use crate::cinder::validate::{self, repr};
use crate::cinder::volume_delete::strict_flag;
use crate::cinder::{accepted, group_types};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, new)
        .on(ops::DETAIL, detail)
        .on_all(&ops::FROM_SOURCE, actions::of_none)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .untold("/groups/{id}", routing::delete(refuse))
        .on_all(&ops::ACTIONS, actions::of_group)
}

async fn index(call: ListCall) -> Result<Json<Value>, Fault> {
    call.version.require(SINCE)?;
    call.caller.check_own(Rule::GroupGetAll)?;
    Ok(Json(call.groups(false).await?))
}

async fn detail(call: ListCall) -> Result<Json<Value>, Fault> {
    call.version.require(SINCE)?;
    call.caller.check_own(Rule::GroupGetAll)?;
    let with_volumes = lists_volumes(call.version, &call.params)?;
    Ok(Json(call.detailed().groups(with_volumes).await?))
}

/// Whether the query asks for the volumes of groups.
fn lists_volumes(version: Microversion, params: &Params) -> Result<bool, Fault> {
    match version.has(view::VOLUMES_SINCE) {
        true => strict_flag(params, "list_volume"),
        false => Ok(false),
    }
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let with_volumes = lists_volumes(version, &params)?;
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let group = find(reader, &caller, &id)?;
                check_generic(reader, group.group_type_id, GROUP)?;
                let viewer = Viewer {
                    caller: &caller,
                    version,
                    zone: &services.config().availability_zone,
                    with_volumes,
                };
                Ok(Json(json!({"group": viewer.group(reader, &group)?})))
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
    version.require(SINCE)?;
    let (wanted, group_type) = Wanted::parse(&body)?;
    services
        .blocking(move |services| {
            let group = services.catalogue().write(|writer| {
                // A name is looked for before the volume types, an id after them.
                if Uuid::parse_str(&group_type).is_ok() {
                    create::volume_types(writer, &wanted)?;
                }
                let group_type = group_types::resolve(writer, &group_type)?;
                check_generic(writer, group_type.id, GROUP)?;
                caller.check_own(Rule::GroupCreate)?;
                create::create(services, writer, &caller, &group_type, wanted)
            })?;
            let (id, project) = (group.id.to_string(), Some(group.project_id.as_str()));
            services.event("group.created", project, &id, String::new());
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({"group": view::summary(&group)})),
            ))
        })
        .await
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    version.require(SINCE)?;
    let keys = ["name", "description", "add_volumes", "remove_volumes"];
    let map = bodies::sole(&body, "group", &keys)?;
    if map.is_empty() {
        let value = &body["group"];
        let reason = format!(
            "{} is not valid under any of the given schemas",
            repr(value)
        );
        return Err(validate::invalid("group", value, &reason));
    }
    let changes = Changes::parse(map)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let group = find(writer, &caller, &id)?;
                check_generic(writer, group.group_type_id, GROUP)?;
                members::update(services, writer, &caller, group, &changes)
            })
        })
        .await?;
    Ok(accepted())
}

/// The real service has this by accident: without a body there is nothing it could do.
async fn refuse(version: Microversion) -> Fault {
    match version.require(SINCE) {
        Err(fault) => fault,
        Ok(()) => Fault::malformed(),
    }
}
