//! Shapes of JSON values, and what is said of a value that has another.
//!
//! A shape is a list of rules that are asked in order; the first that a value breaks is told, in the
//! words of the real service's schema library.

use serde_json::{Map, Value};

use super::format::Format;
use crate::cinder::validate::{invalid, repr};
use crate::fault::Fault;
use crate::microversion::Microversion;

/// What a value must be like.
#[derive(Clone, Copy)]
pub(super) struct Shape(pub(super) &'static [Rule]);

/// The fields of an object with their shapes, in the order in which they are looked at.
pub(super) type Fields = &'static [(&'static str, Shape)];

/// A kind of JSON value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Flag,
    Integer,
    Text,
    List,
    Object,
}

/// A word of a list of the valid ones.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Text(&'static str),
    Flag(bool),
}

/// A pattern of texts: how it is written, and whether a text is of it.
#[derive(Clone, Copy)]
pub(super) struct Pattern {
    pub(super) text: &'static str,
    pub(super) holds: fn(&str) -> bool,
}

/// One demand on a value. Those on texts, objects and lists let other kinds pass.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Is(&'static [Kind]),
    Words(&'static [Word]),
    LengthMin(usize),
    LengthMax(usize),
    Match(Pattern),
    Format(Format),
    /// Of numbers, and of texts that are one.
    Least(i64),
    Most(i64),
    Fields(Fields),
    /// Fields that came with a later microversion.
    FieldsSince(u16, Fields),
    /// All other keys are of the pattern, their values of the shape.
    Pairs(Pattern, Shape),
    Needs(&'static [&'static str]),
    /// No other keys than those of the fields.
    Closed,
    CountMin(usize),
    CountMax(usize),
    AnyOf(&'static [Shape]),
    Items(&'static Shape),
    Distinct,
    /// What only the code of the resource can tell.
    As(fn(&Value) -> Result<(), Fault>),
    /// A rule from a microversion on, or before it.
    Since(u16, &'static Rule),
    Before(u16, &'static Rule),
}

/// The value that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The last key on the way to it; `None` for the body itself.
    pub(super) name: Option<&'a str>,
    pub(super) value: &'a Value,
    pub(super) version: Microversion,
}

impl<'a> Place<'a> {
    /// 400 with the reason, and the name if it has one.
    pub(super) fn refuse(self, reason: &str) -> Fault {
        match self.name {
            Some(name) => invalid(name, self.value, reason),
            None => Fault::bad_request(reason),
        }
    }

    fn refuse_it(self, reason: &str) -> Fault {
        self.refuse(&format!("{} {reason}", repr(self.value)))
    }

    fn below(self, name: &'a str, value: &'a Value) -> Self {
        Self {
            name: Some(name),
            value,
            ..self
        }
    }
}

impl Kind {
    fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Flag,
            Value::Number(number) if number.is_f64() => return None,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Null => "'null'",
            Self::Flag => "'boolean'",
            Self::Integer => "'integer'",
            Self::Text => "'string'",
            Self::List => "'array'",
            Self::Object => "'object'",
        }
    }
}

impl Word {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Text(word) => value.as_str() == Some(word),
            Self::Flag(flag) => value.as_bool() == Some(flag),
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Text(word) => format!("'{word}'"),
            Self::Flag(true) => "True".to_owned(),
            Self::Flag(false) => "False".to_owned(),
        }
    }
}

impl Shape {
    /// Refuses a value that is not of this shape.
    pub(super) fn check(&self, place: Place<'_>) -> Result<(), Fault> {
        self.0.iter().try_for_each(|rule| rule.check(self, place))
    }

    /// The fields that objects of this shape may have.
    fn knows(&self, key: &str, version: Microversion) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::Fields(fields) => fields.iter().any(|(name, _)| *name == key),
            Rule::FieldsSince(minor, fields) => {
                version.has(*minor) && fields.iter().any(|(name, _)| *name == key)
            }
            _ => false,
        })
    }

    /// The keys of an object that no rule knows, sorted and as the refusal shows them.
    fn extras(&self, map: &Map<String, Value>, version: Microversion) -> Vec<String> {
        let unknown = map.keys().filter(|key| !self.knows(key, version));
        let mut extras: Vec<&String> = unknown.collect();
        extras.sort_unstable();
        let shown = extras.into_iter();
        shown.map(|key| repr(&Value::from(key.as_str()))).collect()
    }
}

impl Rule {
    fn check(&self, whole: &Shape, place: Place<'_>) -> Result<(), Fault> {
        match *self {
            Self::Since(minor, rule) if place.version.has(minor) => rule.check(whole, place),
            Self::Before(minor, rule) if !place.version.has(minor) => rule.check(whole, place),
            Self::Since(..) | Self::Before(..) => Ok(()),
            Self::As(check) => check(place.value),
            Self::Is(kinds) => is_of(kinds, place),
            Self::Words(words) => is_among(words, place),
            Self::AnyOf(shapes) => {
                if shapes.iter().any(|shape| shape.check(place).is_ok()) {
                    return Ok(());
                }
                Err(place.refuse_it("is not valid under any of the given schemas"))
            }
            Self::Least(_) | Self::Most(_) => self.check_number(place),
            Self::LengthMin(_) | Self::LengthMax(_) | Self::Match(_) | Self::Format(_) => {
                match place.value {
                    Value::String(text) => self.check_text(text, place),
                    _ => Ok(()),
                }
            }
            Self::Items(_) | Self::Distinct | Self::CountMin(_) | Self::CountMax(_)
                if place.value.is_array() =>
            {
                self.check_list(place)
            }
            _ => match place.value {
                Value::Object(map) => self.check_object(whole, map, place),
                _ => Ok(()),
            },
        }
    }

    fn check_number(&self, place: Place<'_>) -> Result<(), Fault> {
        let number = match place.value {
            Value::Number(number) => number.as_i64().or(number.as_u64().map(|_| i64::MAX)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match (self, number) {
            (Self::Least(least), Some(number)) if number < *least => {
                Err(place.refuse(&format!("{number} is less than the minimum of {least}")))
            }
            (Self::Most(most), Some(number)) if number > *most => Err(place.refuse(&format!(
                "{} is greater than the maximum of {most}",
                shown_number(place.value)
            ))),
            _ => Ok(()),
        }
    }

    fn check_text(&self, text: &str, place: Place<'_>) -> Result<(), Fault> {
        let length = || text.chars().count();
        match *self {
            Self::LengthMin(1) if text.is_empty() => Err(place.refuse_it("should be non-empty")),
            Self::LengthMin(least) if length() < least => Err(place.refuse_it("is too short")),
            Self::LengthMax(most) if length() > most => Err(place.refuse_it("is too long")),
            Self::Match(pattern) if !(pattern.holds)(text) => {
                Err(place.refuse_it(&format!("does not match {}", pattern.quoted())))
            }
            Self::Format(format) => format.check(text, place),
            _ => Ok(()),
        }
    }

    fn check_list(&self, place: Place<'_>) -> Result<(), Fault> {
        let items = place.value.as_array().map_or(&[][..], Vec::as_slice);
        match *self {
            Self::CountMin(1) if items.is_empty() => Err(place.refuse_it("should be non-empty")),
            Self::Distinct if (1..items.len()).any(|at| items[..at].contains(&items[at])) => {
                Err(place.refuse_it("has non-unique elements"))
            }
            Self::Items(shape) => items.iter().enumerate().try_for_each(|(at, value)| {
                let name = at.to_string();
                shape.check(Place {
                    name: Some(&name),
                    value,
                    ..place
                })
            }),
            _ => Ok(()),
        }
    }

    fn check_object(
        &self,
        whole: &Shape,
        map: &Map<String, Value>,
        place: Place<'_>,
    ) -> Result<(), Fault> {
        match *self {
            Self::Fields(fields) => check_fields(fields, map, place),
            Self::FieldsSince(minor, fields) if place.version.has(minor) => {
                check_fields(fields, map, place)
            }
            Self::Pairs(pattern, shape) => check_pairs(pattern, shape, map, place),
            Self::Needs(keys) => match keys.iter().find(|key| !map.contains_key(**key)) {
                Some(missing) => Err(place.refuse(&format!("'{missing}' is a required property"))),
                None => Ok(()),
            },
            Self::Closed => closed(&whole.extras(map, place.version), place),
            Self::CountMin(1) if map.is_empty() => Err(place.refuse_it("should be non-empty")),
            Self::CountMax(most) if map.len() > most => {
                Err(place.refuse_it("has too many properties"))
            }
            _ => Ok(()),
        }
    }
}

/// A number as the refusal of too large ones shows it: whole, however large.
fn shown_number(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().trim_start_matches('0').to_owned(),
        other => other.to_string(),
    }
}

fn is_of(kinds: &[Kind], place: Place<'_>) -> Result<(), Fault> {
    if Kind::of(place.value).is_some_and(|kind| kinds.contains(&kind)) {
        return Ok(());
    }
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    Err(place.refuse_it(&format!("is not of type {}", names.join(", "))))
}

fn is_among(words: &[Word], place: Place<'_>) -> Result<(), Fault> {
    if words.iter().any(|word| word.is(place.value)) {
        return Ok(());
    }
    let shown: Vec<String> = words.iter().map(|word| word.shown()).collect();
    Err(place.refuse_it(&format!("is not one of [{}]", shown.join(", "))))
}

fn check_fields(fields: Fields, map: &Map<String, Value>, place: Place<'_>) -> Result<(), Fault> {
    fields
        .iter()
        .try_for_each(|(name, shape)| match map.get(*name) {
            Some(value) => shape.check(place.below(name, value)),
            None => Ok(()),
        })
}

/// Values first, keys that match nothing last, as the real service looks at them.
fn check_pairs(
    pattern: Pattern,
    shape: Shape,
    map: &Map<String, Value>,
    place: Place<'_>,
) -> Result<(), Fault> {
    let (known, mut odd): (Vec<&String>, Vec<&String>) =
        map.keys().partition(|key| (pattern.holds)(key));
    for key in known {
        shape.check(place.below(key, &map[key]))?;
    }
    odd.sort_unstable();
    let shown: Vec<String> = odd
        .iter()
        .map(|key| repr(&Value::from(key.as_str())))
        .collect();
    let verb = match shown.len() {
        0 => return Ok(()),
        1 => "does",
        _ => "do",
    };
    Err(place.refuse(&format!(
        "{} {verb} not match any of the regexes: {}",
        shown.join(", "),
        pattern.quoted()
    )))
}

/// Refuses keys that an object must not have.
pub(super) fn closed(extras: &[String], place: Place<'_>) -> Result<(), Fault> {
    let verb = match extras.len() {
        0 => return Ok(()),
        1 => "was",
        _ => "were",
    };
    Err(place.refuse(&format!(
        "Additional properties are not allowed ({} {verb} unexpected)",
        extras.join(", ")
    )))
}

impl Pattern {
    /// As Python shows it.
    fn quoted(self) -> String {
        format!("'{}'", self.text.replace('\\', "\\\\"))
    }
}
