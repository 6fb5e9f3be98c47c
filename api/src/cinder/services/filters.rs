//! `/resource_filters`: what lists can be filtered by.

use axum::Json;
use serde_json::{Value, json};

use crate::auth::Caller;
use crate::cinder::operations::services as ops;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;

/// The microversion this call came with.
const SINCE: u16 = 33;
/// The lists, in the real service's order.
const FILTERS: [(&str, &[&str]); 9] = [
    (
        "volume",
        &[
            "name",
            "status",
            "metadata",
            "bootable",
            "migration_status",
            "availability_zone",
            "group_id",
            "size",
            "created_at",
            "updated_at",
            "consumes_quota",
        ],
    ),
    ("backup", &["name", "status", "volume_id"]),
    (
        "snapshot",
        &[
            "name",
            "status",
            "volume_id",
            "metadata",
            "availability_zone",
            "consumes_quota",
        ],
    ),
    ("group", &["name"]),
    ("group_snapshot", &["name", "status", "group_id"]),
    (
        "attachment",
        &["volume_id", "status", "instance_id", "attach_status"],
    ),
    (
        "message",
        &[
            "resource_uuid",
            "resource_type",
            "event_id",
            "request_id",
            "message_level",
        ],
    ),
    ("pool", &["name", "volume_type"]),
    ("volume_type", &["is_public", "extra_specs"]),
];

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new().on(ops::FILTERS, index)
}

async fn index(
    version: Microversion,
    _caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let wanted = params.get("resource").filter(|name| !name.is_empty());
    let found: Vec<Value> = FILTERS
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .map(|(name, filters)| json!({"resource": name, "filters": filters}))
        .collect();
    Ok(Json(json!({ "resource_filters": found })))
}
