//! The version documents of Block Storage.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Services;
use crate::microversion;

fn version_document(services: &Services) -> Value {
    let base = services.config().volume_base();
    json!({"versions": [{
        "id": "v3.0",
        "links": [
            {"href": "https://docs.openstack.org/", "rel": "describedby", "type": "text/html"},
            {"href": format!("{base}/v3/"), "rel": "self"},
        ],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=3",
        }],
        "min_version": microversion::Microversion::MIN.to_string(),
        "status": "CURRENT",
        "updated": "2023-08-31T00:00:00Z",
        "version": microversion::Microversion::MAX.to_string(),
    }]})
}

fn v2_entry(base: &str) -> Value {
    json!({
        "id": "v2.0",
        "links": [
            {"href": "https://docs.openstack.org/", "rel": "describedby", "type": "text/html"},
            {"href": format!("{base}/v2/"), "rel": "self"},
        ],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.volume+json;version=2",
        }],
        "min_version": "",
        "status": "DEPRECATED",
        "updated": "2017-02-25T12:00:00Z",
        "version": "",
    })
}

pub(super) fn versions(services: &Services) -> Response {
    let mut document = version_document(services);
    if let Some(versions) = document["versions"].as_array_mut() {
        versions.push(v2_entry(&services.config().volume_base()));
    }
    (StatusCode::MULTIPLE_CHOICES, Json(document)).into_response()
}

pub(super) async fn versions_v2(State(services): State<Services>) -> Json<Value> {
    let entry = v2_entry(&services.config().volume_base());
    Json(json!({"versions": [entry]}))
}

pub(super) async fn versions_v3(State(services): State<Services>) -> Json<Value> {
    Json(version_document(&services))
}
