//! `/consistencygroups`: the older interface to groups. New ones are of the type
//! [`group_types::CONSISTENCY`]; groups of any type are shown and changed.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::bodies::{Texts, required};
use super::create::{self, Wanted};
use super::lists::ListCall;
use super::members::{self, Changes};
use super::source::{self, Source};
use super::view::{self, Viewer};
use super::{delete, find};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::consistency as ops;
use crate::cinder::{accepted, group_types, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

const KEY: &str = "consistencygroup";
/// The microversion from which name and description can be made empty.
const EMPTY_SINCE: u16 = 6;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, index)
        .on(ops::CREATE, new)
        .on(ops::DETAIL, detail)
        .on(ops::FROM_SOURCE, new_from_source)
        .on(ops::SHOW, show)
        .on(ops::UPDATE, update)
        .on(ops::DELETE, remove)
        .on(ops::UPDATE_BELOW, update)
        .on(ops::DELETE_BELOW, remove)
}

async fn index(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call).await
}

async fn detail(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call.detailed()).await
}

async fn list(call: ListCall) -> Result<Json<Value>, Fault> {
    call.caller.check_own(Rule::GroupGetAll)?;
    Ok(Json(call.of_consistency().groups(false).await?))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let group = services
                .catalogue()
                .read(|reader| find(reader, &caller, &id))?;
            let viewer = Viewer {
                caller: &caller,
                version,
                zone: &services.config().availability_zone,
                with_volumes: false,
            };
            Ok(Json(json!({ KEY: viewer.consistency_group(&group) })))
        })
        .await
}

async fn new(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let map = validate::wrapped(&body, KEY)?;
    let texts = Texts::parse(map)?;
    required(KEY, map, "volume_types")?;
    caller.check_own(Rule::GroupCreate)?;
    let wanted = Wanted {
        texts,
        volume_types: create::legacy_types(map)?,
        zone: map
            .get("availability_zone")
            .filter(|zone| !zone.is_null())
            .map(validate::shown),
    };
    services
        .blocking(move |services| {
            let group = services.catalogue().write(|writer| {
                let name = group_types::CONSISTENCY;
                let group_type = group_types::by_name(writer, name)?.ok_or_else(|| {
                    Fault::bad_request(format!(
                        "Group type {name} not found. Rerun migration script to create the \
                         default cgsnapshot type."
                    ))
                })?;
                create::create(services, writer, &caller, &group_type, wanted)
            })?;
            let (id, project) = (group.id.to_string(), Some(group.project_id.as_str()));
            services.event("group.created", project, &id, String::new());
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({ KEY: view::summary(&group) })),
            ))
        })
        .await
}

/// The one source that a body names.
fn source_of(body: &Value) -> Result<(Texts, Source), Fault> {
    let map = validate::wrapped(body, "consistencygroup-from-src")?;
    let texts = Texts::parse(map)?;
    let id = |key: &str| match map.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        Some(other) => {
            let reason = format!("{} is not of type 'string'", validate::repr(other));
            Err(validate::invalid(key, other, &reason))
        }
    };
    let name = map.get("name").map_or("None".to_owned(), validate::shown);
    match (id("cgsnapshot_id")?, id("source_cgid")?) {
        (Some(snapshot), None) => Ok((texts, Source::Snapshot(snapshot))),
        (None, Some(group)) => Ok((texts, Source::Group(group))),
        (None, None) => Err(Fault::bad_request(format!(
            "Either 'cgsnapshot_id' or 'source_cgid' must be provided to create consistency group \
             {name} from source."
        ))),
        (Some(_), Some(_)) => Err(Fault::bad_request(format!(
            "Cannot provide both 'cgsnapshot_id' and 'source_cgid' to create consistency group \
             {name} from source."
        ))),
    }
}

async fn new_from_source(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let (texts, from) = source_of(&body)?;
    caller.check_own(Rule::GroupCreate)?;
    services
        .blocking(move |services| {
            let group = services.catalogue().write(|writer| {
                source::create(services, writer, &caller, texts, &from, |_| Ok(()))
            })?;
            let (id, project) = (group.id.to_string(), Some(group.project_id.as_str()));
            services.event("group.creating", project, &id, String::new());
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({ KEY: view::summary(&group) })),
            ))
        })
        .await
}

/// Refuses a change of nothing, as a version words it.
fn check_some(version: Microversion, changes: &Changes) -> Result<(), Fault> {
    let texts = [&changes.texts.name, &changes.texts.description];
    let moves = !changes.add.is_empty() || !changes.remove.is_empty();
    if version.has(EMPTY_SINCE) {
        if moves || texts.iter().any(|text| text.is_some()) {
            return Ok(());
        }
        return Err(Fault::bad_request(
            "Must specify one or more of the following keys to update: name, description, \
             add_volumes, remove_volumes.",
        ));
    }
    let says = |text: &&Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if moves || texts.iter().any(says) {
        return Ok(());
    }
    Err(Fault::bad_request(
        "Name, description, add_volumes, and remove_volumes can not be all empty in the request \
         body.",
    ))
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let changes = Changes::parse(validate::wrapped(&body, KEY)?)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let group = find(writer, &caller, &id)?;
                caller.check(Rule::GroupUpdate, &group)?;
                check_some(version, &changes)?;
                members::update(services, writer, &caller, group, &changes)
            })
        })
        .await?;
    Ok(accepted())
}

/// Deletes a group; `force` takes its volumes along. A body may be missing or empty.
async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let force = match &body {
        Value::Null => false,
        Value::Object(map) if map.is_empty() => false,
        _ => validate::flag(validate::wrapped(&body, KEY)?, "force")?.unwrap_or(false),
    };
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let group = find(writer, &caller, &id)?;
                delete::delete(services, writer, &caller, group, force)
            })
        })
        .await?;
    Ok(accepted())
}
