//! Checks of the bodies of admin calls, which have no wrapper.

use serde_json::{Map, Value};

use crate::cinder::validate;
use crate::fault::Fault;

/// Longest text.
const TEXT_MAX: usize = 255;

/// The body as an object with no other keys than these.
pub(super) fn object<'a>(body: &'a Value, keys: &[&str]) -> Result<&'a Map<String, Value>, Fault> {
    let Value::Object(map) = body else {
        return Err(Fault::bad_request("Malformed request body"));
    };
    let mut unknown: Vec<String> = map
        .keys()
        .filter(|key| !keys.contains(&key.as_str()))
        .map(|key| format!("'{key}'"))
        .collect();
    unknown.sort_unstable();
    match unknown.len() {
        0 => Ok(map),
        one => Err(Fault::bad_request(format!(
            "Additional properties are not allowed ({} {} unexpected)",
            unknown.join(", "),
            if one == 1 { "was" } else { "were" }
        ))),
    }
}

/// A text under `key`, at least one character long; `None` when absent.
pub(super) fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    let Some(value) = map.get(key) else {
        return Ok(None);
    };
    let shown = validate::repr(value);
    let refused = |what: &str| Err(validate::invalid(key, value, &format!("{shown} {what}")));
    match value.as_str() {
        None => refused("is not of type 'string'"),
        Some("") => refused("is too short"),
        Some(text) if text.chars().count() > TEXT_MAX => refused("is too long"),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// As [`text`], of which null and the empty text are none.
pub(super) fn nullable(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match map.get(key) {
        Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(_)) | None => text(map, key),
        Some(other) => {
            let reason = format!("{} is not of type 'string', 'null'", validate::repr(other));
            Err(validate::invalid(key, other, &reason))
        }
    }
}

/// The name of a host, or null.
pub(super) fn host(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    if map.get("host").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let host = text(map, "host")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._#@:/+[]".contains(c);
    match host {
        Some(host) if !host.chars().all(fits) => {
            let reason = format!("'{host}' does not match '^[a-zA-Z0-9-._#@:/+\\\\[\\\\]]*$'");
            Err(validate::invalid("host", &map["host"], &reason))
        }
        host => Ok(host),
    }
}

/// Which of host and cluster a body names.
pub(super) enum Place {
    Host(String),
    Cluster(String),
}

/// The one of host and cluster that must be named; clusters count since a microversion alone.
pub(super) fn place(map: &Map<String, Value>, clusters: bool) -> Result<Place, Fault> {
    let host = host(map)?;
    let cluster = nullable(map, "cluster")?.filter(|_| clusters);
    match (host, cluster) {
        (Some(host), None) => Ok(Place::Host(host)),
        (None, Some(cluster)) => Ok(Place::Cluster(cluster)),
        _ if clusters => Err(Fault::bad_request(
            "Invalid input received: One and only one of cluster and host must be set.",
        )),
        _ => Err(Fault::bad_request(
            "Invalid input received: Host field is missing.",
        )),
    }
}
