//! `/reclaim`: packs all that waits and gives back what nothing needs, while the caller waits.

use axum::Json;
use axum::extract::State;

use crate::auth::Caller;
use crate::fault::{Fault, FaultKind};
use crate::policy::Rule;
use crate::server::Services;
use crate::types::native as wire;

/// Goes through the backends one by one; what the first gave back stays so if the next fails.
fn reclaim(services: &Services) -> store::Result<u64> {
    let backends = services.backends().iter();
    backends.map(|backend| backend.store().reclaim_now()).sum()
}

/// Runs one reclaim; others wait their turn without holding a thread. It goes on when the caller
/// goes away.
pub(super) async fn run(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::ReclaimResult>, Fault> {
    caller.check_own(Rule::NativeReclaim)?;
    services
        .reclaiming(|services| match reclaim(services) {
            Ok(reclaimed_bytes) => {
                let message = format!("{reclaimed_bytes} bytes given back");
                services.event("pool.reclaimed", None, "pool", message);
                Ok(Json(wire::ReclaimResult { reclaimed_bytes }))
            }
            Err(error) if error.kind() == store::ErrorKind::NoSpace => {
                let message = "There is no room to pack into; add space to the file system.";
                tracing::warn!(%error, "reclaim ended early");
                Err(Fault::new(FaultKind::Unavailable, message))
            }
            Err(error) => Err(error.into()),
        })
        .await
}
