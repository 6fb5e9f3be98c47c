//! The native API, `/cinderblock/v1`: what OpenStack has no call for. Admin only unless stated.

use axum::Router;

use crate::jobs::Registry;
use crate::server::Services;

/// The routes below `/cinderblock/v1`.
pub fn routes() -> Router<Services> {
    Router::new()
}

/// Registers the handlers of this service's jobs.
pub fn register(_registry: &mut Registry) {}
