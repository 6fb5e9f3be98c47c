//! Which images a list is asked for.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::records::{Image, Visibility};
use crate::fault::Fault;
use crate::page::Params;

/// Parameters that are no filters.
const OPTIONS: [&str; 7] = [
    "limit",
    "marker",
    "sort",
    "sort_key",
    "sort_dir",
    "member_status",
    "tag",
];
/// Columns that may be looked for by more than one value.
const LISTED: [&str; 5] = ["name", "id", "status", "container_format", "disk_format"];

/// How a time is compared.
#[derive(Clone, Copy)]
enum Compared {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
    Equal,
}

/// One condition.
enum Test {
    Equal(String, String),
    OneOf(String, Vec<String>),
    Least(String, i128),
    Most(String, i128),
    Time(String, Compared, i64),
    Protected(bool),
}

/// All conditions of a request.
pub(super) struct Filters {
    tests: Vec<Test>,
    tags: Vec<String>,
    visibility: Option<Visibility>,
    all_visible: bool,
    hidden: bool,
}

impl Filters {
    /// Reads the parameters that are conditions.
    ///
    /// # Errors
    /// 400 with the real service's text.
    pub(super) fn parse(params: &Params) -> Result<Self, Fault> {
        let mut filters = Self {
            tests: Vec::new(),
            tags: Vec::new(),
            visibility: None,
            all_visible: false,
            hidden: flag(params.get("os_hidden").unwrap_or("false"), "os_hidden")?,
        };
        let mut seen = Vec::new();
        for (key, value) in params.iter() {
            if key == "tag" {
                filters.tags.push(value.trim().to_owned());
            } else if !OPTIONS.contains(&key) && !seen.contains(&key) {
                seen.push(key);
                filters.add(key, value)?;
            }
        }
        Ok(filters)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        match key {
            "os_hidden" => (),
            "visibility" if value == "all" => self.all_visible = true,
            "visibility" if value.is_empty() => (),
            "visibility" => {
                let message = || Fault::bad_request(format!("Invalid visibility value: {value}"));
                self.visibility = Some(Visibility::parse(value).ok_or_else(message)?);
            }
            "changes-since" if !value.is_empty() => {
                return Err(Fault::bad_request(
                    "The \"changes-since\" filter is no longer available on v2.",
                ));
            }
            "protected" => {
                let test = Test::Protected(flag(value, key)?);
                self.tests.push(test);
            }
            _ => self.tests.push(test(key, value)?),
        }
        Ok(())
    }

    /// The visibility asked for.
    pub(super) fn visibility(&self) -> Option<Visibility> {
        self.visibility
    }

    /// Whether images of every visibility are asked for.
    pub(super) fn all_visible(&self) -> bool {
        self.all_visible
    }

    /// Whether an image passes.
    pub(super) fn admit(&self, image: &Image) -> bool {
        image.hidden == self.hidden
            && self.tags.iter().all(|tag| image.tags.contains(tag))
            && self.tests.iter().all(|test| test.admits(image))
    }
}

fn flag(value: &str, key: &str) -> Result<bool, Fault> {
    // One of the two is read whatever its case.
    let word = match key {
        "os_hidden" => value.to_lowercase(),
        _ => value.to_owned(),
    };
    match word.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Fault::bad_request(format!(
            "Invalid value '{word}' for '{key}' filter. Valid values are 'true' or 'false'."
        ))),
    }
}

fn test(key: &str, value: &str) -> Result<Test, Fault> {
    for (suffix, make) in [
        ("_min", Test::Least as fn(String, i128) -> Test),
        ("_max", Test::Most),
    ] {
        let Some(column) = key.strip_suffix(suffix) else {
            continue;
        };
        let number = value.trim().parse::<i128>().map_err(|_| {
            Fault::bad_request("Unable to filter on a range with a non-numeric value.")
        })?;
        return Ok(make(column.to_owned(), number));
    }
    if matches!(key, "created_at" | "updated_at") {
        return time(key, value);
    }
    if !LISTED.contains(&key) {
        return Ok(Test::Equal(key.to_owned(), value.to_owned()));
    }
    match value.split_once(':') {
        None => Ok(Test::Equal(key.to_owned(), value.to_owned())),
        Some(("in", list)) => Ok(Test::OneOf(key.to_owned(), values(list)?)),
        Some(("eq", only)) => Ok(Test::Equal(key.to_owned(), only.to_owned())),
        Some((operator, _)) => Err(Fault::bad_request(format!(
            "Unable to filter by unknown operator '{operator}'."
        ))),
    }
}

/// Values between commas; those in quotes may have commas themselves.
fn values(list: &str) -> Result<Vec<String>, Fault> {
    let unclosed = || {
        Fault::bad_request(format!(
            "Invalid filter value {list}. There is no comma after or before quotation mark."
        ))
    };
    let (mut values, mut current, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => current.extend(chars.next()),
            '"' if quoted => {
                quoted = false;
                if chars.peek().is_some_and(|next| *next != ',') {
                    return Err(unclosed());
                }
            }
            '"' if current.is_empty() => quoted = true,
            '"' => return Err(unclosed()),
            ',' if !quoted => values.push(std::mem::take(&mut current)),
            c => current.push(c),
        }
    }
    if quoted {
        return Err(Fault::bad_request(format!(
            "Invalid filter value {list}. The quote is not closed."
        )));
    }
    values.push(current);
    Ok(values)
}

/// A time with or without a zone, in seconds since 1970.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_second());
    }
    let civil = text.parse::<DateTime>().ok()?;
    let zoned = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

fn time(key: &str, value: &str) -> Result<Test, Fault> {
    let (operator, text) = match value.split_once(':') {
        // A time has colons itself.
        Some(_) if seconds(value).is_some() => ("eq", value),
        Some((operator, text)) => (operator, text),
        None => ("eq", value),
    };
    let at = seconds(text).ok_or_else(|| {
        Fault::bad_request(format!(
            "Bad \"{key}\" query filter format. Use ISO 8601 DateTime notation."
        ))
    })?;
    let compared = match operator {
        "gt" => Compared::Greater,
        "gte" => Compared::GreaterOrEqual,
        "lt" => Compared::Less,
        "lte" => Compared::LessOrEqual,
        "neq" => Compared::NotEqual,
        "eq" => Compared::Equal,
        _ => {
            return Err(Fault::bad_request(
                "Unable to filter on a unknown operator.",
            ));
        }
    };
    Ok(Test::Time(key.to_owned(), compared, at))
}

/// The number in a column; `None` where there is none.
fn number_of(image: &Image, column: &str) -> Option<i128> {
    match column {
        "size" => image.size_bytes.map(i128::from),
        "virtual_size" => image.virtual_size_bytes.map(i128::from),
        "min_disk" => Some(i128::from(image.min_disk)),
        "min_ram" => Some(i128::from(image.min_ram)),
        _ => None,
    }
}

/// The text in a column; other names are custom properties.
fn text_of(image: &Image, column: &str) -> Option<String> {
    let hashes = image.hashes.as_ref();
    match column {
        "id" => Some(image.id.to_string()),
        "name" => image.name.clone(),
        "status" => Some(image.status.word().to_owned()),
        "owner" => image.owner.clone(),
        "container_format" => image.container_format.clone(),
        "disk_format" => image.disk_format.clone(),
        "checksum" => hashes.map(|hashes| hashes.checksum.clone()),
        "os_hash_value" => hashes.map(|hashes| hashes.sha512.clone()),
        "os_hash_algo" => hashes.map(|_| super::hashing::ALGORITHM.to_owned()),
        "size" | "virtual_size" | "min_disk" | "min_ram" => {
            number_of(image, column).map(|number| number.to_string())
        }
        other => image.properties.get(other).cloned(),
    }
}

impl Test {
    fn admits(&self, image: &Image) -> bool {
        match self {
            Self::Equal(column, value) => text_of(image, column).as_ref() == Some(value),
            Self::OneOf(column, values) => {
                text_of(image, column).is_some_and(|text| values.contains(&text))
            }
            Self::Least(column, number) => {
                number_of(image, column).is_some_and(|own| own >= *number)
            }
            Self::Most(column, number) => {
                number_of(image, column).is_some_and(|own| own <= *number)
            }
            Self::Protected(wanted) => image.protected == *wanted,
            Self::Time(column, compared, at) => {
                let own_us = match column.as_str() {
                    "created_at" => image.created_us,
                    _ => image.updated_us,
                };
                // Clients see whole seconds.
                let own = i64::try_from(own_us / 1_000_000).unwrap_or(i64::MAX);
                match compared {
                    Compared::Greater => own > *at,
                    Compared::GreaterOrEqual => own >= *at,
                    Compared::Less => own < *at,
                    Compared::LessOrEqual => own <= *at,
                    Compared::NotEqual => own != *at,
                    Compared::Equal => own == *at,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Filters, seconds, values};
    use crate::glance::records::Image;
    use crate::page::Params;

    fn admits(query: &str, image: &Image) -> bool {
        let params = Params::parse(query).unwrap();
        Filters::parse(&params).unwrap().admit(image)
    }

    #[test]
    fn lists_of_values_may_have_commas_in_quotes() {
        assert_eq!(values("a,b").unwrap(), ["a", "b"]);
        assert_eq!(values("\"a,b\",c").unwrap(), ["a,b", "c"]);
        assert_eq!(values("\"a\\\"b\"").unwrap(), ["a\"b"]);
        assert!(values("\"a").is_err() && values("\"a\"b").is_err());
    }

    #[test]
    fn times_are_read_with_and_without_zones() {
        assert_eq!(seconds("1970-01-01T00:00:10Z"), Some(10));
        assert_eq!(seconds("1970-01-01T01:00:10+01:00"), Some(10));
        assert_eq!(seconds("1970-01-01T00:00:10"), Some(10));
        assert_eq!(seconds("yesterday"), None);
    }

    #[test]
    fn filters_find_what_they_say() {
        let mut image = Image::new(Some("p"), 10_000_000);
        image.name = Some("web, old".to_owned());
        image.size_bytes = Some(100);
        image.tags.insert("a".to_owned());
        image
            .properties
            .insert("colour".to_owned(), "red".to_owned());
        for (query, expected) in [
            ("", true),
            ("name=web%2C+old", true),
            ("name=in:%22web%2C%20old%22,x", true),
            ("name=in:web,old", false),
            ("size_min=100&size_max=100", true),
            ("size_min=101", false),
            ("size=100", true),
            ("tag=a", true),
            ("tag=a&tag=b", false),
            ("colour=red", true),
            ("colour=blue", false),
            ("os_hidden=true", false),
            ("protected=false", true),
            ("created_at=gte:1970-01-01T00:00:10Z", true),
            ("created_at=gt:1970-01-01T00:00:10Z", false),
            ("created_at=1970-01-01T00:00:10Z", true),
            ("status=queued", true),
            ("status=in:active,queued", true),
            ("owner=p", true),
        ] {
            assert_eq!(admits(query, &image), expected, "{query}");
        }
        for bad in [
            "name=has:x",
            "size_min=x",
            "created_at=x",
            "protected=1",
            "os_hidden=2",
            "visibility=mine",
        ] {
            let params = Params::parse(bad).unwrap();
            assert!(Filters::parse(&params).is_err(), "{bad}");
        }
    }
}
