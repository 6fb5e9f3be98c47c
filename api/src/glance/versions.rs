//! The versions of Image.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use crate::openapi::Operation;
use crate::openapi::shape::{self, list, wrapped};
use crate::server::Services;

/// The versions, at the root of the service.
pub(crate) const VERSIONS: Operation = Operation::get("/", "List the versions of Image.")
    .open()
    .answers(300, || wrapped("versions", list(shape::any())));
/// The same under a name of their own.
pub(crate) const EXPLICIT: Operation = Operation::get("/versions", "List the versions of Image.")
    .open()
    .answers(200, || wrapped("versions", list(shape::any())));

/// The present minor version.
const CURRENT: u8 = 17;
/// All minor versions, in the order of the real service.
const MINORS: [u8; 16] = [15, 13, 12, 11, 10, 9, 8, CURRENT, 7, 6, 5, 4, 3, 2, 1, 0];

/// Whether a segment of a path names a version: all are served by the same routes.
pub(crate) fn is_version(segment: &str) -> bool {
    let minor = segment
        .strip_prefix("v2.")
        .and_then(|text| text.parse().ok());
    minor.is_some_and(|minor| MINORS.contains(&minor))
}

fn document(services: &Services) -> Value {
    let href = format!("{}/v2/", services.config().image_base());
    let version = |minor: u8| {
        let status = match minor {
            CURRENT => "CURRENT",
            _ => "SUPPORTED",
        };
        json!({
            "id": format!("v2.{minor}"),
            "status": status,
            "links": [{"rel": "self", "href": href}],
        })
    };
    json!({"versions": MINORS.map(version)})
}

/// The choices there are.
pub(crate) async fn choices(State(services): State<Services>) -> Response {
    (StatusCode::MULTIPLE_CHOICES, Json(document(&services))).into_response()
}

/// `GET /versions`.
pub(crate) async fn explicit(State(services): State<Services>) -> Json<Value> {
    Json(document(&services))
}
