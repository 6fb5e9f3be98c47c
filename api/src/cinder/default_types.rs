//! `/default-types`: default volume types of projects.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::type_calls::empty;
use super::{types, validate};
use crate::auth::{self, Caller};
use crate::body::JsonBody;
use crate::catalogue::{Query, Record, View};
use crate::cinder::operations::types as ops;
use crate::fault::{Fault, FaultKind};
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

/// The microversion these calls came with.
const SINCE: u16 = 62;

/// The type of a project's volumes that ask for none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProjectDefault {
    /// Project.
    pub(super) project_id: String,
    /// Its default type.
    pub(super) volume_type_id: Uuid,
}

impl Record for ProjectDefault {
    const TABLE: &'static str = "default_types";
    type Id = str;

    fn id(&self) -> &str {
        &self.project_id
    }
}

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::DEFAULTS, index)
        .untold("/default-types/", get(index))
        .on(ops::DEFAULT, show)
        .on(ops::SET_DEFAULT, set)
        .on(ops::UNSET_DEFAULT, unset)
}

/// Only where these calls exist. The refusal names no rule.
fn check(version: Microversion, caller: &Caller, rule: Rule) -> Result<(), Fault> {
    version.require(SINCE)?;
    match caller.can_own(rule) {
        true => Ok(()),
        false => Err(Fault::new(
            FaultKind::Forbidden,
            "You are not authorized to perform this operation.",
        )),
    }
}

async fn index(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
) -> Result<Json<Value>, Fault> {
    check(version, &caller, Rule::DefaultGetAll)?;
    let all: Vec<ProjectDefault> = services
        .blocking(|services| {
            let catalogue = services.catalogue();
            Ok(catalogue.read(|reader| reader.list(&Query::all()))?)
        })
        .await?;
    Ok(Json(json!({"default_types": all})))
}

async fn show(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Json<Value>, Fault> {
    check(version, &caller, Rule::DefaultGet)?;
    let own: ProjectDefault = services
        .blocking(move |services| {
            let own = services
                .catalogue()
                .read(|reader| reader.get(project.as_str()))?;
            own.ok_or_else(|| {
                Fault::not_found(format!("Default type for project {project} not found."))
            })
        })
        .await?;
    Ok(Json(json!({"default_type": own})))
}

async fn set(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    Path(project): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let map = validate::wrapped(&body, "default_type")?;
    let name = validate::text(map, "volume_type")?.ok_or_else(|| {
        let reason = "'volume_type' is a required property";
        validate::invalid("default_type", &Value::Object(map.clone()), reason)
    })?;
    check(version, &caller, Rule::DefaultSetOrUpdate)?;
    if !auth::has_project(&services, project.clone()).await? {
        return Err(Fault::not_found(format!("Unknown project {project}.")));
    }
    let own = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let found = types::find_type(writer, None::<&str>, &name)
                    .map_err(|fault| Fault::bad_request(fault.message()))?;
                let own = ProjectDefault {
                    project_id: project,
                    volume_type_id: found.id,
                };
                writer.put(&own)?;
                Ok(own)
            })
        })
        .await?;
    Ok(Json(json!({"default_type": own})))
}

async fn unset(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    Path(project): Path<String>,
) -> Result<Response, Fault> {
    check(version, &caller, Rule::DefaultUnset)?;
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            Ok(catalogue.write(|writer| writer.delete::<ProjectDefault>(project.as_str()))?)
        })
        .await?;
    Ok(empty(StatusCode::NO_CONTENT))
}
