//! The Block Storage API.
//!
//! Handlers see paths below `/v3` with the project segment and a `.json` suffix already taken off
//! (see [`crate::server`]); [`crate::auth::Caller`] and [`crate::microversion::Microversion`] are
//! extractors.

mod default_types;
mod exports;
mod quotas;
pub mod records;
mod types;

use axum::Router;

pub use exports::{ExportTarget, all_volumes, resolve_export, volumes_named};

use crate::catalogue::{self, Writer};
use crate::jobs::Registry;
use crate::server::Services;

/// The routes below `/v3`.
pub fn routes() -> Router<Services> {
    Router::new()
}

/// Registers the handlers of this service's jobs.
pub fn register(_registry: &mut Registry) {}

/// Writes what the service expects to exist, the default volume type among it. Idempotent.
///
/// # Errors
/// Those of the catalogue.
pub fn bootstrap(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    types::bootstrap(writer, now_us)
}
