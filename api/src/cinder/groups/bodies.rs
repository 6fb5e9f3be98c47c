//! Request bodies of groups and group snapshots, checked as the real service's schemas do.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cinder::type_calls::text;
use crate::cinder::validate::{self, invalid, repr};
use crate::fault::Fault;

use super::STATUSES;

/// Longest name of a type.
const NAME_MAX: usize = 255;

/// The object under the only key of a body, with keys out of `allowed` alone.
pub(super) fn sole<'a>(
    body: &'a Value,
    key: &str,
    allowed: &[&str],
) -> Result<&'a Map<String, Value>, Fault> {
    let map = validate::wrapped(body, key)?;
    alone(body, key)?;
    validate::only(key, map, allowed)?;
    Ok(map)
}

/// Refuses keys beside `key`.
pub(super) fn alone(body: &Value, key: &str) -> Result<(), Fault> {
    let other = body
        .as_object()
        .and_then(|body| body.keys().find(|other| *other != key));
    match other {
        None => Ok(()),
        Some(other) => Err(Fault::bad_request(format!(
            "Additional properties are not allowed ('{other}' was unexpected)"
        ))),
    }
}

/// The value that must be there.
pub(super) fn required<'a>(
    name: &str,
    map: &'a Map<String, Value>,
    key: &str,
) -> Result<&'a Value, Fault> {
    map.get(key).ok_or_else(|| {
        let reason = format!("'{key}' is a required property");
        invalid(name, &Value::Object(map.clone()), &reason)
    })
}

/// Name and description; absent and null are `None`.
pub(super) struct Texts {
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
}

impl Texts {
    pub(super) fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self {
            name: text(map, "name")?,
            description: text(map, "description")?,
        })
    }
}

/// A text of 1 to 255 characters besides blanks at its ends.
pub(super) fn word(key: &str, value: &Value) -> Result<String, Fault> {
    let Value::String(text) = value else {
        let reason = format!("{} is not of type 'string'", repr(value));
        return Err(invalid(key, value, &reason));
    };
    let text = text.trim();
    let length = text.chars().count();
    let limit = match length {
        0 => "minimum is 1".to_owned(),
        1..=NAME_MAX => return Ok(text.to_owned()),
        _ => format!("more than {NAME_MAX}"),
    };
    Err(Fault::bad_request(format!(
        "Invalid input received: {key} has {length} characters, {limit}."
    )))
}

/// A list of one or more different texts.
pub(super) fn names(key: &str, value: &Value) -> Result<Vec<String>, Fault> {
    let refused = |reason: &str| invalid(key, value, &format!("{} {reason}", repr(value)));
    let Value::Array(items) = value else {
        return Err(refused("is not of type 'array'"));
    };
    if items.is_empty() {
        return Err(refused("should be non-empty"));
    }
    let mut names = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let wrong = match item {
            Value::String(name) if name.chars().count() <= NAME_MAX => {
                if names.contains(name) {
                    return Err(refused("has non-unique elements"));
                }
                names.push(name.clone());
                continue;
            }
            Value::String(_) => "is too long",
            _ => "is not of type 'string'",
        };
        let reason = format!("{} {wrong}", repr(item));
        return Err(invalid(&at.to_string(), item, &reason));
    }
    Ok(names)
}

/// The UUID, which is no option of the schema to leave null.
pub(super) fn uuid(key: &str, value: &Value) -> Result<Uuid, Fault> {
    match value {
        Value::String(text) => Uuid::parse_str(text)
            .map_err(|_| invalid(key, value, &format!("{} is not a 'uuid'", repr(value)))),
        _ => {
            let reason = format!("{} is not of type 'string'", repr(value));
            Err(invalid(key, value, &reason))
        }
    }
}

/// The status that an action asks for; `kind` is what messages call the object.
pub(super) fn status(body: &Value, kind: &str) -> Result<String, Fault> {
    const ACTION: &str = "reset_status";
    let map = sole(body, ACTION, &["status"])?;
    let value = required(ACTION, map, "status")?;
    let Value::String(text) = value else {
        let reason = format!("{} is not of type 'string'", repr(value));
        return Err(invalid("status", value, &reason));
    };
    let refused = |reason: &str| {
        Err(Fault::bad_request(format!(
            "Invalid {kind} Status: {reason}"
        )))
    };
    if text.trim().is_empty() {
        return refused("The 'status' can not be empty.");
    }
    let status = text.to_lowercase();
    if STATUSES.contains(&status.as_str()) {
        return Ok(status);
    }
    let valid: Vec<String> = STATUSES.iter().map(|one| format!("'{one}'")).collect();
    let valid = valid.join(", ");
    refused(&match kind {
        "Group" => format!(
            "Group status: {text} is invalid, valid status are: ({}).",
            valid.replace("'updating', ", "'updating', 'in-use', ")
        ),
        _ => format!("Group snapshot status: {text} is invalid, valid statuses are: ({valid})."),
    })
}
