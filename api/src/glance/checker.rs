//! Holds bodies against the schemas that the service shows, with the real service's words.
//!
//! Only the keywords that these schemas have are known. The patterns among them are ids.

use serde_json::Value;

use super::python::pretty;
use super::records::parse_id;
use crate::cinder::repr;
use crate::fault::Fault;

/// The one pattern of the schemas: an id.
pub(super) const ID_PATTERN: &str =
    "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$";

/// Deepest body that is looked at.
const DEPTH_MAX: usize = 32;

/// What does not fit, and where.
struct Misfit {
    reason: String,
    keyword: &'static str,
    schema: Value,
    schema_path: Vec<String>,
    instance: Value,
    path: Vec<String>,
}

/// Checks a body against a schema.
///
/// # Errors
/// 400 naming the schema and what does not fit.
pub(super) fn check(schema: &Value, value: &Value) -> Result<(), Fault> {
    let name = schema["name"].as_str().unwrap_or_default();
    let misfit = match misfit(schema, schema, value, DEPTH_MAX) {
        None => return Ok(()),
        Some(misfit) => misfit,
    };
    let index = |parts: &[String]| {
        let quoted = parts.iter().map(|part| format!("[{part}]"));
        quoted.collect::<String>()
    };
    let set_in = |value: &Value| pretty(value, 0).replace('\n', "\n    ");
    Err(Fault::bad_request(format!(
        "Provided object does not match schema '{name}': {}\n\nFailed validating '{}' in \
         schema{}:\n    {}\n\nOn instance{}:\n    {}",
        misfit.reason,
        misfit.keyword,
        index(&misfit.schema_path),
        set_in(&misfit.schema),
        index(&misfit.path),
        set_in(&misfit.instance),
    )))
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn misfit(root: &Value, schema: &Value, value: &Value, depth: usize) -> Option<Misfit> {
    let schema = resolved(root, schema);
    let found = |keyword, reason| {
        Some(Misfit {
            reason,
            keyword,
            schema: schema.clone(),
            schema_path: Vec::new(),
            instance: value.clone(),
            path: Vec::new(),
        })
    };
    if depth == 0 {
        return found("type", "it is nested too deeply".to_owned());
    }
    if let Some((keyword, reason)) = own(schema, value) {
        return found(keyword, reason);
    }
    let all = schema.get("allOf").and_then(Value::as_array);
    let mut all = all.into_iter().flatten();
    if let Some(found) = all.find_map(|part| misfit(root, part, value, depth - 1)) {
        return Some(found);
    }
    within_object(root, schema, value, depth).or_else(|| within_array(root, schema, value, depth))
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let target = reference.and_then(|text| root.pointer(text.trim_start_matches('#')));
    target.unwrap_or(schema)
}

/// What does not fit of a value itself.
fn own(schema: &Value, value: &Value) -> Option<(&'static str, String)> {
    if let Some(kinds) = schema.get("type") {
        let fits = match kinds {
            Value::Array(kinds) => kinds
                .iter()
                .filter_map(Value::as_str)
                .any(|k| is_of(k, value)),
            kind => is_of(kind.as_str().unwrap_or_default(), value),
        };
        if !fits {
            let told = match kinds {
                Value::Array(kinds) => {
                    let kinds: Vec<String> = kinds.iter().map(repr).collect();
                    kinds.join(", ")
                }
                kind => repr(kind),
            };
            return Some(("type", format!("{} is not of type {told}", repr(value))));
        }
    }
    if let Some(Value::Array(words)) = schema.get("enum")
        && !words.contains(value)
    {
        let words = repr(&Value::Array(words.clone()));
        return Some(("enum", format!("{} is not one of {words}", repr(value))));
    }
    if let Value::String(text) = value {
        return own_text(schema, text)
            .map(|(keyword, reason)| (keyword, format!("{} {reason}", repr(value))));
    }
    own_count(schema, value).or_else(|| own_list(schema, value))
}

fn own_list(schema: &Value, value: &Value) -> Option<(&'static str, String)> {
    let items = value.as_array()?;
    let least = schema.get("minItems").and_then(Value::as_u64);
    if least.is_some_and(|least| (items.len() as u64) < least) {
        return Some(("minItems", format!("{} is too short", repr(value))));
    }
    let once = schema.get("uniqueItems") == Some(&Value::Bool(true));
    let twice = |(at, item): (usize, &Value)| items[..at].contains(item);
    let repeats = once && items.iter().enumerate().any(twice);
    repeats.then(|| {
        let reason = format!("{} has non-unique elements", repr(value));
        ("uniqueItems", reason)
    })
}

fn own_text(schema: &Value, text: &str) -> Option<(&'static str, String)> {
    let length = text.chars().count() as u64;
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    if limit("maxLength").is_some_and(|max| length > max) {
        return Some(("maxLength", "is too long".to_owned()));
    }
    if limit("minLength").is_some_and(|min| length < min) {
        return Some(("minLength", "is too short".to_owned()));
    }
    let pattern = schema.get("pattern")?.as_str()?;
    debug_assert_eq!(pattern, ID_PATTERN, "another pattern needs another check");
    match parse_id(text) {
        Some(_) => None,
        None => Some(("pattern", format!("does not match '{pattern}'"))),
    }
}

fn own_count(schema: &Value, value: &Value) -> Option<(&'static str, String)> {
    let least = schema.get("minimum").and_then(Value::as_i64)?;
    let given = value.as_i64()?;
    (given < least).then(|| {
        let reason = format!("{given} is less than the minimum of {least}");
        ("minimum", reason)
    })
}

fn below(inner: Misfit, schema_path: &[&str], path: String) -> Misfit {
    let mut inner = inner;
    let quoted = schema_path.iter().map(|part| format!("'{part}'"));
    inner.schema_path = quoted.chain(inner.schema_path).collect();
    inner.path.insert(0, path);
    inner
}

fn within_object(root: &Value, schema: &Value, value: &Value, depth: usize) -> Option<Misfit> {
    let map = value.as_object()?;
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Value::as_object);
    let properties = properties.unwrap_or(&empty);
    let fault = |keyword, reason| Misfit {
        reason,
        keyword,
        schema: schema.clone(),
        schema_path: Vec::new(),
        instance: value.clone(),
        path: Vec::new(),
    };
    for (key, inner) in map {
        let quoted = repr(&Value::String(key.clone()));
        let misfit = match (properties.get(key), schema.get("additionalProperties")) {
            (Some(own), _) => misfit(root, own, inner, depth - 1)
                .map(|found| below(found, &["properties", key], quoted)),
            (None, Some(Value::Bool(false))) => Some(fault(
                "additionalProperties",
                format!("Additional properties are not allowed ({quoted} was unexpected)"),
            )),
            (None, Some(others @ Value::Object(_))) => misfit(root, others, inner, depth - 1)
                .map(|found| below(found, &["additionalProperties"], quoted)),
            (None, _) => None,
        };
        if misfit.is_some() {
            return misfit;
        }
    }
    let required = schema.get("required").and_then(Value::as_array)?;
    let missing = required
        .iter()
        .find(|key| key.as_str().is_some_and(|key| !map.contains_key(key)))?;
    Some(fault(
        "required",
        format!("{} is a required property", repr(missing)),
    ))
}

fn within_array(root: &Value, schema: &Value, value: &Value, depth: usize) -> Option<Misfit> {
    let items = schema.get("items")?;
    value.as_array()?.iter().enumerate().find_map(|(at, item)| {
        let found = misfit(root, items, item, depth - 1)?;
        Some(below(found, &["items"], at.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn misfits_are_told_in_the_real_services_words() {
        let formats = json!([null, "raw"]);
        let schema = json!({
            "name": "image",
            "properties": {"disk_format": {"type": ["null", "string"], "enum": formats}},
            "additionalProperties": {"type": "string"},
        });
        let told = |body| check(&schema, &body).unwrap_err().message().to_owned();
        assert_eq!(
            told(json!({"disk_format": "zz"})),
            "Provided object does not match schema 'image': 'zz' is not one of [None, 'raw']\n\n\
             Failed validating 'enum' in schema['properties']['disk_format']:\n    {'type': \
             ['null', 'string'], 'enum': [None, 'raw']}\n\nOn instance['disk_format']:\n    'zz'"
        );
        assert!(told(json!({"x": 1})).contains("1 is not of type 'string'"));
    }
}
