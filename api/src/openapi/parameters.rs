//! Parameters that many operations take.

use super::operation::Parameter;
use super::shape::{Shape, int_of, text, words};
use crate::page::LIMIT_MAX;

/// A parameter that may be left out.
pub(crate) const fn parameter(
    name: &'static str,
    shape: fn() -> Shape,
    meaning: &'static str,
) -> Parameter {
    Parameter {
        name,
        shape,
        meaning,
        since: 0,
        required: false,
    }
}

impl Parameter {
    /// Only from 3.`minor` on; before, it does nothing.
    pub(crate) const fn since(self, minor: u16) -> Self {
        Self {
            since: minor,
            ..self
        }
    }

    /// It must be there.
    pub(crate) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}

/// Yes or no, as the real services read it; other words count as no.
pub(crate) fn truth() -> Shape {
    words(&["true", "false", "1", "0", "yes", "no", "on", "off"])
}

fn limit() -> Shape {
    int_of(0, i64::from(i32::MAX))
}

/// Pages of a list.
pub(crate) const PAGES: &[Parameter] = &[
    parameter(
        "limit",
        limit,
        "Most items of a page; more than 1000 count as 1000.",
    ),
    parameter("marker", text, "Id of the item before the page."),
    parameter("offset", limit, "Items to leave out."),
];

/// Order of a list.
pub(crate) const ORDER: &[Parameter] = &[
    parameter("sort", text, "`key[:asc|desc]`, more than one with commas."),
    parameter("sort_key", text, "A key to sort by; the older form."),
    parameter("sort_dir", text, "`asc` or `desc`; the older form."),
];

/// All projects instead of the caller's.
pub(crate) const ALL_TENANTS: &[Parameter] = &[parameter(
    "all_tenants",
    truth,
    "All projects; admins only.",
)];

/// The number of all items.
pub(crate) const COUNT: &[Parameter] =
    &[parameter("with_count", truth, "Count all items as well.").since(45)];

const _: () = assert!(LIMIT_MAX == 1000);
