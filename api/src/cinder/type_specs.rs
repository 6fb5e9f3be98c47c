//! Extra specs of volume types, and the projects that may use private ones.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::records::VolumeType;
use super::type_calls::{empty, find, in_use, viewer, visible_specs};
use super::validate;
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::types as ops;
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

/// Longest key, value and id of a project.
const TEXT_MAX: usize = 255;
/// What keys look like.
const KEY_PATTERN: &str = "^[a-zA-Z0-9-_:.]{1,255}$";

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::SPECS, index)
        .on(ops::ADD_SPECS, create)
        .on(ops::SPEC, show)
        .on(ops::SET_SPEC, update)
        .on(ops::REMOVE_SPEC, delete)
        .on(ops::ACCESS, projects)
        .on_all(&ops::ACTIONS, action)
}

/// The extra specs under `extra_specs`; none when absent.
pub(super) fn parse(map: &Map<String, Value>) -> Result<BTreeMap<String, Option<String>>, Fault> {
    match map.get("extra_specs") {
        None => Ok(BTreeMap::new()),
        Some(Value::Object(specs)) => pairs("extra_specs", specs),
        Some(other) => {
            let reason = format!("{} is not of type 'object'", validate::repr(other));
            Err(validate::invalid("extra_specs", other, &reason))
        }
    }
}

pub(super) fn pairs(
    name: &str,
    specs: &Map<String, Value>,
) -> Result<BTreeMap<String, Option<String>>, Fault> {
    let mut parsed = BTreeMap::new();
    for (key, value) in specs {
        // Which of these a call takes, the shape of its body says.
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_:./ ".contains(c);
        if key.is_empty() || key.len() > TEXT_MAX || !key.chars().all(allowed) {
            let reason = format!("'{key}' does not match any of the regexes: '{KEY_PATTERN}'");
            let specs = Value::Object(specs.clone());
            return Err(validate::invalid(name, &specs, &reason));
        }
        let text = match value {
            Value::Null => None,
            Value::String(text) if text.chars().count() > TEXT_MAX => {
                let reason = format!("'{text}' is too long");
                return Err(validate::invalid(key, value, &reason));
            }
            Value::String(text) => Some(text.clone()),
            other => {
                let shown = validate::repr(other);
                let reason = format!("{shown} is not of type 'string', 'null'");
                return Err(validate::invalid(key, other, &reason));
            }
        };
        parsed.insert(key.clone(), text);
    }
    Ok(parsed)
}

/// The one spec that a body sets.
pub(super) fn one_pair(body: &Value) -> Result<BTreeMap<String, Option<String>>, Fault> {
    let Value::Object(map) = body else {
        return Err(Fault::bad_request("Malformed request body"));
    };
    let count = match map.len() {
        0 => Some("does not have enough properties"),
        1 => None,
        _ => Some("has too many properties"),
    };
    if let Some(reason) = count {
        let shown = validate::repr(body);
        return Err(Fault::bad_request(format!("{shown} {reason}")));
    }
    pairs("extra_specs", map)
}

/// The type of a reading request, as its caller sees it.
async fn read(services: &Services, caller: &Caller, id: String) -> Result<VolumeType, Fault> {
    let caller = caller.clone();
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|reader| find(reader, viewer(&caller), &id))
        })
        .await
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::TypesExtraSpecsIndex)?;
    let found = read(&services, &caller, id).await?;
    Ok(Json(json!({"extra_specs": visible_specs(&caller, &found)})))
}

fn no_spec(id: &str, key: &str) -> Fault {
    Fault::not_found(format!(
        "Volume Type {id} has no extra specs with key {key}."
    ))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::TypesExtraSpecsShow)?;
    let found = read(&services, &caller, id.clone()).await?;
    match visible_specs(&caller, &found).remove(&key) {
        Some(value) => Ok(Json(json!({ key: value }))),
        None => Err(no_spec(&id, &key)),
    }
}

/// Changes the extra specs of a type that no volume has.
async fn change(
    services: &Services,
    id: String,
    change: impl FnOnce(&mut VolumeType) -> Result<(), Fault> + Send + 'static,
) -> Result<(), Fault> {
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut found = find(writer, None, &id)?;
                if in_use(writer, found.id)? {
                    return Err(Fault::bad_request("Volume Type is currently in use."));
                }
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
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let specs = pairs("extra_specs", validate::wrapped(&body, "extra_specs")?)?;
    caller.check_own(Rule::TypesExtraSpecsCreate)?;
    change(&services, id, |found| {
        found.extra_specs.extend(specs);
        Ok(())
    })
    .await?;
    Ok(Json(body))
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let mut specs = one_pair(&body)?;
    caller.check_own(Rule::TypesExtraSpecsUpdate)?;
    let Some(value) = specs.remove(&key) else {
        return Err(Fault::bad_request("Request body and URI mismatch"));
    };
    change(&services, id, |found| {
        found.extra_specs.insert(key, value);
        Ok(())
    })
    .await?;
    Ok(Json(body))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, Fault> {
    caller.check_own(Rule::TypesExtraSpecsDelete)?;
    change(&services, id.clone(), move |found| {
        match found.extra_specs.remove(&key) {
            Some(_) => Ok(()),
            None => Err(no_spec(&id, &key)),
        }
    })
    .await?;
    Ok(empty(StatusCode::ACCEPTED))
}

async fn projects(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeTypeAccessGetAllForType)?;
    let found = read(&services, &caller, id).await?;
    if found.is_public {
        return Err(Fault::not_found(
            "Access list not available for public volume types.",
        ));
    }
    let one = |project| json!({"volume_type_id": found.id, "project_id": project});
    let access: Vec<Value> = found.projects.iter().map(one).collect();
    Ok(Json(json!({"volume_type_access": access})))
}

async fn action(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let (name, _) = super::action_of(&body)?;
    let (adds, rule) = match name.as_str() {
        "addProjectAccess" => (true, Rule::VolumeTypeAccessAddProjectAccess),
        "removeProjectAccess" => (false, Rule::VolumeTypeAccessRemoveProjectAccess),
        name => {
            return Err(Fault::bad_request(format!(
                "There is no such action: {name}. Verify the request body and Content-Type \
                 header and try again."
            )));
        }
    };
    let project = project_of(&body, &name)?;
    caller.check_own(rule)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut found = find(writer, None, &id)?;
                set_access(&mut found, project, adds)?;
                Ok::<_, Fault>(writer.put(&found)?)
            })
        })
        .await?;
    Ok(super::accepted())
}

fn project_of(body: &Value, action: &str) -> Result<String, Fault> {
    let map = validate::wrapped(body, action)?;
    validate::only(action, map, &["project"])?;
    match map.get("project") {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= TEXT_MAX => Ok(text.clone()),
        Some(other) => {
            let reason = format!("{} is not the id of a project", validate::repr(other));
            Err(validate::invalid("project", other, &reason))
        }
        None => {
            let reason = "'project' is a required property";
            let value = Value::Object(map.clone());
            Err(validate::invalid(action, &value, reason))
        }
    }
}

fn set_access(found: &mut VolumeType, project: String, adds: bool) -> Result<(), Fault> {
    let id = found.id;
    if found.is_public {
        return Err(Fault::bad_request(
            "Invalid volume type: Type access modification is not applicable to public volume \
             type.",
        ));
    }
    match (found.projects.iter().position(|own| *own == project), adds) {
        (Some(_), true) => Err(Fault::conflict(format!(
            "Volume type access for {id} / {project} combination already exists."
        ))),
        (None, false) => Err(Fault::not_found(format!(
            "Volume type access not found for {id} / {project} combination."
        ))),
        (None, true) => {
            found.projects.push(project);
            Ok(())
        }
        (Some(position), false) => {
            found.projects.remove(position);
            Ok(())
        }
    }
}
