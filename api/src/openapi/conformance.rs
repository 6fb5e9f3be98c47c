//! Holds exchanges with the router against the document.
//!
//! The client of the tests hands every exchange in: an answer must have a status that the document
//! tells of the operation and a body that the schemas of the asked microversion describe, and what
//! was accepted must be a body that the document lets through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use http::StatusCode;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::document::document;
use super::shape::{SCHEMAS, at_version};
use crate::microversion::Microversion;

/// A request and its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) version: Microversion,
    pub(crate) sent: &'a Value,
    pub(crate) status: StatusCode,
    pub(crate) answer: &'a Value,
}

/// Panics when an exchange is not as the document says.
pub(crate) fn check(exchange: &Exchange<'_>) {
    if let Err(reason) = verdict(exchange) {
        let Exchange {
            method,
            path,
            version,
            sent,
            status,
            answer,
        } = exchange;
        panic!(
            "the OpenAPI document does not tell of this exchange: {reason}\n\
             {method} {path} at {version}\nsent {sent}\nanswered {status} {answer}"
        );
    }
}

fn verdict(exchange: &Exchange<'_>) -> Result<(), String> {
    let method = exchange.method.to_lowercase();
    let told = operation(exchange.path, &method);
    let Some((pointer, operation)) = told else {
        // What nothing is told of may not do anything.
        let does = exchange.status.is_success() && method != "options";
        return match does {
            true => Err("it has no such operation".to_owned()),
            false => Ok(()),
        };
    };
    let status = exchange.status.as_u16();
    if exchange.status.is_server_error() {
        // Nothing promises these: whoever sends them has a test of their own.
        return Ok(());
    }
    let Some(response) = operation["responses"].get(status.to_string()) else {
        return Err(format!("{pointer} has no answer {status}"));
    };
    let response = resolved(response);
    match response.pointer("/content/application~1json/schema") {
        Some(schema) if method != "head" && !is_page(exchange) => {
            let place = format!("{pointer}/responses/{status}");
            validate(&place, schema, exchange.version, exchange.answer)?;
        }
        Some(_) => (),
        None if exchange.answer.is_null() => (),
        None => return Err(format!("{pointer} answers {status} without a body")),
    }
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    match body {
        Some(schema) if exchange.status.is_success() && !exchange.sent.is_null() => {
            let place = format!("{pointer}/requestBody");
            validate(&place, schema, exchange.version, exchange.sent)
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether an answer is a page for people, as Identity gives of paths it does not have, and Image of
/// all faults.
fn is_page(exchange: &Exchange<'_>) -> bool {
    let pages = exchange.status == StatusCode::NOT_FOUND
        || (exchange.path.starts_with("/image") && exchange.status.is_client_error());
    pages && exchange.answer.is_null()
}

fn resolved(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(reference) => document()
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("{reference} leads nowhere")),
        None => value,
    }
}

/// The path without query, project and suffix, as the document has it.
fn plain(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(rest) = path.strip_prefix("/image/v2.") {
        // All minor versions of Image are one.
        let below = rest.split_once('/').map_or("", |(_, below)| below);
        return format!("/image/v2/{below}");
    }
    let below = ["/volume/v3/", "/volume/v2/"]
        .iter()
        .find_map(|root| path.strip_prefix(root));
    let Some(below) = below else {
        return path.to_owned();
    };
    let (first, rest) = below.split_once('/').unwrap_or((below, ""));
    let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f' | '-');
    let below = match !first.is_empty() && first.chars().all(hex) {
        true => rest,
        false => below,
    };
    format!(
        "/volume/v3/{}",
        below.strip_suffix(".json").unwrap_or(below)
    )
}

/// How well a template fits a path: its words count, its parameters do not.
fn fit(template: &str, path: &str) -> Option<usize> {
    let (template, path) = (template.trim_end_matches('/'), path.trim_end_matches('/'));
    let (parts, given): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let fits = |(part, given): (&&str, &&str)| match part.starts_with('{') {
        true => !given.is_empty(),
        false => part == given,
    };
    let all = parts.len() == given.len() && parts.iter().zip(&given).all(fits);
    all.then(|| parts.iter().filter(|part| !part.starts_with('{')).count())
}

fn operation(path: &str, method: &str) -> Option<(String, &'static Value)> {
    let path = plain(path);
    let paths = document()["paths"].as_object()?;
    let fitting = paths.iter().filter_map(|(template, entry)| {
        let operation = entry.get(method).or_else(|| match method {
            "head" => entry.get("get"),
            _ => None,
        })?;
        Some((fit(template, &path)?, template, operation))
    });
    let (_, template, operation) = fitting.max_by_key(|(words, ..)| *words)?;
    Some((format!("{method} {template}"), operation))
}

/// Adds the named schemas that a schema refers to, and those that these refer to.
fn collect(schema: &Value, found: &mut Map<String, Value>) {
    match schema {
        Value::Object(map) => {
            let reference = map.get("$ref").and_then(Value::as_str);
            if let Some(name) = reference.and_then(|text| text.strip_prefix(SCHEMAS))
                && !found.contains_key(name)
            {
                let named = &document()["components"]["schemas"][name];
                found.insert(name.to_owned(), named.clone());
                collect(named, found);
            }
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => (),
    }
}

/// Validators by place in the document and minor version: making one takes longer than using it.
type Known = HashMap<(String, u16), Arc<Validator>>;

fn validator(place: &str, schema: &Value, version: Microversion) -> Arc<Validator> {
    static KNOWN: OnceLock<Mutex<Known>> = OnceLock::new();
    let known = KNOWN.get_or_init(Mutex::default);
    let key = (place.to_owned(), version.0);
    if let Some(found) = known.lock().unwrap().get(&key) {
        return found.clone();
    }
    let mut named = Map::new();
    collect(schema, &mut named);
    let mut root = json!({"allOf": [schema], "components": {"schemas": named}});
    at_version(&mut root, version);
    let built = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .should_validate_formats(true)
        .build(&root)
        .unwrap_or_else(|error| panic!("the schema of {place}: {error}"));
    let built = Arc::new(built);
    known.lock().unwrap().insert(key, built.clone());
    built
}

fn validate(
    place: &str,
    schema: &Value,
    version: Microversion,
    value: &Value,
) -> Result<(), String> {
    let validator = validator(place, schema, version);
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(format!("{place}: {}", errors.join("; "))),
    }
}
