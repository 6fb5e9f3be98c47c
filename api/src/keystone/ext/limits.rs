//! `/v3/limits` and `/v3/registered_limits`: unified limits, of which this Identity has none. What a
//! project may use, the quotas of Block Storage say.

use axum::extract::State;
use http::Uri;

use crate::auth::Caller;
use crate::keystone::operations::collection;
use crate::keystone::resource::{Reply, list};
use crate::openapi::shape::any;
use crate::openapi::{Operation, Routes};
use crate::server::Services;

const LIMITS: Operation = Operation::get("/v3/limits", "List unified limits; there are none.")
    .answers(200, || collection("limits", any()));
const REGISTERED: Operation = Operation::get(
    "/v3/registered_limits",
    "List what unified limits are by default; there are none.",
)
.answers(200, || collection("registered_limits", any()));

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(LIMITS, limits)
        .on(REGISTERED, registered_limits)
}

async fn limits(State(services): State<Services>, _: Caller, uri: Uri) -> Reply {
    list(&services, "limits", &uri, Vec::new())
}

async fn registered_limits(State(services): State<Services>, _: Caller, uri: Uri) -> Reply {
    list(&services, "registered_limits", &uri, Vec::new())
}
