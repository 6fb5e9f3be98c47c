//! The native API, `/cinderblock/v1`: what OpenStack has no call for.
//!
//! [`crate::types::native`] has the table of requests and who may make them. Everything here is
//! read from the catalogue, the engine's counters and the NBD side when asked; only the version of
//! the tree is remembered.

mod activity;
mod exports;
mod reclaim;
mod stats;
#[cfg(test)]
mod tests;
mod tree;
mod volumes;

use axum::Router;
use axum::routing::{get, post};

use crate::fault::Fault;
use crate::jobs::Registry;
use crate::page::{LIMIT_MAX, Params};
use crate::server::Services;

pub(crate) use tree::TreeVersion;

/// Items in an answer when the caller names no number.
const LIMIT_DEFAULT: usize = 100;

/// The routes below `/cinderblock/v1`.
pub fn routes() -> Router<Services> {
    Router::new()
        .route("/stats", get(stats::show))
        .route("/health", get(stats::health))
        .route("/volumes", get(stats::volumes))
        .route("/volumes/{id}/stats", get(volumes::stats))
        .route("/volumes/{id}/explain", get(volumes::explain))
        .route(
            "/volumes/{id}/source-length",
            get(volumes::source_length).put(volumes::set_source_length),
        )
        .route("/events", get(activity::events))
        .route("/jobs", get(activity::jobs))
        .route("/jobs/{id}", get(activity::job))
        .route("/exports", get(exports::index))
        .route("/reclaim", post(reclaim::run))
        .route("/tree", get(tree::show))
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
