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

use crate::cinder::operations::managing as ops;
use crate::openapi::Routes;

pub(super) use snapshots::unmanage as unmanage_snapshot;
pub(super) use volumes::unmanage as unmanage_volume;
pub(super) use work::register;

pub(super) fn routes() -> Routes {
    routes_of(&ops::OLD).merge(routes_of(&ops::NEW))
}

fn routes_of([volumes, snapshots]: &[ops::Managing; 2]) -> Routes {
    Routes::new()
        .on(volumes.list, calls::volumes)
        .on(volumes.detail, calls::volumes_detail)
        .on(volumes.manage, calls::manage_volume)
        .on(snapshots.list, calls::snapshots)
        .on(snapshots.detail, calls::snapshots_detail)
        .on(snapshots.manage, calls::manage_snapshot)
}
