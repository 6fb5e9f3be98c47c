//! QoS specs: named sets of limits which volume types refer to.
//!
//! What the back end is to enforce, the NBD exports of the type's volumes are held to
//! ([`limits_of_volume`]); what the front end is to enforce travels in `connection_info`. A change
//! of specs or associations reaches live exports at once.

mod associations;
mod calls;
mod limits;
mod rows;
#[cfg(test)]
mod tests;

pub use limits::{IoLimits, Rate};
pub(super) use limits::{front_end, limits_of_volume};

use crate::openapi::Routes;

/// The routes.
pub(super) fn routes() -> Routes {
    calls::routes().merge(associations::routes())
}
