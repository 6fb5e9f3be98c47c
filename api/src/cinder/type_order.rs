//! The order of lists of types, the same for volume types and group types.

use std::cmp::Ordering;

use uuid::Uuid;

use crate::page::{Direction, Page};

/// Columns that lists can be sorted by.
pub(super) const COLUMNS: [&str; 6] = [
    "id",
    "name",
    "description",
    "is_public",
    "created_at",
    "updated_at",
];

/// A type that is listed.
pub(super) trait Sortable {
    /// Its columns.
    fn keys(&self) -> SortKeys<'_>;
}

/// What types are sorted by.
pub(super) struct SortKeys<'a> {
    pub(super) id: Uuid,
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) is_public: bool,
    pub(super) created_us: u64,
    pub(super) updated_us: Option<u64>,
}

impl SortKeys<'_> {
    fn compare(&self, other: &Self, column: &str) -> Ordering {
        // Texts compare without regard to case, as the real service's database does.
        match column {
            "name" => self.name.to_uppercase().cmp(&other.name.to_uppercase()),
            "description" => {
                let upper = |text: Option<&str>| text.map(str::to_uppercase);
                upper(self.description).cmp(&upper(other.description))
            }
            "is_public" => self.is_public.cmp(&other.is_public),
            "created_at" => self.created_us.cmp(&other.created_us),
            "updated_at" => self.updated_us.cmp(&other.updated_us),
            _ => self.id.cmp(&other.id),
        }
    }
}

/// Puts types, of which the newest come first, into the order that a page asks for.
pub(super) fn sorted<T: Sortable>(mut found: Vec<T>, page: &Page) -> Vec<T> {
    // Stable: what the keys leave equal is in order of time, in the direction of the first key.
    if let Some((_, Direction::Ascending)) = page.sort.first() {
        found.reverse();
    }
    found.sort_by(|a, b| {
        let (a, b) = (a.keys(), b.keys());
        let orders = page
            .sort
            .iter()
            .map(|(column, way)| way.apply(a.compare(&b, column)));
        orders.fold(Ordering::Equal, Ordering::then)
    });
    found
}

/// The page of types that are in order. A marker that is none of them is as good as none, as the
/// real service has it.
pub(super) fn cut<T: Sortable>(found: Vec<T>, page: &Page) -> Vec<T> {
    let is_marker = |one: &T| Some(one.keys().id.to_string()) == page.marker;
    let start = found.iter().position(is_marker).map_or(0, |at| at + 1);
    let rest = found.into_iter().skip(start).skip(page.offset);
    rest.take(page.limit).collect()
}
