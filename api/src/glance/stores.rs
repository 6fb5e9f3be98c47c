//! The stores that images can be kept in: the backends; and what can be imported.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};

use super::rights;
use crate::auth::Caller;
use crate::fault::{Fault, ImageFault};
use crate::server::Services;

/// Takes staged data.
pub(super) const DIRECT: &str = "glance-direct";
/// Fetches data from an address. No address passes the filter: the daemon would fetch for its
/// users what only it can reach.
pub(super) const WEB: &str = "web-download";
/// Copies data into further stores. An image is in one store, so there is something to tell only
/// where there is no other.
pub(super) const COPY: &str = "copy-image";

/// The import methods there are.
pub(super) fn methods(services: &Services) -> Vec<&'static str> {
    let mut methods = vec![DIRECT, WEB];
    if services.backends().iter().count() == 1 {
        methods.push(COPY);
    }
    methods
}

/// The names of all stores, the default first.
pub(super) fn names(services: &Services) -> Vec<String> {
    let backends = services.backends().iter();
    backends.map(|backend| backend.name().to_owned()).collect()
}

/// The store that a request asks for, else the default.
pub(super) fn asked(services: &Services, headers: &HeaderMap) -> Result<String, Fault> {
    let Some(given) = headers.get("x-image-meta-store") else {
        return Ok(services.backends().first().name().to_owned());
    };
    let name = given.to_str().unwrap_or_default();
    match names(services).iter().any(|known| known == name) {
        true => Ok(name.to_owned()),
        false => Err(Fault::bad_request(format!(
            "Store for identifier {name} not found"
        ))),
    }
}

/// `GET /v2/info/import`.
pub(super) async fn import(State(services): State<Services>) -> Json<Value> {
    Json(json!({"import-methods": {
        "description": "Import methods available.",
        "type": "array",
        "value": methods(&services),
    }}))
}

fn listed(services: &Services) -> Vec<Value> {
    let first = services.backends().first().name();
    let shown = names(services).into_iter().map(|name| match name == first {
        true => json!({"id": name, "default": "true"}),
        false => json!({"id": name}),
    });
    shown.collect()
}

/// `GET /v2/info/stores`.
pub(super) async fn index(State(services): State<Services>) -> Json<Value> {
    Json(json!({"stores": listed(&services)}))
}

/// `GET /v2/info/stores/detail`.
pub(super) async fn detail(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<Value>, ImageFault> {
    rights::check_service(&caller, rights::STORES_DETAIL)?;
    let mut stores = listed(&services);
    for store in &mut stores {
        store["type"] = json!("cinderblock");
        store["weight"] = json!(0);
        store["properties"] = json!({"thin_provisioning": true});
    }
    Ok(Json(json!({ "stores": stores })))
}
