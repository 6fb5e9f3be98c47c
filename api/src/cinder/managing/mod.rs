//! What a backend holds and the catalogue does not know: listing it, taking it over, letting it go.
//!
//! Letting go (`os-unmanage`) removes the row alone. The object stays in the pool under the id it
//! had, and its reference is `volume-ID` or `snapshot-ID`. Taking over gives it a new row, and the
//! row's new id: a clone in constant time, after which the object of the old id goes.

mod calls;
mod list;
mod reference;
mod snapshots;
#[cfg(test)]
mod tests;
mod volumes;
mod work;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;

use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::server::Services;

pub(super) use snapshots::unmanage as unmanage_snapshot;
pub(super) use volumes::unmanage as unmanage_volume;
pub(super) use work::register;

/// The paths without `os-` are newer.
async fn since_8(version: Microversion, request: Request, next: Next) -> Result<Response, Fault> {
    version.require(8)?;
    Ok(next.run(request).await)
}

pub(super) fn routes() -> Router<Services> {
    let volumes = || get(calls::volumes).post(calls::manage_volume);
    let snapshots = || get(calls::snapshots).post(calls::manage_snapshot);
    let named_anew = Router::new()
        .route("/manageable_volumes", volumes())
        .route("/manageable_volumes/detail", get(calls::volumes_detail))
        .route("/manageable_snapshots", snapshots())
        .route("/manageable_snapshots/detail", get(calls::snapshots_detail))
        .route_layer(from_fn(since_8));
    Router::new()
        .merge(named_anew)
        .route("/os-volume-manage", volumes())
        .route("/os-volume-manage/detail", get(calls::volumes_detail))
        .route("/os-snapshot-manage", snapshots())
        .route("/os-snapshot-manage/detail", get(calls::snapshots_detail))
}
