//! Whether a pool can hold volumes of a type: the extra specs against the pool's capabilities, by
//! the rules of the real service's capabilities filter.
//!
//! Keys with a scope other than `capabilities:` are for drivers and say nothing here.

use serde_json::{Value, json};
use uuid::Uuid;

use super::records::VolumeType;
use super::{misc, services as service_states};
use crate::catalogue::{self, View};
use crate::server::Services;

/// Whether the pool takes volumes, and can hold those of a type.
///
/// # Errors
/// Those of the catalogue.
pub(super) fn is_placeable(
    services: &Services,
    view: &impl View,
    volume_type: Uuid,
) -> catalogue::Result<bool> {
    if !service_states::is_enabled(view, misc::backend(services))? {
        return Ok(false);
    }
    let found = view.get::<VolumeType>(&volume_type)?;
    let pool = json!(misc::pool(services));
    Ok(found.is_none_or(|found| fits(&found, &pool)))
}

/// Whether a pool with these capabilities can hold volumes of a type.
fn fits(volume_type: &VolumeType, capabilities: &Value) -> bool {
    let specs = volume_type.extra_specs.iter();
    specs
        .filter_map(|(key, wanted)| Some((path_of(key)?, wanted.as_deref())))
        .all(|(path, wanted)| {
            let found = path.iter().try_fold(capabilities, |at, part| at.get(part));
            match found {
                None => false,
                Some(Value::Array(values)) => values.iter().any(|value| matches(value, wanted)),
                Some(value) => matches(value, wanted),
            }
        })
}

/// The capability that an extra spec is about; `None` when it is not for the scheduler.
fn path_of(key: &str) -> Option<Vec<&str>> {
    let mut parts: Vec<&str> = key.split(':').collect();
    if parts[0] == "capabilities" {
        parts.remove(0);
    } else if parts.len() > 1 {
        return None;
    }
    Some(parts)
}

/// Whether a capability is as an extra spec wants it: `>= 5`, `<is> True`, `<or> a <or> b`, or just
/// the value.
fn matches(value: &Value, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else {
        return value.is_null();
    };
    let text = match value {
        Value::Null => return false,
        Value::String(text) => text.clone(),
        other => super::validate::repr(other),
    };
    let mut words = wanted.split_whitespace();
    let (operator, operand) = (words.next().unwrap_or_default(), words.next());
    let holds = |compare: fn(&f64, &f64) -> bool| {
        let operand = operand.and_then(|operand| operand.parse().ok());
        let pair = text.parse::<f64>().ok().zip(operand);
        pair.is_some_and(|(left, right)| compare(&left, &right))
    };
    let operand_text = operand.unwrap_or_default();
    match operator {
        "=" | ">=" => holds(f64::ge),
        "==" => holds(f64::eq),
        "!=" => holds(f64::ne),
        "<=" => holds(f64::le),
        "s==" => text == operand_text,
        "s!=" => operand.is_some() && text != operand_text,
        "s<" => operand.is_some() && text.as_str() < operand_text,
        "s<=" => operand.is_some() && text.as_str() <= operand_text,
        "s>" => operand.is_some() && text.as_str() > operand_text,
        "s>=" => operand.is_some() && text.as_str() >= operand_text,
        "<in>" => operand.is_some() && text.contains(operand_text),
        "<is>" => operand.is_some() && is_true(&text) == is_true(operand_text),
        "<or>" => wanted.split("<or>").any(|choice| choice.trim() == text),
        _ => text == wanted,
    }
}

fn is_true(text: &str) -> bool {
    let text = text.to_lowercase();
    ["1", "t", "true", "on", "y", "yes"].contains(&text.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::fits;
    use crate::cinder::records::VolumeType;

    fn type_with(specs: &Value) -> VolumeType {
        serde_json::from_value(json!({
            "id": uuid::Uuid::nil(), "name": "t", "description": null, "is_public": true,
            "extra_specs": specs, "projects": [], "created_us": 1, "updated_us": null,
        }))
        .unwrap()
    }

    #[test]
    fn table_of_extra_specs() {
        let pool = json!({
            "vendor_name": "cinderblock", "multiattach": true, "free_capacity_gb": 12.5,
            "storage_protocol": ["nbd", "NBD"], "nested": {"depth": 2},
        });
        for (key, wanted, fit) in [
            ("vendor_name", "cinderblock", true),
            ("vendor_name", "another", false),
            ("vendor_name", "<or> other <or> cinderblock", true),
            ("vendor_name", "s!= other", true),
            ("vendor_name", "<in> block", true),
            ("multiattach", "<is> True", true),
            ("multiattach", "<is> False", false),
            ("free_capacity_gb", ">= 12", true),
            ("free_capacity_gb", "<= 12", false),
            ("free_capacity_gb", ">=", false),
            ("free_capacity_gb", "= many", false),
            ("storage_protocol", "NBD", true),
            ("capabilities:nested:depth", "2", true),
            ("nested:depth", "3", true),
            ("colour", "red", false),
        ] {
            let volume_type = type_with(&json!({ key: wanted }));
            assert_eq!(fits(&volume_type, &pool), fit, "{key} {wanted}");
        }
        assert!(fits(&type_with(&json!({})), &json!({})));
        let null = type_with(&json!({"vendor_name": null}));
        assert!(!fits(&null, &pool));
    }
}
