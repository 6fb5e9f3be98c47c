//! One filter of a list, read once and asked of many values.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::Listed;
use crate::fault::Fault;

/// The pairs of a text such as `{'a': 'b'}`.
type Pairs = BTreeMap<String, String>;

/// A comparison with a point in time, as texts of one form compare.
#[derive(Debug)]
pub(super) struct Comparison {
    holds: fn(Ordering) -> bool,
    time: String,
}

impl Comparison {
    /// Whether it holds of a time. Only as much is compared as was given: seconds, mostly.
    pub(super) fn holds(&self, value: &str) -> bool {
        (self.holds)(self.order(value))
    }

    /// How a time compares with the given one.
    pub(super) fn order(&self, value: &str) -> Ordering {
        let as_far = value.get(..self.time.len()).unwrap_or(value);
        as_far.cmp(&self.time)
    }

    /// Whether it holds of what compares so.
    pub(super) fn accepts(&self, ordering: Ordering) -> bool {
        (self.holds)(ordering)
    }
}

/// What is asked of a value.
#[derive(Debug)]
pub(super) enum Test {
    /// A part of the text.
    Contains(String),
    /// Points in time.
    Within(Vec<Comparison>),
    /// Pairs of metadata that must be there; `None` cannot be read and matches nothing.
    Pairs(Option<Pairs>),
    /// A yes or no in any case.
    Flag(String),
    /// The whole text; null is `None`.
    Equals(String),
    /// One of some texts; null is none of them.
    OneOf(Vec<String>),
}

/// A filter: a column and what is asked of it.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) column: String,
    pub(super) test: Test,
}

impl Condition {
    /// Reads a filter.
    ///
    /// # Errors
    /// 400 for a time that is none.
    pub(super) fn parse(key: &str, wanted: &str) -> Result<Self, Fault> {
        let (column, test) = match key.strip_suffix('~') {
            Some(column) => (column, Test::Contains(wanted.to_owned())),
            None => (key, Self::test(key, wanted)?),
        };
        Ok(Self {
            column: column.to_owned(),
            test,
        })
    }

    fn test(key: &str, wanted: &str) -> Result<Test, Fault> {
        Ok(match key {
            "created_at" | "updated_at" => Test::Within(times(wanted)?),
            "metadata" => Test::Pairs(serde_json::from_str(&wanted.replace('\'', "\"")).ok()),
            "bootable" => Test::Flag(match wanted {
                "1" => "true".to_owned(),
                "0" => "false".to_owned(),
                _ => wanted.to_owned(),
            }),
            _ => Test::Equals(wanted.to_owned()),
        })
    }

    /// The host that is asked for, if one is.
    pub(super) fn host(&self) -> Option<&str> {
        match &self.test {
            Test::Equals(host) if self.column == "host" => Some(host),
            _ => None,
        }
    }

    /// Whether a record passes.
    pub(super) fn passes<R: Listed>(&self, record: &R) -> bool {
        if let Test::Pairs(wanted) = &self.test {
            let pairs = record.pairs().zip(wanted.as_ref());
            return pairs.is_some_and(|(pairs, wanted)| has_pairs(pairs, wanted));
        }
        record
            .column(&self.column)
            .is_some_and(|value| self.holds(value.as_deref()))
    }

    /// Whether no record of this kind passes, as there is no such column.
    pub(super) fn is_of_nothing<R: Listed>(&self, record: &R) -> bool {
        !matches!(self.test, Test::Pairs(_)) && record.column(&self.column).is_none()
    }

    /// Whether a value of the column passes; that of metadata is the JSON of its pairs.
    pub(super) fn holds(&self, value: Option<&str>) -> bool {
        match &self.test {
            Test::Contains(part) => value.is_some_and(|value| value.contains(part)),
            Test::Within(all) => value.is_some_and(|value| all.iter().all(|one| one.holds(value))),
            Test::Pairs(wanted) => value
                .zip(wanted.as_ref())
                .is_some_and(|(value, wanted)| has_pairs_json(value, wanted)),
            Test::Flag(wanted) => value.unwrap_or("None").eq_ignore_ascii_case(wanted),
            Test::Equals(wanted) => value.unwrap_or("None") == wanted,
            Test::OneOf(all) => value.is_some_and(|value| all.iter().any(|one| one == value)),
        }
    }
}

/// Reads `gt:2020-01-01T00:00:00,lt:...`.
fn times(text: &str) -> Result<Vec<Comparison>, Fault> {
    let one = |part: &str| {
        let (word, time) = part.split_once(':').unwrap_or((part, ""));
        let holds: fn(Ordering) -> bool = match word {
            "gt" => Ordering::is_gt,
            "gte" => Ordering::is_ge,
            "eq" => Ordering::is_eq,
            "neq" => Ordering::is_ne,
            "lt" => Ordering::is_lt,
            "lte" => Ordering::is_le,
            _ => return Err(Fault::bad_request(format!("Invalid {word} operator"))),
        };
        let time = time.trim_end_matches('Z').replace(' ', "T");
        Ok(Comparison { holds, time })
    };
    text.split(',').map(one).collect()
}

fn has_pairs(pairs: &Pairs, wanted: &Pairs) -> bool {
    wanted
        .iter()
        .all(|(key, value)| pairs.get(key) == Some(value))
}

fn has_pairs_json(json: &str, wanted: &Pairs) -> bool {
    // Most texts are told apart without reading them.
    let escaped = |letter: char| letter == '"' || letter == '\\' || letter.is_control();
    let may = |text: &String| text.contains(escaped) || json.contains(text.as_str());
    wanted.iter().all(|(key, value)| may(key) && may(value))
        && serde_json::from_str(json).is_ok_and(|pairs| has_pairs(&pairs, wanted))
}
