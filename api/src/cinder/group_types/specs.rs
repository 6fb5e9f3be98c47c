//! `/group_types/{id}/group_specs`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{GroupType, SINCE, find};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::groups as ops;
use crate::cinder::{accepted, type_specs, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::SPECS, index)
        .on(ops::ADD_SPECS, create)
        .on(ops::SPEC, show)
        .on(ops::SET_SPEC, update)
        .on(ops::REMOVE_SPEC, delete)
}

/// Specs of a body in which none can be null, as the catalogue keeps them.
pub(super) fn present(specs: BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let pairs = specs.into_iter();
    pairs.map(|(key, value)| (key, Some(value))).collect()
}

/// 404 of a key, as those who read it are told.
fn no_spec(id: &str, key: &str) -> Fault {
    Fault::not_found(format!("Group Type {id} has no extra spec with key {key}."))
}

async fn read(services: &Services, id: String) -> Result<GroupType, Fault> {
    services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::GroupTypesSpecsGetAll)?;
    let found = read(&services, id).await?;
    Ok(Json(json!({"group_specs": found.group_specs})))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::GroupTypesSpecsGet)?;
    let mut found = read(&services, id.clone()).await?;
    match found.group_specs.remove(&key) {
        Some(value) => Ok(Json(json!({ key: value }))),
        None => Err(no_spec(&id, &key)),
    }
}

/// Changes the specs of a type.
async fn change(
    services: &Services,
    id: String,
    change: impl FnOnce(&mut GroupType) -> Result<(), Fault> + Send + 'static,
) -> Result<(), Fault> {
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut found = find(writer, &id)?;
                change(&mut found)?;
                found.updated_us = Some(now_us);
                Ok(writer.put(&found)?)
            })
        })
        .await
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    version.require(SINCE)?;
    let map = validate::wrapped(&body, "group_specs")?;
    let specs = type_specs::pairs("group_specs", map)?;
    caller.check_own(Rule::GroupTypesSpecsCreate)?;
    change(&services, id, |found| {
        found.group_specs.extend(specs);
        Ok(())
    })
    .await?;
    Ok((StatusCode::ACCEPTED, Json(body)))
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path((id, key)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let mut specs = type_specs::one_pair(&body)?;
    caller.check_own(Rule::GroupTypesSpecsUpdate)?;
    change(&services, id, move |found| match specs.remove(&key) {
        None => Err(Fault::bad_request("Request body and URI mismatch")),
        Some(value) => {
            found.group_specs.insert(key, value);
            Ok(())
        }
    })
    .await?;
    Ok(Json(body))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    version.require(SINCE)?;
    caller.check_own(Rule::GroupTypesSpecsDelete)?;
    change(&services, id.clone(), move |found| {
        match found.group_specs.remove(&key) {
            Some(_) => Ok(()),
            None => Err(Fault::not_found(format!(
                "Group Type {id} has no specs with key {key}."
            ))),
        }
    })
    .await?;
    Ok(accepted())
}
