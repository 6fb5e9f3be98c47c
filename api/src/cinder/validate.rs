//! Checks of request bodies, with the texts of the real service's JSON schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::fault::Fault;

/// Longest name, description and metadata value.
pub(super) const TEXT_MAX: usize = 255;
/// Largest size in GiB that the schema lets through.
pub(super) const SIZE_MAX: i64 = 2_147_483_647;

/// Where volumes are encrypted.
pub(super) const CONTROL_LOCATIONS: [&str; 2] = ["front-end", "back-end"];

pub(super) const TRUE_WORDS: [&str; 12] = [
    "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t",
];
pub(super) const FALSE_WORDS: [&str; 13] = [
    "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f", "",
];

/// A value as Python writes it inside a text.
pub(crate) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(repr).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| format!("{}: {}", quoted(key), repr(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text in Python's quotes: double ones only where that spares an escape.
pub(crate) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut shown = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if letter == quote => shown.extend(['\\', letter]),
            _ if u32::from(letter) < 0x20 || letter == '\u{7f}' => {
                shown.push_str(&format!("\\x{:02x}", u32::from(letter)));
            }
            _ => shown.push(letter),
        }
    }
    shown.push(quote);
    shown
}

/// A value as Python prints it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// The schema fault of one attribute.
pub(super) fn invalid(name: &str, value: &Value, reason: &str) -> Fault {
    Fault::bad_request(format!(
        "Invalid input for field/attribute {name}. Value: {}. {reason}",
        shown(value)
    ))
}

/// The object under the one key that a body must have.
pub(super) fn wrapped<'a>(body: &'a Value, key: &str) -> Result<&'a Map<String, Value>, Fault> {
    let missing = || Fault::bad_request(format!("'{key}' is a required property"));
    let body = match body {
        Value::Object(body) => body,
        Value::Null => return Err(Fault::bad_request("Malformed request body")),
        other => {
            let reason = format!("{} is not of type 'object'", repr(other));
            return Err(Fault::bad_request(reason));
        }
    };
    let value = body.get(key).ok_or_else(missing)?;
    value.as_object().ok_or_else(|| {
        invalid(
            key,
            value,
            &format!("{} is not of type 'object'", repr(value)),
        )
    })
}

/// Refuses keys outside `allowed`.
pub(super) fn only(name: &str, map: &Map<String, Value>, allowed: &[&str]) -> Result<(), Fault> {
    let mut unknown: Vec<&str> = map
        .keys()
        .map(String::as_str)
        .filter(|key| !allowed.contains(key))
        .collect();
    unknown.sort_unstable();
    let quoted: Vec<String> = unknown.iter().map(|key| format!("'{key}'")).collect();
    let reason = match unknown.len() {
        0 => return Ok(()),
        1 => format!(
            "Additional properties are not allowed ({} was unexpected)",
            quoted[0]
        ),
        _ => format!(
            "Additional properties are not allowed ({} were unexpected)",
            quoted.join(", ")
        ),
    };
    Err(invalid(name, &Value::Object(map.clone()), &reason))
}

/// A text or null under `key`; blanks at the ends are cut off. Absent and null are `None`.
pub(super) fn text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let text = text.trim();
            let length = text.chars().count();
            if length > TEXT_MAX {
                return Err(Fault::bad_request(format!(
                    "Invalid input received: {key} has {length} characters, more than {TEXT_MAX}."
                )));
            }
            Ok(Some(text.to_owned()))
        }
        Some(other) => {
            let reason = format!("{} is not of type 'string', 'null'", repr(other));
            Err(invalid(key, other, &reason))
        }
    }
}

/// A UUID or null under `key`; anything else finds nothing, as `missing` says.
pub(super) fn reference(
    map: &Map<String, Value>,
    key: &str,
    missing: impl FnOnce(&str) -> Fault,
) -> Result<Option<Uuid>, Fault> {
    match text(map, key)? {
        None => Ok(None),
        Some(text) => match Uuid::parse_str(&text) {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(missing(&text)),
        },
    }
}

/// A UUID or null under `key`.
pub(super) fn id(map: &Map<String, Value>, key: &str) -> Result<Option<Uuid>, Fault> {
    let value = match map.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    match value.as_str().map(Uuid::parse_str) {
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) | None => Err(no_schema(key, value)),
    }
}

fn no_schema(key: &str, value: &Value) -> Fault {
    let reason = format!(
        "{} is not valid under any of the given schemas",
        repr(value)
    );
    invalid(key, value, &reason)
}

/// Hints where a volume should be: there is one place, so they change nothing, but they must be of
/// the right form.
pub(super) fn scheduler_hints(body: &Value) -> Result<(), Fault> {
    const KEY: &str = "OS-SCH-HNT:scheduler_hints";
    let hints = match body.get(KEY) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(hints)) => hints,
        Some(other) => {
            let reason = format!("{} is not of type 'object', 'null'", repr(other));
            return Err(invalid(KEY, other, &reason));
        }
    };
    id(hints, "local_to_instance")?;
    for key in ["different_host", "same_host"] {
        match hints.get(key) {
            Some(value) if !is_ids(value) => return Err(no_schema(key, value)),
            Some(_) | None => (),
        }
    }
    match hints.get("query") {
        None | Some(Value::String(_) | Value::Object(_)) => Ok(()),
        Some(other) => {
            let reason = format!("{} is not of type 'string', 'object'", repr(other));
            Err(invalid("query", other, &reason))
        }
    }
}

/// Whether a value is a UUID or a list of different ones.
fn is_ids(value: &Value) -> bool {
    let is_id = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| Uuid::parse_str(text).is_ok())
    };
    match value.as_array() {
        None => is_id(value),
        Some(items) => {
            let different = |(at, item)| !items[..at].contains(item);
            items.iter().all(is_id) && items.iter().enumerate().all(different)
        }
    }
}

/// A size in GiB: a number or a text of digits, at least 1.
pub(super) fn size(map: &Map<String, Value>, key: &str) -> Result<Option<u64>, Fault> {
    let Some(value) = map.get(key) else {
        return Ok(None);
    };
    let number = match value {
        Value::Null => return Ok(None),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            number.as_i64().unwrap_or(i64::MAX)
        }
        Value::String(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().unwrap_or(i64::MAX)
        }
        Value::String(_) => {
            let reason = format!("{} does not match '^[0-9]+$'", repr(value));
            return Err(invalid(key, value, &reason));
        }
        other => {
            let reason = format!("{} is not of type 'integer', 'string', 'null'", repr(other));
            return Err(invalid(key, other, &reason));
        }
    };
    if number < 1 {
        let reason = format!("{number} is less than the minimum of 1");
        return Err(invalid(key, value, &reason));
    }
    if number > SIZE_MAX {
        let reason = format!("{number} is greater than the maximum of {SIZE_MAX}");
        return Err(invalid(key, value, &reason));
    }
    Ok(Some(number.unsigned_abs()))
}

/// A boolean in one of its many spellings.
pub(super) fn flag(map: &Map<String, Value>, key: &str) -> Result<Option<bool>, Fault> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) if TRUE_WORDS.contains(&text.as_str()) => Ok(Some(true)),
        Some(Value::String(text)) if FALSE_WORDS.contains(&text.as_str()) => Ok(Some(false)),
        Some(other) => {
            let quoted = |words: &[&str]| {
                words
                    .iter()
                    .map(|word| format!("'{word}'"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let (yes, no) = (quoted(&TRUE_WORDS), quoted(&FALSE_WORDS[..12]));
            let reason = format!("{} is not one of [True, {yes}, False, {no}]", repr(other));
            Err(invalid(key, other, &reason))
        }
    }
}

/// As [`flag`], where the schema also takes null and so says less of what it refuses.
pub(super) fn flag_or_null(map: &Map<String, Value>, key: &str) -> Result<Option<bool>, Fault> {
    let refused = |_| no_schema(key, map.get(key).unwrap_or(&Value::Null));
    flag(map, key).map_err(refused)
}

/// A name of at most 255 characters or null, as the schema of snapshots words it.
pub(super) fn short_text(map: &Map<String, Value>, key: &str) -> Result<Option<String>, Fault> {
    match map.get(key) {
        Some(Value::String(text)) if text.trim().chars().count() > TEXT_MAX => {
            Err(invalid(key, &map[key], &format!("'{text}' is too long")))
        }
        _ => text(map, key),
    }
}

/// Metadata: texts by keys of 1 to 255 characters.
pub(super) fn metadata(
    map: &Map<String, Value>,
    name: &str,
) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let pairs = match map.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(pairs)) => pairs,
        Some(other) => {
            let reason = format!("{} is not of type 'object', 'null'", repr(other));
            return Err(invalid(name, other, &reason));
        }
    };
    let mut metadata = BTreeMap::new();
    for (key, value) in pairs {
        let fits = !key.is_empty()
            && key.chars().count() <= TEXT_MAX
            && key
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_:. /".contains(c));
        if !fits {
            let reason = format!(
                "'{key}' does not match any of the regexes: '^[a-zA-Z0-9-_:. /]{{1,255}}$'"
            );
            return Err(invalid(name, &Value::Object(pairs.clone()), &reason));
        }
        let Value::String(text) = value else {
            let reason = format!("{} is not of type 'string'", repr(value));
            return Err(invalid(key, value, &reason));
        };
        if text.chars().count() > TEXT_MAX {
            return Err(invalid(key, value, &format!("'{text}' is too long")));
        }
        metadata.insert(key.clone(), text.clone());
    }
    Ok(Some(metadata))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{metadata, only, size, text};

    #[test]
    fn texts_are_those_of_the_schemas() {
        let body = json!({"size": -1, "name": 5, "colour": "red", "metadata": {"a": 1}});
        let map = body.as_object().unwrap();
        let says = |fault: crate::fault::Fault| fault.message().to_owned();
        assert_eq!(
            says(size(map, "size").unwrap_err()),
            "Invalid input for field/attribute size. Value: -1. -1 is less than the minimum of 1"
        );
        assert_eq!(
            says(text(map, "name").unwrap_err()),
            "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string', 'null'"
        );
        assert_eq!(
            says(metadata(map, "metadata").unwrap_err()),
            "Invalid input for field/attribute a. Value: 1. 1 is not of type 'string'"
        );
        let unknown = only("volume", map, &["size", "name", "metadata"]).unwrap_err();
        assert!(
            unknown
                .message()
                .ends_with("not allowed ('colour' was unexpected)")
        );
    }
}
