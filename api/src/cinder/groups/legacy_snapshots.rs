//! `/cgsnapshots`: the older interface to group snapshots.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::bodies::{Texts, required};
use super::lists::ListCall;
use super::{find, snapshots, view};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::consistency as ops;
use crate::cinder::validate::{self, repr};
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

const KEY: &str = "cgsnapshot";

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::SNAPSHOTS, index)
        .on(ops::CREATE_SNAPSHOT, new)
        .on(ops::SNAPSHOTS_DETAIL, detail)
        .on(ops::SHOW_SNAPSHOT, show)
        .on(ops::DELETE_SNAPSHOT, remove)
}

async fn index(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call).await
}

async fn detail(call: ListCall) -> Result<Json<Value>, Fault> {
    list(call.detailed()).await
}

async fn list(mut call: ListCall) -> Result<Json<Value>, Fault> {
    call.caller.check_own(Rule::GroupGetAllGroupSnapshots)?;
    // There is no more to these lists than pages by number.
    call.params = call.params.only(&["limit", "offset"]);
    Ok(Json(call.of_consistency().snapshots().await?))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let snapshot = services
                .catalogue()
                .read(|reader| snapshots::find(reader, &caller, &id))?;
            Ok(Json(json!({ KEY: view::consistency_snapshot(&snapshot) })))
        })
        .await
}

/// A text, which is no option of the schema to leave null.
fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match map.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => {
            let reason = format!("{} is not of type 'string'", repr(other));
            Err(validate::invalid(key, other, &reason))
        }
    }
}

async fn new(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    const GROUP: &str = "consistencygroup_id";
    let map = validate::wrapped(&body, KEY)?;
    required(KEY, map, GROUP)?;
    let group = text(map, GROUP)?.unwrap_or_default();
    let texts = Texts {
        name: text(map, "name")?,
        description: text(map, "description")?,
    };
    services
        .blocking(move |services| {
            let made = services.catalogue().write(|writer| {
                let group = find(writer, &caller, &group)?;
                snapshots::create(services, writer, &caller, &group, texts)
            })?;
            let (id, project) = (made.id.to_string(), Some(made.project_id.as_str()));
            services.event("group_snapshot.creating", project, &id, String::new());
            Ok((
                StatusCode::ACCEPTED,
                Json(json!({ KEY: view::snapshot_summary(&made) })),
            ))
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
                let snapshot = snapshots::find(writer, &caller, &id)?;
                snapshots::delete(services, writer, &caller, snapshot)
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}
