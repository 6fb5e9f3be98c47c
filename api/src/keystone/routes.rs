//! The routes of Identity.

use axum::Router;

use crate::server::Services;

/// All routes; those that need a token check it themselves.
pub(crate) fn routes(_services: &Services) -> Router<Services> {
    Router::new()
}
