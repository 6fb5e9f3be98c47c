//! `/cgsnapshots`: the older interface to group snapshots.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::bodies::{Texts, required};
use super::lists::{Interface, ListCall};
use super::{find, snapshots, view};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::filter::Form;
use crate::cinder::validate::{self, repr};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

const KEY: &str = "cgsnapshot";

pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/cgsnapshots", get(index).post(new))
        .route("/cgsnapshots/detail", get(detail))
        .route("/cgsnapshots/{id}", get(show).delete(remove))
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
    caller.check_own(Rule::GroupGetAllGroupSnapshots)?;
    let call = ListCall {
        services,
        url,
        caller,
        version,
        // There is no more to these lists than pages by number.
        params: params.only(&["limit", "offset"]),
        form,
        interface: Interface::Consistency,
    };
    Ok(Json(call.snapshots().await?))
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
        Some(Value::String(_)) => validate::text(map, key),
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
