//! Filters, order and pages of lists, the same for volumes, snapshots and attachments.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, Record, View};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::{Direction, Page, Params};
use crate::server::{Config, Services};

use super::backends;
use super::records::{BY_CREATED, BY_PROJECT};

/// Parameters that are not filters.
const RESERVED: [&str; 8] = [
    "limit",
    "marker",
    "offset",
    "sort",
    "sort_key",
    "sort_dir",
    "all_tenants",
    "with_count",
];

/// A record of which lists are made.
pub(super) trait Listed: Record {
    /// Keys a list can be sorted by.
    const SORT_KEYS: &'static [&'static str];
    /// Filters that everybody may use.
    const FILTERS: &'static [&'static str];

    /// Filters that are ignored below a microversion, each with it.
    const FILTERS_SINCE: &'static [(&'static str, u16)] = &[];
    /// Sort keys that are unknown below a microversion, each with it.
    const SORT_SINCE: &'static [(&'static str, u16)] = &[];
    /// Parameters of its own that are no filters.
    const OPTIONS: &'static [&'static str] = &[];
    /// Whether the mere presence of `all_tenants` asks for all projects, whatever it says.
    const ALL_BY_PRESENCE: bool = false;
    /// Whether there are counts; else `with_count` is a filter of a column that there is not.
    const COUNTED: bool = true;
    /// Whether filters that not everybody may use are dropped below 3.31, not obeyed.
    const DROPS_FILTERS: bool = true;

    /// The value of a column as text, for filters and order; `None` is null. The outer `None` says
    /// that there is no such column.
    fn column(&self, key: &str) -> Option<Option<String>>;

    /// User metadata, if it has any.
    fn pairs(&self) -> Option<&std::collections::BTreeMap<String, String>> {
        None
    }

    /// The id as text.
    fn id_text(&self) -> String;

    /// Owner.
    fn project(&self) -> &str;

    /// When it was made, which lists are in the order of.
    fn created_us(&self) -> u64;
}

/// Which form the objects of a list have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Summary,
    Detail,
}

impl Form {
    /// What the form adds to the path of the list.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Summary => "",
            Self::Detail => "/detail",
        }
    }
}

/// What the parts of an answer with a list are called.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// The objects.
    pub(super) items: &'a str,
    /// The link to the next page; `None` where there is none.
    links: Option<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn new(items: &'a str, links: &'a str) -> Self {
        Self {
            items,
            links: Some(links),
        }
    }

    pub(super) fn without_links(items: &'a str) -> Self {
        Self { items, links: None }
    }
}

/// A list as asked for.
pub(super) struct Listing {
    /// The page; its marker is looked up here.
    page: Page,
    filters: Vec<(String, String)>,
    all_projects: bool,
    with_count: bool,
    /// A filter that no object passes.
    nothing: bool,
    /// The backends that objects are on, by the names in their rows; `None` for any.
    backends: Option<Vec<String>>,
}

/// Part of a list, and how many there are in all if that was asked for.
pub(super) struct Found<R> {
    pub(super) items: Vec<R>,
    pub(super) count: Option<usize>,
}

impl Listing {
    pub(super) fn parse<R: Listed>(
        params: &Params,
        caller: &Caller,
        version: Microversion,
        config: &Config,
    ) -> Result<Self, Fault> {
        // Below 3.45 a count is a filter like others, of a column that there is not. With such a
        // filter of an admin the list is empty, whatever its order.
        let is_counted = R::COUNTED && version.has(45);
        let counts = params.has("with_count") && !is_counted && caller.is_admin;
        let is_empty =
            counts || (caller.is_admin && params.iter().any(|(key, _)| is_odd::<R>(key)));
        let sort_keys: Vec<&str> = R::SORT_KEYS
            .iter()
            .filter(|key| is_empty || is_known(R::SORT_SINCE, key, version))
            .copied()
            .collect();
        let page = Page::parse(params, &sort_keys)?;
        let by_presence = R::ALL_BY_PRESENCE && params.has("all_tenants");
        let all_projects = caller.is_admin && (by_presence || params.flag("all_tenants", false));
        let with_count = is_counted && params.flag("with_count", false);
        let is_filter = |key: &str| {
            !RESERVED.contains(&key)
                && !R::OPTIONS.contains(&key)
                && is_known(R::FILTERS_SINCE, key, version)
        };
        let given = params.iter().filter(|(key, _)| is_filter(key));
        let mut filters: Vec<(String, String)> = given
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let allowed = |key: &str| R::FILTERS.contains(&key.trim_end_matches('~'));
        if !caller.is_admin {
            let unknown: Vec<&str> = filters
                .iter()
                .map(|(key, _)| key.as_str())
                .filter(|key| !allowed(key))
                .collect();
            if version.has(31) && !unknown.is_empty() {
                let names = unknown.join(",");
                return Err(Fault::bad_request(format!(
                    "Invalid filters {names} are found in query options."
                )));
            }
            filters.retain(|(key, _)| !R::DROPS_FILTERS || allowed(key));
        }
        let mut nothing = counts;
        // All volumes are in the one zone.
        filters.retain(|(key, value)| {
            let is_zone = key == "availability_zone";
            nothing |= is_zone && *value != config.availability_zone;
            !is_zone
        });
        for (key, value) in &filters {
            if is_time(key) {
                times(value)?;
            }
            let is_flag = |word: &&str| value.eq_ignore_ascii_case(word);
            if version.has(2)
                && key == "bootable"
                && !["true", "false", "1", "0"].iter().any(is_flag)
            {
                return Err(Fault::bad_request(format!(
                    "Invalid input received: 'bootable = {value}'"
                )));
            }
        }
        Ok(Self {
            page,
            filters,
            all_projects,
            with_count,
            nothing,
            backends: None,
        })
    }

    /// Turns a filter by `host` into the names that rows have for the backend.
    pub(super) fn on_backends(mut self, services: &Services) -> Self {
        let Some(at) = self.filters.iter().position(|(key, _)| key == "host") else {
            return self;
        };
        let (_, host) = self.filters.remove(at);
        let Some(backend) = backends::by_host(services, &host) else {
            self.nothing = true;
            return self;
        };
        let mut names = vec![backend.name().to_owned()];
        if services.backends().first().name() == backend.name() {
            names.push(String::new());
        }
        self.backends = Some(names);
        self
    }

    /// Whether a record is on a backend that was asked for.
    fn is_placed<R: Listed>(&self, record: &R) -> bool {
        self.backends.as_ref().is_none_or(|names| {
            let backend = record.column("host").flatten();
            backend.is_some_and(|backend| names.contains(&backend))
        })
    }

    /// The same list of all projects' objects if `all`, asked for or not.
    pub(super) fn of_all_projects(mut self, all: bool) -> Self {
        self.all_projects |= all;
        self
    }

    /// Reads the list. Without filters and sort keys only the page itself is read.
    pub(super) fn run<R: Listed<Id = uuid::Uuid>>(
        &self,
        view: &impl View,
        caller: &Caller,
        unknown_marker: impl FnOnce(&str) -> Fault,
    ) -> Result<Found<R>, Fault> {
        let query = match caller.project_id() {
            Some(project) if !self.all_projects => Query::by(BY_PROJECT, Key::new().text(project)),
            _ if caller.is_admin => Query::by(BY_CREATED, Key::new()),
            // Without a project there is nothing to see, least of all what others have.
            _ => return Err(Fault::malformed()),
        };
        if self.nothing {
            return Ok(Found {
                items: Vec::new(),
                count: self.with_count.then_some(0),
            });
        }
        let marker = self.marker::<R>(view, caller, unknown_marker)?;
        let in_list = |marker: &R| query.covers(marker);
        if self.filters.is_empty()
            && self.backends.is_none()
            && self.page.sort.is_empty()
            && marker.as_ref().is_none_or(in_list)
        {
            return self.run_page(view, &query, marker.as_ref());
        }
        let mut items = Vec::new();
        view.walk::<R>(&query, |record| {
            if self
                .filters
                .iter()
                .all(|(key, value)| matches(&record, key, value))
                && self.is_placed(&record)
            {
                items.push(record);
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })?;
        items.sort_by(|a, b| self.order(a, b));
        let count = self.with_count.then_some(items.len());
        // The marker need not be in the list any more: the page is what comes behind its place.
        let start = marker.map_or(0, |marker| {
            items.partition_point(|item| self.order(item, &marker).is_le())
        });
        let rest = items.into_iter().skip(start).skip(self.page.offset);
        let items = rest.take(self.page.limit).collect();
        Ok(Found { items, count })
    }

    /// The object that the page comes behind, if the caller may know of it.
    fn marker<R: Listed<Id = uuid::Uuid>>(
        &self,
        view: &impl View,
        caller: &Caller,
        unknown: impl FnOnce(&str) -> Fault,
    ) -> Result<Option<R>, Fault> {
        let Some(text) = &self.page.marker else {
            return Ok(None);
        };
        let id = uuid::Uuid::parse_str(text).ok();
        let found = id.map(|id| view.get::<R>(&id)).transpose()?.flatten();
        let found = found.filter(|found| caller.sees(found.project()));
        found.map(Some).ok_or_else(|| unknown(text))
    }

    fn run_page<R: Listed<Id = uuid::Uuid>>(
        &self,
        view: &impl View,
        query: &Query,
        marker: Option<&R>,
    ) -> Result<Found<R>, Fault> {
        let count = if self.with_count {
            Some(view.count::<R>(query)? as usize)
        } else {
            None
        };
        let mut wanted = query
            .clone()
            .limit(self.page.offset.saturating_add(self.page.limit));
        if let Some(marker) = marker {
            wanted = wanted.after(marker.id());
        }
        let items: catalogue::Result<Vec<R>> = view.list(&wanted);
        let items = items?.into_iter().skip(self.page.offset).collect();
        Ok(Found { items, count })
    }

    /// The order of the list: that of the keys, then that of time in the direction of the first
    /// key, the newest first without one.
    fn order<R: Listed<Id = uuid::Uuid>>(&self, a: &R, b: &R) -> Ordering {
        let mut ordering = Ordering::Equal;
        for (key, direction) in &self.page.sort {
            let (left, right) = (a.column(key).flatten(), b.column(key).flatten());
            let one = if is_number(key) {
                let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
                number(left).cmp(&number(right))
            } else {
                // Names that look like numbers are texts too: a mixture has no order.
                left.cmp(&right)
            };
            ordering = ordering.then(direction.apply(one));
        }
        let direction = self.page.sort.first().map(|(_, direction)| *direction);
        let by_time = (a.created_us(), a.id()).cmp(&(b.created_us(), b.id()));
        ordering.then(direction.unwrap_or(Direction::Descending).apply(by_time))
    }

    /// As [`Listing::body_named`], with the link under the name of the objects too.
    pub(super) fn body<R: Listed, E>(
        &self,
        params: &Params,
        key: &str,
        href: &str,
        found: Found<R>,
        shape: impl FnMut(R) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let links = format!("{key}_links");
        let names = Names {
            items: key,
            links: Some(&links),
        };
        self.body_named(params, names, href, found, shape)
    }

    /// The body of an answer: the objects as `shape` has them, the count if it was asked for, and
    /// the link to the next page of `href` if there is one.
    pub(super) fn body_named<R: Listed, E>(
        &self,
        params: &Params,
        names: Names<'_>,
        href: &str,
        found: Found<R>,
        shape: impl FnMut(R) -> Result<Value, E>,
    ) -> Result<Value, E> {
        let mut body = Map::new();
        let last = found.items.last().map(R::id_text);
        let shown = found.items.len();
        let links = self.page.links(params, href, shown, last.as_deref());
        if let (Some(name), Some(links)) = (names.links, links) {
            body.insert(name.to_owned(), links);
        }
        body.extend(found.count.map(|count| ("count".to_owned(), json!(count))));
        let items: Result<Vec<Value>, E> = found.items.into_iter().map(shape).collect();
        body.insert(names.items.to_owned(), Value::Array(items?));
        Ok(Value::Object(body))
    }
}

/// Whether a parameter is a filter of a column that there is not.
fn is_odd<R: Listed>(key: &str) -> bool {
    let column = key.trim_end_matches('~');
    let known = [&RESERVED[..], R::OPTIONS, R::FILTERS, R::SORT_KEYS];
    !known.iter().any(|keys| keys.contains(&column))
}

/// Whether a name that came with a microversion is known already.
fn is_known(since: &[(&str, u16)], key: &str, version: Microversion) -> bool {
    let found = since.iter().find(|(name, _)| *name == key);
    found.is_none_or(|(_, minor)| version.has(*minor))
}

fn is_number(key: &str) -> bool {
    matches!(key, "size" | "volume_size")
}

fn is_time(key: &str) -> bool {
    matches!(key, "created_at" | "updated_at")
}

/// A comparison with a point in time, as texts of one form compare.
type Comparison = (fn(Ordering) -> bool, String);

/// Reads `gt:2020-01-01T00:00:00,lt:...`.
fn times(text: &str) -> Result<Vec<Comparison>, Fault> {
    let one = |part: &str| {
        let (word, time) = part.split_once(':').unwrap_or((part, ""));
        let compares: fn(Ordering) -> bool = match word {
            "gt" => Ordering::is_gt,
            "gte" => Ordering::is_ge,
            "eq" => Ordering::is_eq,
            "neq" => Ordering::is_ne,
            "lt" => Ordering::is_lt,
            "lte" => Ordering::is_le,
            _ => return Err(Fault::bad_request(format!("Invalid {word} operator"))),
        };
        Ok((compares, time.trim_end_matches('Z').replace(' ', "T")))
    };
    text.split(',').map(one).collect()
}

fn is_within(value: &str, wanted: &str) -> bool {
    // Only as much is compared as was given: seconds, mostly.
    let compare = |time: &str| value.get(..time.len()).unwrap_or(value).cmp(time);
    times(wanted).is_ok_and(|all| all.iter().all(|(holds, time)| holds(compare(time))))
}

fn matches<R: Listed>(record: &R, key: &str, wanted: &str) -> bool {
    if let Some(key) = key.strip_suffix('~') {
        let value = record.column(key).flatten();
        return value.is_some_and(|value| value.contains(wanted));
    }
    if key == "metadata" {
        return record.pairs().is_some_and(|pairs| has_pairs(pairs, wanted));
    }
    match record.column(key) {
        None => false,
        Some(value) if is_time(key) => value.is_some_and(|value| is_within(&value, wanted)),
        Some(value) => {
            let value = value.unwrap_or_else(|| "None".to_owned());
            let wanted = match (key, wanted) {
                ("bootable", "1") => "true",
                ("bootable", "0") => "false",
                _ => wanted,
            };
            value.eq_ignore_ascii_case(wanted) && (value == wanted || key == "bootable")
        }
    }
}

/// Whether all pairs of a text such as `{'a': 'b'}` are there.
fn has_pairs(pairs: &std::collections::BTreeMap<String, String>, text: &str) -> bool {
    let json = text.replace('\'', "\"");
    let Ok(wanted) = serde_json::from_str::<std::collections::BTreeMap<String, String>>(&json)
    else {
        return false;
    };
    wanted
        .iter()
        .all(|(key, value)| pairs.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;
    use uuid::Uuid;

    use crate::cinder::records::Attachment;
    use crate::fault::Fault;
    use crate::testing::{Cloud, PASSWORD};

    fn attachment() -> Attachment {
        Attachment {
            id: Uuid::new_v4(),
            project_id: "somebody".to_owned(),
            volume_id: Uuid::new_v4(),
            instance_id: None,
            status: "attaching".to_owned(),
            mode: None,
            connector: None,
            export: Some("the name of an export".to_owned()),
            mountpoint: None,
            by_action: false,
            qos_specs: json!(null),
            created_us: 1,
            attached_us: None,
        }
    }

    #[tokio::test]
    async fn a_token_without_a_project_lists_nothing_of_others() {
        let cloud = Cloud::new();
        let catalogue = cloud.services.catalogue();
        catalogue
            .write::<_, Fault>(|writer| Ok(writer.insert(&attachment())?))
            .unwrap();
        let login = cloud
            .login("admin", PASSWORD, json!({"unscoped": {}}))
            .await;
        let token = login.header("x-subject-token");
        for query in ["", "?status=attaching", "?all_tenants=1"] {
            let path = format!("/volume/v3/attachments/detail{query}");
            let headers = [
                ("X-Auth-Token", token),
                ("OpenStack-API-Version", "volume 3.71"),
            ];
            let answer = cloud.send("GET", &path, &headers, json!(null)).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.body);
            assert!(!answer.body.to_string().contains("the name of an export"));
        }
    }
}
