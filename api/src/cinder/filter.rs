//! Filters, order and pages of lists, the same for all objects that have lists.

mod answer;
mod ask;
mod column;
mod condition;
mod roster;
mod select;
mod tally;
#[cfg(test)]
mod tests;
mod texts;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, Record, View};
use crate::fault::Fault;
use crate::page::{self, Direction, Page};
use crate::server::Services;

use super::backends;
use super::records::{BY_CREATED, BY_PROJECT};
use condition::{Condition, Test};
use roster::Roster;
use select::{Selected, Wanted};

pub(super) use tally::{tally, totals};

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
    /// Whether times can be compared with; else a filter by time finds nothing.
    const COMPARES_TIMES: bool = false;

    /// Further columns that administrators are likely to filter by.
    const INDEXED: &'static [&'static str] = &[];

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
    conditions: Vec<Condition>,
    all_projects: bool,
    with_count: bool,
    /// A filter that no object passes.
    nothing: bool,
    /// A key to sort by that there is not. The marker is looked up before that is said.
    is_odd_order: bool,
}

/// Part of a list, and how many there are in all if that was asked for.
pub(super) struct Found<R> {
    pub(super) items: Vec<R>,
    pub(super) count: Option<usize>,
}

impl Listing {
    /// Turns a filter by `host` into the names that rows have for the backend.
    pub(super) fn on_backends(mut self, services: &Services) -> Self {
        for condition in &mut self.conditions {
            let Some(host) = condition.host() else {
                continue;
            };
            let Some(backend) = backends::by_host(services, host) else {
                self.nothing = true;
                return self;
            };
            let mut names = vec![backend.name().to_owned()];
            if services.backends().first().name() == backend.name() {
                names.push(String::new());
            }
            condition.test = Test::OneOf(names);
        }
        self
    }

    /// The same list of all projects' objects if `all`, asked for or not.
    pub(super) fn of_all_projects(mut self, all: bool) -> Self {
        self.all_projects |= all;
        self
    }

    /// Whose objects are listed; `None` for everybody's.
    fn project<'a>(&self, caller: &'a Caller) -> Result<Option<&'a str>, Fault> {
        match caller.project_id() {
            Some(project) if !self.all_projects => Ok(Some(project)),
            _ if caller.is_admin => Ok(None),
            // Without a project there is nothing to see, least of all what others have.
            _ => Err(Fault::malformed()),
        }
    }

    /// Reads the list: what is on the page, and nothing else, wherever the roster can tell.
    pub(super) fn run<R: Listed<Id = uuid::Uuid> + 'static>(
        &self,
        view: &impl View,
        caller: &Caller,
        unknown_marker: impl FnOnce(&str) -> Fault,
    ) -> Result<Found<R>, Fault> {
        let project = self.project(caller)?;
        if self.nothing {
            return Ok(Found {
                items: Vec::new(),
                count: self.with_count.then_some(0),
            });
        }
        let marker = self.marker::<R>(view, caller, unknown_marker)?;
        if self.is_odd_order {
            return Err(page::unknown_order());
        }
        let query = query_of(project);
        let in_list = |marker: &R| query.covers(marker);
        let in_order = self.conditions.is_empty() && self.page.sort.is_empty();
        if in_order && !self.with_count && marker.as_ref().is_none_or(in_list) {
            return self.run_page(view, &query, marker.as_ref());
        }
        let wanted = self.wanted(project, marker.as_ref().map(|marker| *marker.id()));
        match view.ask(|roster: &Roster<R>, version| roster.select(version, &wanted))? {
            Some(selected) => self.selected(view, &selected),
            None => self.walk(view, &query, marker.as_ref()),
        }
    }

    /// The page as a roster is asked for it.
    fn wanted<'a>(&'a self, project: Option<&'a str>, marker: Option<uuid::Uuid>) -> Wanted<'a> {
        Wanted {
            project,
            conditions: &self.conditions,
            sort: &self.page.sort,
            marker,
            skip: self.page.offset,
            limit: self.page.limit,
        }
    }

    /// Reads the records that the roster has found.
    fn selected<R: Listed<Id = uuid::Uuid>>(
        &self,
        view: &impl View,
        selected: &Selected,
    ) -> Result<Found<R>, Fault> {
        let mut items = Vec::with_capacity(selected.ids.len());
        for id in &selected.ids {
            items.extend(view.get::<R>(id)?);
        }
        Ok(Found {
            items,
            count: self.with_count.then_some(selected.count),
        })
    }

    /// Reads the list without the roster: every record that the query covers.
    fn walk<R: Listed<Id = uuid::Uuid>>(
        &self,
        view: &impl View,
        query: &Query,
        marker: Option<&R>,
    ) -> Result<Found<R>, Fault> {
        let mut items = Vec::new();
        view.walk::<R>(query, |record| {
            let passes = |condition: &Condition| condition.passes(&record);
            if self.conditions.iter().all(passes) {
                items.push(record);
            } else if self.conditions.iter().any(|one| one.is_of_nothing(&record)) {
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        items.sort_by(|a, b| self.order(a, b));
        let count = self.with_count.then_some(items.len());
        // The marker need not be in the list any more: the page is what comes behind its place.
        let start = marker.map_or(0, |marker| {
            items.partition_point(|item| self.order(item, marker).is_le())
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
        let mut wanted = query
            .clone()
            .limit(self.page.offset.saturating_add(self.page.limit));
        if let Some(marker) = marker {
            wanted = wanted.after(marker.id());
        }
        let items: catalogue::Result<Vec<R>> = view.list(&wanted);
        let items = items?.into_iter().skip(self.page.offset).collect();
        Ok(Found { items, count: None })
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
}

/// The records of a project, or of all, the newest first.
fn query_of(project: Option<&str>) -> Query {
    match project {
        Some(project) => Query::by(BY_PROJECT, Key::new().text(project)),
        None => Query::by(BY_CREATED, Key::new()),
    }
}

fn is_number(key: &str) -> bool {
    matches!(key, "size" | "volume_size")
}

fn is_time(key: &str) -> bool {
    matches!(key, "created_at" | "updated_at")
}
