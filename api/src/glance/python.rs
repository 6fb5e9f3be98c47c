//! Values over several lines in the words of the real service's language, which its refusals quote.

use serde_json::Value;

use crate::cinder::{python_quoted as quoted, repr};

/// Columns of a line, beyond which parts get lines of their own.
const WIDTH: usize = 72;

/// A value over as many lines as it needs; those after the first are set in by `indent`.
pub(super) fn pretty(value: &Value, indent: usize) -> String {
    let line = repr(value);
    if line.chars().count() + indent <= WIDTH {
        return line;
    }
    let gap = format!(",\n{}", " ".repeat(indent + 1));
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| pretty(item, indent + 1)).collect();
            format!("[{}]", items.join(&gap))
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| {
                let key = quoted(key);
                let value = pretty(value, indent + 1 + key.chars().count() + 2);
                format!("{key}: {value}")
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(&gap))
        }
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{pretty, repr};

    #[test]
    fn values_are_written_as_the_real_service_writes_them() {
        let value = json!({"a": [null, true, "it's"], "b": 1});
        assert_eq!(pretty(&value, 0), repr(&value));
        let long = json!({"type": ["null", "string"], "enum": vec!["x".repeat(20); 4]});
        let x = "x".repeat(20);
        assert_eq!(
            pretty(&long, 0),
            format!(
                "{{'type': ['null', 'string'],\n 'enum': ['{x}',\n          '{x}',\n          \
                 '{x}',\n          '{x}']}}"
            )
        );
    }
}
