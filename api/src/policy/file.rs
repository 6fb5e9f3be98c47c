//! The policy file: YAML (hence JSON too), one `"rule": "expression"` a line.

use std::collections::HashSet;
use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::check::Check;
use super::error::{Error, ErrorKind};
use super::parse::parse as parse_check;

/// Largest file read: far more than all rules with long expressions.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most rules in a file, helpers of the writer's own among them.
const RULES_MAX: usize = 1024;

/// A rule's name and its new expression.
pub(super) type Entry = (String, Check<String>);

/// The text of the file at `path`.
pub(super) fn read(path: &Path) -> Result<String, Error> {
    let unreadable =
        |error: std::io::Error| Error::new(ErrorKind::Unreadable, error.to_string()).in_file(path);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    let length = limited.read_to_string(&mut text).map_err(unreadable)?;
    if length as u64 > FILE_BYTES_MAX {
        let message = format!("more than {FILE_BYTES_MAX} bytes");
        return Err(Error::new(ErrorKind::TooLarge, message).in_file(path));
    }
    Ok(text)
}

/// The rules in a file's text; none if it has comments alone.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Error> {
    let lines: Option<Lines> = serde_yaml_ng::from_str(text)
        .map_err(|error| Error::new(ErrorKind::Syntax, error.to_string()))?;
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    for (name, expression) in lines.unwrap_or_default().0 {
        let wrong = |reason: &str| Error::of_rule(ErrorKind::Syntax, &name, reason);
        if !seen.insert(name.clone()) {
            return Err(wrong("is there twice"));
        }
        let check = parse_check(&expression).map_err(|reason| wrong(&reason))?;
        entries.push((name, check));
    }
    Ok(entries)
}

/// All lines as they stand; a map would keep one of two lines of the same rule.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LinesVisitor)
    }
}

struct LinesVisitor;

impl<'de> Visitor<'de> for LinesVisitor {
    type Value = Lines;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lines of the form \"rule\": \"expression\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lines, A::Error> {
        let mut lines = Vec::new();
        while let Some(line) = map.next_entry()? {
            if lines.len() == RULES_MAX {
                return Err(A::Error::custom(format!("more than {RULES_MAX} rules")));
            }
            lines.push(line);
        }
        Ok(Lines(lines))
    }
}
