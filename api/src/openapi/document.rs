//! The document: all operations of all services, with what they share.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::family::{self, Family};
use super::operation::{Content, Operation, Parameter, schema_of};
use super::shape::Named;
use crate::microversion::Microversion;

/// A service: where its operations are, and what they share.
pub(super) struct Service {
    pub(super) family: Family,
    pub(super) prefix: &'static str,
    pub(super) operations: Vec<Operation>,
}

/// The OpenAPI document. It depends on the program alone and is made once.
pub fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| build(&super::services()).0)
}

/// The document, and the names that more than one schema has.
pub(super) fn build(services: &[Service]) -> (Value, Vec<String>) {
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for service in services {
        for (path, operations) in grouped(service) {
            let verb = operations[0].verb.word().to_owned();
            let entry = paths
                .entry(format!("{}{path}", service.prefix))
                .or_default();
            entry.insert(verb, operation(service, path, &operations));
            let parameters = path_parameters(path);
            if !parameters.is_empty() {
                entry.insert("parameters".into(), Value::Array(parameters));
            }
        }
    }
    let mut paths = json!(paths);
    let mut responses = family::responses();
    let mut named = Named::default();
    named.hoist(&mut paths);
    named.hoist(&mut responses);
    named.schemas.sort_keys();
    let document = json!({
        "openapi": "3.1.0",
        "info": info(),
        "servers": [{"url": "/", "description": "The daemon this document is from."}],
        "tags": Family::ALL.map(|family| json!({
            "name": family.tag(),
            "description": family.description(),
        })),
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": named.schemas,
            "responses": responses,
            "parameters": {"OpenStack-API-Version": family::version_parameter()},
            "securitySchemes": {"token": {
                "type": "apiKey",
                "in": "header",
                "name": "X-Auth-Token",
                "description": "A token of Identity: the header `X-Subject-Token` of the answer to \
                                `POST /identity/v3/auth/tokens`.",
            }},
        },
    });
    (document, named.clashes)
}

fn info() -> Value {
    json!({
        "title": "cinderblock",
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        "description": format!(
            "Block Storage (microversions {} to {}), Identity and the daemon's own API. Made from \
             the code that serves it.\n\nPaths of Block Storage may have the id of the token's \
             project behind the version: `/volume/v3/{{project_id}}/volumes`. With it, operations \
             without `x-openstack-min-ver` that are not marked `x-openstack-v2: false` are there \
             under `/volume/v2` as well.\n\n`x-openstack` of a field tells the microversions that \
             have it.",
            Microversion::MIN,
            Microversion::MAX,
        ),
    })
}

/// The operations of a service by path and method: more than one where an action of the body
/// chooses.
pub(super) fn grouped(service: &Service) -> Vec<(&'static str, Vec<Operation>)> {
    let mut groups: Vec<(&'static str, Vec<Operation>)> = Vec::new();
    for operation in &service.operations {
        let same = groups.iter_mut().find(|(path, operations)| {
            *path == operation.path && operations[0].verb == operation.verb
        });
        match same {
            Some((_, operations)) => operations.push(*operation),
            None => groups.push((operation.path, vec![*operation])),
        }
    }
    groups
}

/// The names between braces.
fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn path_parameters(path: &str) -> Vec<Value> {
    let parameter = |name: &str| {
        json!({
            "name": name,
            "in": "path",
            "required": true,
            "schema": {"type": "string", "minLength": 1},
        })
    };
    path_names(path).map(parameter).collect()
}

/// An id that is made of method and path, and so is as stable as they are.
fn operation_id(service: &Service, operation: &Operation) -> String {
    let path = format!("{}{}", service.prefix, operation.path);
    let words = path.split(['/', '{', '}', '.', '-']);
    let words = words.filter(|word| !word.is_empty());
    let words: Vec<&str> = std::iter::once(operation.verb.word())
        .chain(words)
        .collect();
    match operation.path {
        // Beside what is below it, the root has no word of its own.
        "/" => format!("{}_root", words.join("_")),
        _ => words.join("_"),
    }
}

fn operation(service: &Service, path: &str, operations: &[Operation]) -> Value {
    let first = &operations[0];
    let mut value = json!({
        "operationId": operation_id(service, first),
        "tags": [service.family.tag()],
        "summary": match operations {
            [only] => only.summary,
            // Several without an action differ in how they can succeed.
            [first, ..] if first.action.is_none() => first.summary,
            _ => "Do what the one key of the body says.",
        },
        "parameters": parameters(service, first),
        "responses": responses(service, operations),
    });
    if let Some(body) = request_body(operations) {
        value["requestBody"] = body;
    }
    if first.open {
        value["security"] = json!([]);
    }
    match operations {
        [first, ..] if first.action.is_none() => tell(&mut value, first),
        _ => {
            let actions = operations.iter().map(|operation| {
                let mut action = json!({
                    "name": operation.action,
                    "summary": operation.summary,
                    "status": operation.status,
                });
                tell(&mut action, operation);
                action
            });
            value["x-openstack-actions"] = actions.collect();
        }
    }
    if service.family == Family::BlockStorage && !family::is_in_v2(path) {
        value["x-openstack-v2"] = json!(false);
    }
    value
}

/// What OpenAPI has no words for.
fn tell(value: &mut Value, operation: &Operation) {
    if operation.since > 0 {
        value["x-openstack-min-ver"] = json!(Microversion(operation.since).to_string());
    }
    if let Some(rule) = operation.rule {
        value["x-openstack-policy"] = json!(rule.name());
    }
}

fn parameters(service: &Service, operation: &Operation) -> Vec<Value> {
    let mut parameters = Vec::new();
    if service.family == Family::BlockStorage && !operation.open {
        parameters.push(json!({"$ref": "#/components/parameters/OpenStack-API-Version"}));
    }
    let told = |parameter: &Parameter, place: &str| {
        let mut value = json!({
            "name": parameter.name,
            "in": place,
            "description": parameter.meaning,
            "required": parameter.required,
            "schema": schema_of(parameter.shape),
        });
        if parameter.since > 0 {
            let version = Microversion(parameter.since).to_string();
            value["x-openstack"] = json!({ "min-ver": version });
        }
        value
    };
    let headers = operation.headers.iter();
    parameters.extend(headers.map(|parameter| told(parameter, "header")));
    let query = operation.query.iter().copied().flatten();
    parameters.extend(query.map(|parameter| told(parameter, "query")));
    parameters
}

fn json_content(schema: &Value) -> Value {
    json!({"application/json": {"schema": schema}})
}

/// One schema, or any of several different ones.
fn joined(mut schemas: Vec<Value>) -> Option<Value> {
    schemas.dedup();
    match schemas.len() {
        0 | 1 => schemas.pop(),
        _ => Some(json!({ "anyOf": schemas })),
    }
}

fn request_body(operations: &[Operation]) -> Option<Value> {
    let bodies = operations.iter().filter_map(|operation| operation.body);
    let schema = joined(bodies.map(schema_of).collect())?;
    Some(json!({
        "required": !operations.iter().any(|operation| operation.body_optional),
        "content": json_content(&schema),
    }))
}

fn responses(service: &Service, operations: &[Operation]) -> Value {
    let mut responses = Map::new();
    let mut statuses: Vec<u16> = operations
        .iter()
        .map(|operation| operation.status)
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let of_status = operations
            .iter()
            .filter(|operation| operation.status == status);
        responses.insert(status.to_string(), success(service, of_status));
    }
    for operation in operations {
        if let Content::Data(others) = operation.content {
            for status in others {
                let described = json!({"description": "A part of the bytes, or none."});
                responses.insert(status.to_string(), described);
            }
        }
    }
    for status in family::faults(service.family, operations) {
        let reference = format!("#/components/responses/{}{status}", service.family.word());
        responses.insert(status.to_string(), json!({ "$ref": reference }));
    }
    Value::Object(responses)
}

fn success<'a>(service: &Service, operations: impl Iterator<Item = &'a Operation>) -> Value {
    let (mut schemas, mut text, mut empty, mut summary) = (Vec::new(), false, false, "");
    let mut data = false;
    let mut as_html = false;
    for operation in operations {
        match operation.content {
            Content::Json(shape) => schemas.push(schema_of(shape)),
            Content::Text => text = true,
            Content::Data(_) => data = true,
            Content::Empty => empty = true,
        }
        summary = operation.summary;
        as_html |= operation.as_html;
    }
    let mut value = json!({
        "description": format!("Done: {summary}"),
        "headers": family::headers(service.family),
    });
    if empty && !schemas.is_empty() {
        // There is no other way to say that some actions of a path answer without a body.
        schemas.push(json!({"type": "null", "description": "No body at all."}));
    }
    if let Some(schema) = joined(schemas) {
        value["content"] = json_content(&schema);
        if as_html {
            value["content"]["text/html"] = json!({ "schema": schema });
        }
    } else if text {
        value["content"] = json!({"text/plain": {"schema": {"type": "string"}}});
    } else if data {
        value["content"] = json!({"application/octet-stream": {}});
    }
    value
}
