//! What a volume type's extra specs ask of a backend: a value, or an operator and a value.
//!
//! The operators are those of the real scheduler: `=`, `==`, `!=`, `>=`, `<=` compare numbers (`=`
//! is "at least"), those with an `s` compare texts, `<in>` looks for a part, `<is>` compares yes
//! and no, `<or>` lists alternatives.

use serde_json::{Map, Value};

use crate::page::truth;

/// Whether capabilities satisfy extra specs. Specs with a scope other than `capabilities` are meant
/// for somebody else.
pub(super) fn satisfy<'s>(
    capabilities: &Map<String, Value>,
    specs: impl IntoIterator<Item = (&'s String, &'s Option<String>)>,
) -> bool {
    specs.into_iter().all(|(key, wanted)| {
        let key = match key.split_once(':') {
            None => key.as_str(),
            Some(("capabilities", rest)) => rest,
            Some(_) => return true,
        };
        let found = key
            .split(':')
            .try_fold(None, |above: Option<&Value>, part| {
                let next = match above {
                    None => capabilities.get(part),
                    Some(above) => above.get(part),
                };
                next.map(Some)
            })
            .flatten();
        match found {
            None => false,
            Some(Value::Array(several)) => several.iter().any(|one| matches(one, wanted)),
            Some(one) => matches(one, wanted),
        }
    })
}

/// A capability as the comparisons of texts see it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether one capability is what a spec wants.
pub(super) fn matches(capability: &Value, wanted: &Option<String>) -> bool {
    let (found, wanted) = match (text_of(capability), wanted) {
        (None, None) => return true,
        (Some(found), Some(wanted)) => (found, wanted),
        _ => return false,
    };
    let mut words = wanted.split_whitespace();
    let operator = words.next().unwrap_or_default();
    if operator == "<or>" {
        // Every other word is the operator again.
        return words.step_by(2).any(|word| word == found);
    }
    match compare(operator, &found, words.next()) {
        Some(result) => result,
        None => found == *wanted,
    }
}

/// The result of an operator; `None` if it is none.
fn compare(operator: &str, found: &str, operand: Option<&str>) -> Option<bool> {
    let numbers = |test: fn(f64, f64) -> bool| {
        let pair = (found.parse().ok(), operand.and_then(|o| o.parse().ok()));
        matches!(pair, (Some(a), Some(b)) if test(a, b))
    };
    let texts = |test: fn(&str, &str) -> bool| operand.is_some_and(|o| test(found, o));
    Some(match operator {
        "=" | ">=" => numbers(|a, b| a >= b),
        "==" => numbers(|a, b| a.total_cmp(&b).is_eq()),
        "!=" => numbers(|a, b| a.total_cmp(&b).is_ne()),
        "<=" => numbers(|a, b| a <= b),
        "s==" => texts(|a, b| a == b),
        "s!=" => texts(|a, b| a != b),
        "s<" => texts(|a, b| a < b),
        "s<=" => texts(|a, b| a <= b),
        "s>" => texts(|a, b| a > b),
        "s>=" => texts(|a, b| a >= b),
        "<in>" => texts(|a, b| a.contains(b)),
        "<is>" => texts(|a, b| truth(a).unwrap_or(false) == truth(b).unwrap_or(false)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{matches, satisfy};

    #[test]
    fn operators_are_those_of_the_real_scheduler() {
        let yes = |value: Value, spec: &str| assert!(matches(&value, &Some(spec.into())), "{spec}");
        let no = |value: Value, spec: &str| assert!(!matches(&value, &Some(spec.into())), "{spec}");
        yes(json!("fast"), "fast");
        no(json!("fast"), "slow");
        yes(json!(true), "<is> True");
        yes(json!(true), "True");
        yes(json!(false), "<is> no");
        no(json!(true), "<is> False");
        yes(json!("fast-ssd"), "<in> ssd");
        no(json!("fast"), "<in> ssd");
        yes(json!(10), ">= 10");
        yes(json!(10), "= 9");
        no(json!(10), "<= 9.5");
        yes(json!(10.0), "== 10");
        yes(json!("b"), "s>= a");
        no(json!("b"), "s== a");
        yes(json!("b"), "s!= a");
        yes(json!("b"), "<or> a <or> b");
        no(json!("c"), "<or> a <or> b");
        no(json!("x"), ">= 1");
        no(json!("x"), "<is>");
        no(json!("x"), "<or>");
        no(Value::Null, "x");
        assert!(matches(&Value::Null, &None));
        assert!(!matches(&json!("x"), &None));
    }

    #[test]
    fn scopes_other_than_capabilities_are_not_ours() {
        let capabilities =
            json!({"volume_backend_name": "a", "tier": {"kind": "ssd"}, "list": [1, 2]});
        let Value::Object(capabilities) = capabilities else {
            panic!("an object");
        };
        let passes = |key: &str, value: &str| {
            let (key, value) = (key.to_owned(), Some(value.to_owned()));
            satisfy(&capabilities, [(&key, &value)])
        };
        assert!(passes("volume_backend_name", "a"));
        assert!(passes("capabilities:volume_backend_name", "a"));
        assert!(passes("capabilities:tier:kind", "ssd"));
        assert!(passes("list", "== 2"));
        assert!(passes("vendor:anything", "x"));
        assert!(!passes("volume_backend_name", "b"));
        assert!(!passes("unheard_of", "x"));
        assert!(!passes("capabilities:tier:size", "x"));
    }
}
