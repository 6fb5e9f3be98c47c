//! Query parameters of lists: limit, marker, offset, sort, counts and next-page links.

use std::cmp::Ordering;

use axum::extract::FromRequestParts;
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use crate::fault::Fault;

/// Most items in one answer.
pub const LIMIT_MAX: usize = 1000;
/// Largest offset.
const OFFSET_MAX: i64 = 0x7fff_ffff;
/// Most parameters of one request; more is refused.
const PARAMS_MAX: usize = 64;
/// What `urlencode` of the real services leaves as it is, a blank becoming a plus.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The decoded query of a request, in its order. An extractor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Decodes the text after the question mark.
    ///
    /// # Errors
    /// 400 for too many parameters or text that is not UTF-8.
    pub fn parse(query: &str) -> Result<Self, Fault> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let params = pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(key)?, decode(value)?))
            })
            .collect::<Result<Vec<_>, Fault>>()?;
        if params.len() > PARAMS_MAX {
            return Err(Fault::malformed());
        }
        Ok(Self(params))
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        let pair = self.0.iter().find(|(name, _)| name == key);
        pair.map(|(_, value)| value.as_str())
    }

    /// Those of the parameters that have one of these names.
    #[must_use]
    pub fn only(self, keys: &[&str]) -> Self {
        let pairs = self.0.into_iter();
        Self(
            pairs
                .filter(|(key, _)| keys.contains(&key.as_str()))
                .collect(),
        )
    }

    /// Whether a parameter is there, with or without a value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A yes or no, by the wide word list of the real services; anything else is `default`.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(truth).unwrap_or(default)
    }

    /// The query text with `marker` set to `id`.
    fn with_marker(&self, id: &str) -> String {
        let mut pairs: Vec<String> = Vec::new();
        let mut replaced = false;
        for (key, value) in self.iter() {
            let value = if key == "marker" { id } else { value };
            replaced |= key == "marker";
            pairs.push(format!("{}={}", encode(key), encode(value)));
        }
        if !replaced {
            pairs.push(format!("marker={}", encode(id)));
        }
        pairs.join("&")
    }
}

/// A yes or no, by the wide word list of the real services; `None` for other words.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

fn decode(text: &str) -> Result<String, Fault> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Into::into).map_err(|_| Fault::malformed())
}

/// A text as it stands in a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY)
        .to_string()
        .replace("%20", "+")
}

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

/// Direction of a sort key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

impl Direction {
    /// Turns an ascending comparison into this direction's.
    pub fn apply(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

/// Which part of a list is asked for, in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Most items to answer; at most [`LIMIT_MAX`], 0 asks for none.
    pub limit: usize,
    /// Items to skip, after the marker.
    pub offset: usize,
    /// Id of the last item the caller has.
    pub marker: Option<String>,
    /// Sort keys; empty asks for the default, `created_at` and `id` descending.
    pub sort: Vec<(String, Direction)>,
}

impl Page {
    /// Reads the page parameters of a list whose rows can be sorted by `sort_keys`.
    ///
    /// # Errors
    /// 400 with the real service's text.
    pub fn parse(params: &Params, sort_keys: &[&str]) -> Result<Self, Fault> {
        let page = Self::read(params)?;
        match page.sorts_by(sort_keys) {
            true => Ok(page),
            false => Err(unknown_order()),
        }
    }

    /// Reads the page parameters of a list without a look at what its rows can be sorted by.
    ///
    /// # Errors
    /// 400 with the real service's text.
    pub(crate) fn read(params: &Params) -> Result<Self, Fault> {
        Ok(Self {
            sort: sort(params)?,
            limit: limit(params)?,
            offset: offset(params)?,
            marker: params.get("marker").map(str::to_owned),
        })
    }

    /// Whether each key of the order is one of these.
    pub(crate) fn sorts_by(&self, keys: &[&str]) -> bool {
        let mut asked = self.sort.iter();
        asked.all(|(key, _)| keys.contains(&key.as_str()))
    }

    /// Cuts the page out of all matches, which are in order already.
    ///
    /// # Errors
    /// `unknown` when the marker is not among them.
    pub fn cut<T>(
        &self,
        items: Vec<T>,
        id: impl Fn(&T) -> String,
        unknown: impl FnOnce(&str) -> Fault,
    ) -> Result<Vec<T>, Fault> {
        let start = match &self.marker {
            None => 0,
            Some(marker) => {
                let position = items.iter().position(|item| id(item) == *marker);
                position.ok_or_else(|| unknown(marker))? + 1
            }
        };
        let kept = items.into_iter().skip(start).skip(self.offset);
        Ok(kept.take(self.limit).collect())
    }

    /// As [`Page::cut`], of a list that can be sorted by these keys: an order that there is not is
    /// refused once the marker is known.
    pub(crate) fn cut_ordered<T>(
        &self,
        sort_keys: &[&str],
        items: Vec<T>,
        id: impl Fn(&T) -> String,
        unknown: impl FnOnce(&str) -> Fault,
    ) -> Result<Vec<T>, Fault> {
        let shown = self.cut(items, id, unknown)?;
        match self.sorts_by(sort_keys) {
            true => Ok(shown),
            false => Err(unknown_order()),
        }
    }

    /// The value of `{key}_links`: a next link when the page is full. `href` is the list's own URL
    /// without a query.
    pub fn links(
        &self,
        params: &Params,
        href: &str,
        shown: usize,
        last_id: Option<&str>,
    ) -> Option<Value> {
        let last_id = last_id.filter(|_| shown > 0 && shown == self.limit)?;
        let query = params.with_marker(last_id);
        Some(json!([{"rel": "next", "href": format!("{href}?{query}")}]))
    }
}

/// What is said of an order by a key that there is not.
pub(crate) fn unknown_order() -> Fault {
    Fault::bad_request("Invalid input received: Invalid sort key")
}

fn limit(params: &Params) -> Result<usize, Fault> {
    let Some(text) = params.get("limit") else {
        return Ok(LIMIT_MAX);
    };
    match integer(text) {
        None => Err(Fault::bad_request("limit param must be an integer")),
        Some(number) => usize::try_from(number)
            .map(|number| number.min(LIMIT_MAX))
            .map_err(|_| Fault::bad_request("limit param must be positive")),
    }
}

/// A whole number, however large: what is too large for us is the largest.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let beyond = if text.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(text.parse().unwrap_or(beyond))
}

fn offset(params: &Params) -> Result<usize, Fault> {
    let Some(text) = params.get("offset") else {
        return Ok(0);
    };
    match integer(text) {
        None => Err(Fault::bad_request("offset must be an integer")),
        Some(number) if number > OFFSET_MAX => Err(Fault::bad_request(format!(
            "offset must be <= {OFFSET_MAX}"
        ))),
        Some(number) => {
            usize::try_from(number).map_err(|_| Fault::bad_request("offset must be >= 0"))
        }
    }
}

/// `sort=key:dir,key` or the older `sort_key` and `sort_dir`.
fn sort(params: &Params) -> Result<Vec<(String, Direction)>, Fault> {
    if let Some(text) = params.get("sort") {
        if params.has("sort_key") || params.has("sort_dir") {
            return Err(Fault::bad_request(
                "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with \
                 the 'sort' parameter.",
            ));
        }
        // An empty key is one that no list can be sorted by.
        return text
            .split(',')
            .map(str::trim)
            .map(|part| {
                let (key, word) = part.split_once(':').unwrap_or((part, "desc"));
                Ok((key.trim().to_owned(), direction(word)?))
            })
            .collect();
    }
    let Some(key) = params.get("sort_key") else {
        return match params.get("sort_dir") {
            Some(word) => Ok(vec![("created_at".to_owned(), direction(word)?)]),
            None => Ok(Vec::new()),
        };
    };
    let word = params.get("sort_dir").unwrap_or("desc");
    Ok(vec![(key.trim().to_owned(), direction(word)?)])
}

fn direction(word: &str) -> Result<Direction, Fault> {
    match word.trim() {
        "asc" => Ok(Direction::Ascending),
        "desc" | "" => Ok(Direction::Descending),
        _ => Err(Fault::bad_request(
            "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Direction, Page, Params};
    use crate::fault::Fault;

    fn page(query: &str) -> Result<Page, Fault> {
        Page::parse(&Params::parse(query)?, &["name", "size", "created_at"])
    }

    #[test]
    fn reads_limits_and_sorts() {
        assert_eq!(page("").unwrap().limit, 1000);
        assert_eq!(page("limit=100000").unwrap().limit, 1000);
        assert_eq!(page("limit=0").unwrap().limit, 0);
        let sort = page("sort=size:asc,name").unwrap().sort;
        let expected = [
            ("size", Direction::Ascending),
            ("name", Direction::Descending),
        ];
        assert_eq!(
            sort,
            expected.map(|(key, direction)| (key.to_owned(), direction))
        );
        for (query, message) in [
            ("limit=-1", "limit param must be positive"),
            ("limit=x", "limit param must be an integer"),
            ("offset=-1", "offset must be >= 0"),
            (
                "sort=colour:asc",
                "Invalid input received: Invalid sort key",
            ),
        ] {
            assert_eq!(page(query).unwrap_err().message(), message);
        }
    }

    #[test]
    fn next_link_keeps_the_query() {
        let params = Params::parse("limit=1&sort=name%3Adesc").unwrap();
        let page = Page::parse(&params, &["name"]).unwrap();
        let links = page
            .links(&params, "http://h/v3/types", 1, Some("x"))
            .unwrap();
        let href = "http://h/v3/types?limit=1&sort=name%3Adesc&marker=x";
        assert_eq!(links[0]["href"], href);
        assert!(page.links(&params, "http://h", 0, None).is_none());
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_list(items in 0_usize..60, limit in 1_usize..20) {
            let all: Vec<usize> = (0..items).collect();
            let mut seen: Vec<usize> = Vec::new();
            let mut marker = None;
            loop {
                let page = Page { limit, offset: 0, marker, sort: Vec::new() };
                let part = page
                    .cut(all.clone(), ToString::to_string, |_| Fault::malformed())
                    .unwrap();
                seen.extend(&part);
                marker = part.last().map(ToString::to_string);
                if part.len() < limit { break; }
            }
            prop_assert_eq!(seen, all);
        }

        #[test]
        fn any_query_is_parsed_or_refused(query in any::<String>()) {
            drop(Params::parse(&query).map(|params| Page::parse(&params, &[])));
        }
    }
}
