//! Values in the words of the real service's language, which its refusals quote.

use serde_json::Value;

/// A value on one line.
pub(super) fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(repr).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let pairs = map.iter();
            let pairs: Vec<String> = pairs
                .map(|(key, value)| format!("{}: {}", quoted(key), repr(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mark = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut out = String::from(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(mark);
    out
}

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
        assert_eq!(repr(&value), r#"{'a': [None, True, "it's"], 'b': 1}"#);
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
