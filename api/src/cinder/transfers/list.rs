//! Lists of transfers: filters by column, and order and pages where there are any.

use std::cmp::Ordering;

use super::rows::Transfer;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View};
use crate::cinder::records::{BY_CREATED, BY_PROJECT};
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::page::{Direction, Page, Params};

/// Columns that lists can be sorted by.
pub(super) const SORT_KEYS: [&str; 7] = [
    "id",
    "created_at",
    "display_name",
    "volume_id",
    "no_snapshots",
    "source_project_id",
    "accepted",
];
/// Further columns that there are filters of.
const UNSORTED: [&str; 2] = ["name", "destination_project_id"];
/// Parameters of a page.
const PAGING: [&str; 6] = ["limit", "marker", "offset", "sort", "sort_key", "sort_dir"];

/// Parameters that say whose transfers are listed: those of the caller's project, or of all.
const SCOPING: [&str; 2] = ["all_tenants", "project_id"];

/// Whether a list has pages and an order of the caller's choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paging {
    /// The oldest first, all of them. Parameters of a page are filters of columns that there are
    /// not, so that nothing passes.
    None,
    /// As asked for.
    Asked,
}

/// The value of a column as text; the outer `None` says that there is no such column.
fn column(transfer: &Transfer, key: &str) -> Option<Option<String>> {
    Some(match key {
        "id" => Some(transfer.id.to_string()),
        "created_at" => Some(volume_time(transfer.created_us)),
        "name" | "display_name" => transfer.name.clone(),
        "volume_id" => Some(transfer.volume_id.to_string()),
        "no_snapshots" => Some(transfer.no_snapshots.to_string()),
        "source_project_id" => Some(transfer.project_id.clone()),
        "destination_project_id" => None,
        "accepted" => Some(false.to_string()),
        _ => return None,
    })
}

/// The page that the parameters ask for, and all that it is cut out of, in order.
pub(super) fn list(
    view: &impl View,
    caller: &Caller,
    params: &Params,
    paging: Paging,
) -> Result<(Page, Vec<Transfer>), Fault> {
    let page = match paging {
        Paging::Asked => Page::read(params)?,
        Paging::None => {
            // Numbers are looked at all the same.
            Page::parse(&params.clone().only(&["limit", "offset"]), &[])?;
            Page::parse(&Params::default(), &[])?
        }
    };
    let query = match caller.project_id() {
        _ if caller.is_admin && params.flag("all_tenants", false) => {
            Query::by(BY_CREATED, Key::new())
        }
        Some(project) => Query::by(BY_PROJECT, Key::new().text(project)),
        None => return Err(Fault::malformed()),
    };
    let is_filter =
        |key: &str| !SCOPING.contains(&key) && (paging == Paging::None || !PAGING.contains(&key));
    let filters: Vec<(&str, &str)> = params.iter().filter(|(key, _)| is_filter(key)).collect();
    let is_column = |key: &str| SORT_KEYS.contains(&key) || UNSORTED.contains(&key);
    if !filters.iter().all(|(key, _)| is_column(key)) {
        // Nothing passes, whatever the order and the marker.
        return Ok((Page::read(&Params::default())?, Vec::new()));
    }
    let passes = |transfer: &Transfer| {
        let as_wanted = |&(key, wanted): &(&str, &str)| {
            column(transfer, key).is_some_and(|value| value.as_deref() == Some(wanted))
        };
        filters.iter().all(as_wanted)
    };
    let mut found: Vec<Transfer> = view.list(&query)?;
    found.retain(passes);
    sort(&mut found, &page, paging);
    Ok((page, found))
}

/// Orders a list that has the newest first.
fn sort(found: &mut [Transfer], page: &Page, paging: Paging) {
    // Stable: what the keys leave equal is in order of time, in the direction of the first key.
    let first = page.sort.first().map(|(_, direction)| *direction);
    if paging == Paging::None || first == Some(Direction::Ascending) {
        found.reverse();
    }
    found.sort_by(|a, b| {
        let orders = page
            .sort
            .iter()
            .map(|(key, way)| way.apply(column(a, key).cmp(&column(b, key))));
        orders.fold(Ordering::Equal, Ordering::then)
    });
}
