//! The calls about manageable volumes and snapshots.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::reference::Kind;
use super::{list, snapshots, volumes};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::filter::Form;
use crate::cinder::services::{VOLUME, no_service};
use crate::cinder::volume_view::{Viewer, load};
use crate::cinder::{backends, moving, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Services, UrlProject};

/// What a list is asked with.
type Asked = (Caller, Microversion, Params);

async fn listed(
    services: Services,
    (caller, version, params): Asked,
    kind: Kind,
    form: Form,
) -> Result<Json<Value>, Fault> {
    let rule = match kind {
        Kind::Volume => Rule::ListManageable,
        Kind::Snapshot => Rule::SnapshotListManageable,
    };
    caller.check_own(rule)?;
    services
        .blocking(move |services| {
            let pairs = params.iter();
            let named: Map<String, Value> = pairs
                .filter(|(key, _)| ["host", "cluster"].contains(key))
                .map(|(key, value)| (key.to_owned(), json!(value)))
                .collect();
            let host = moving::host_in(&named, version)?;
            let Some(backend) = backends::by_host(services, &host) else {
                return Err(no_service(VOLUME, &host));
            };
            list::page(services, backend, kind, &params, form).map(Json)
        })
        .await
}

pub(super) async fn volumes(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let asked = (caller, version, params);
    listed(services, asked, Kind::Volume, Form::Summary).await
}

pub(super) async fn volumes_detail(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let asked = (caller, version, params);
    listed(services, asked, Kind::Volume, Form::Detail).await
}

pub(super) async fn snapshots(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let asked = (caller, version, params);
    listed(services, asked, Kind::Snapshot, Form::Summary).await
}

pub(super) async fn snapshots_detail(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    params: Params,
) -> Result<Json<Value>, Fault> {
    let asked = (caller, version, params);
    listed(services, asked, Kind::Snapshot, Form::Detail).await
}

pub(super) async fn manage_volume(
    State(services): State<Services>,
    url: UrlProject,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    caller.check_own(Rule::VolumeManage)?;
    let map = validate::wrapped(&body, "volume")?.clone();
    services
        .blocking(move |services| {
            let wanted = volumes::Wanted::parse(&map, version)?;
            // The type is looked for before the host.
            let project = caller.require_project()?;
            let catalogue = services.catalogue();
            catalogue.read(|reader| wanted.type_in(reader, project).map(drop))?;
            let Some(backend) = backends::by_host(services, &wanted.host) else {
                let message = format!("Host '{}' not found", wanted.host);
                return Err(Fault::bad_request(message));
            };
            let loaded = services.catalogue().write(|writer| {
                let volume = volumes::manage(services, writer, &caller, backend, &wanted)?;
                Ok::<_, Fault>(load(writer, volume)?)
            })?;
            let viewer = Viewer {
                services,
                url: &url,
                caller: &caller,
                version,
            };
            let shown = json!({"volume": viewer.detail(&loaded)});
            Ok((StatusCode::ACCEPTED, Json(shown)))
        })
        .await
}

pub(super) async fn manage_snapshot(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    caller.check_own(Rule::SnapshotManage)?;
    let map = validate::wrapped(&body, "snapshot")?.clone();
    services
        .blocking(move |services| {
            let made = services
                .catalogue()
                .write(|writer| snapshots::manage(services, writer, &caller, &map))?;
            let shown = crate::cinder::snapshots::brief(&made, version);
            Ok((StatusCode::ACCEPTED, Json(json!({ "snapshot": shown }))))
        })
        .await
}
