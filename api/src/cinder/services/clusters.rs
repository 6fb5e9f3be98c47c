//! `/clusters`, of which there are none: the calls check what they are given and find nothing.

use axum::Json;
use axum::extract::Path;
use serde_json::{Value, json};

use super::body;
use super::rows::VOLUME;
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::services as ops;
use crate::cinder::validate;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;

/// The microversion these calls came with.
const SINCE: u16 = 7;
/// Filters of lists.
const FILTERS: [&str; 6] = [
    "name",
    "binary",
    "is_up",
    "disabled",
    "num_hosts",
    "num_down_hosts",
];
/// Filters that came with 3.26.
const REPLICATION_FILTERS: [&str; 3] = ["replication_status", "frozen", "active_backend_id"];

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::CLUSTERS, index)
        .on(ops::CLUSTERS_DETAIL, index)
        .on(ops::CLUSTER, show)
        .on(ops::ENABLE_CLUSTER, enable)
        .on(ops::DISABLE_CLUSTER, disable)
}

fn no_cluster(binary: &str, name: &str) -> Fault {
    Fault::not_found(format!(
        "Cluster {{'binary': {}, 'name': {}}} could not be found.",
        validate::repr(&binary.into()),
        validate::repr(&name.into())
    ))
}

async fn index(
    version: Microversion,
    caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::ClustersGetAll)?;
    let known = |key: &str| {
        FILTERS.contains(&key) || (version.has(26) && REPLICATION_FILTERS.contains(&key))
    };
    let unknown: Vec<&str> = params
        .iter()
        .map(|(key, _)| key)
        .filter(|key| !known(key))
        .collect();
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        return Err(Fault::bad_request(format!(
            "Invalid input received: Invalid filter keys: {names}"
        )));
    }
    for key in ["disabled", "is_up"] {
        crate::cinder::volume_delete::strict_flag(&params, key)?;
    }
    Ok(Json(json!({"clusters": []})))
}

async fn show(
    version: Microversion,
    caller: Caller,
    Path(name): Path<String>,
    params: Params,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::ClustersGet)?;
    Err(no_cluster(params.get("binary").unwrap_or(VOLUME), &name))
}

async fn enable(
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    update(&caller, &body, &["name", "binary"])
}

async fn disable(
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    update(&caller, &body, &["name", "binary", "disabled_reason"])
}

fn update(caller: &Caller, body: &Value, keys: &[&str]) -> Result<Json<Value>, Fault> {
    let map = body::object(body, keys)?;
    let Some(name) = body::text(map, "name")? else {
        return Err(Fault::bad_request("'name' is a required property"));
    };
    let binary = body::nullable(map, "binary")?;
    body::nullable(map, "disabled_reason")?;
    caller.check_own(Rule::ClustersUpdate)?;
    Err(no_cluster(binary.as_deref().unwrap_or(VOLUME), &name))
}
