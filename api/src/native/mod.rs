//! The native API, `/cinderblock/v1`: what OpenStack has no call for.
//!
//! [`crate::types::native`] has the table of requests and who may make them. Everything here is
//! read from the catalogue, the engine's counters and the NBD side when asked; only the version of
//! the tree is remembered.

mod activity;
mod exports;
mod operations;
mod reclaim;
mod scrub;
mod space;
mod stats;
#[cfg(test)]
mod tests;
mod tree;
mod volumes;

use crate::fault::Fault;
use crate::jobs::Registry;
use crate::openapi::Routes;
use crate::page::{LIMIT_MAX, Params};

use operations as ops;
pub(crate) use tree::TreeVersion;

/// Items in an answer when the caller names no number.
const LIMIT_DEFAULT: usize = 100;

/// The routes below `/cinderblock/v1`.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .on(ops::STATS, stats::show)
        .on(ops::HEALTH, stats::health)
        .on(ops::ALL_VOLUME_STATS, stats::volumes)
        .on(ops::VOLUME_STATS, volumes::stats)
        .on(ops::EXPLAIN, volumes::explain)
        .on(ops::VOLUME_SPACE, space::show)
        .on(ops::SOURCE_LENGTH, volumes::source_length)
        .on(ops::SET_SOURCE_LENGTH, volumes::set_source_length)
        .on(ops::EVENTS, activity::events)
        .on(ops::JOBS, activity::jobs)
        .on(ops::JOB, activity::job)
        .on(ops::EXPORTS, exports::index)
        .on(ops::RECLAIM, reclaim::run)
        .on(ops::START_SCRUB, scrub::start)
        .on(ops::SCRUB, scrub::show)
        .on(ops::TREE, tree::show)
}

/// Registers the handlers of this service's jobs; it has none, all its requests are answered when
/// they are done.
pub fn register(_registry: &mut Registry) {}

/// A whole number of the query, if it is there.
fn number(params: &Params, key: &str) -> Result<Option<u64>, Fault> {
    let parse = |text: &str| text.trim().parse();
    params
        .get(key)
        .map(parse)
        .transpose()
        .map_err(|_| Fault::bad_request(format!("{key} param must be a whole number")))
}

/// How many items are asked for, within bounds.
fn limit(params: &Params) -> Result<usize, Fault> {
    let asked = number(params, "limit")?.map(usize::try_from);
    Ok(match asked {
        None => LIMIT_DEFAULT,
        Some(asked) => asked.unwrap_or(LIMIT_MAX).min(LIMIT_MAX),
    })
}
