//! What admins see and change of the service itself: its parts, hosts, log levels, and what it
//! offers. This program is every part there is: a scheduler and a volume service for each back end;
//! there are no clusters.

mod actions;
mod body;
mod clusters;
mod extensions;
mod filters;
mod hosts;
mod log_levels;
mod rows;
#[cfg(test)]
mod tests;
mod workers;

pub(super) use actions::no_service;
pub(super) use log_levels::BINARIES as LOG_BINARIES;
pub(super) use rows::{VOLUME, apply, check_not_frozen, is_enabled};

use crate::openapi::Routes;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .merge(actions::routes())
        .merge(clusters::routes())
        .merge(extensions::routes())
        .merge(filters::routes())
        .merge(hosts::routes())
        .merge(log_levels::routes())
        .merge(workers::routes())
}
