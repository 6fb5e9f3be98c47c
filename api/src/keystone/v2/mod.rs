//! Identity v2.0: users and tenants of the domain `default`, in JSON and in XML.
//!
//! It is another way to say what v3 says: a token is asked for by the same code and is the same
//! token, good for v3 and for every service, and a token of v3 is known here if v2.0 has words for
//! it. Which form a body has and which its answer gets follows from the headers ([`format`]); faults
//! have v2.0's names in both ([`fault`]). XML is read by a parser that knows no document types
//! ([`xml`]).

mod access;
mod calls;
mod catalog;
mod fault;
mod format;
mod operations;
mod request;
#[cfg(test)]
mod tests;
mod xml;

use std::borrow::Cow;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use self::fault::Refused;
use crate::auth;
use crate::fault::FaultKind;
use crate::openapi::{Operation, Routes};
use crate::server::Services;

pub(super) use calls::version_entry;
pub(crate) use operations::fault as fault_shape;
pub(super) use operations::version as version_shape;

/// The name of a kind of fault in v2.0.
pub(crate) fn fault_name(kind: FaultKind) -> &'static str {
    fault::name_of(kind)
}

/// All routes, with those that need a token behind its check.
pub(super) fn routes(services: &Services) -> Router<Services> {
    let require_token = from_fn_with_state(services.clone(), require_token);
    let guarded = guarded_routes().router().route_layer(require_token);
    let all = open_routes().router().merge(guarded);
    all.layer(from_fn(fault::in_form))
}

/// What is to be said of all of them.
pub(crate) fn operations() -> Vec<Operation> {
    open_routes().merge(guarded_routes()).operations()
}

/// The paths that nothing is told of.
#[cfg(test)]
pub(super) fn untold_paths() -> Vec<String> {
    open_routes().merge(guarded_routes()).untold_paths()
}

fn open_routes() -> Routes {
    Routes::new()
        .on(operations::VERSION, calls::version)
        .untold("/v2.0", get(calls::version))
        .on(operations::ISSUE, calls::issue)
}

fn guarded_routes() -> Routes {
    Routes::new()
        .on(operations::VALIDATE, calls::validate)
        .on(operations::CHECK, calls::validate)
        .on(operations::REVOKE, calls::revoke)
        .on(operations::ENDPOINTS, calls::endpoints)
        .on(operations::TENANTS, calls::tenants)
}

/// Layer: lets only callers with a valid token in.
async fn require_token(
    State(services): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    match auth::admit(&services, &mut request).await {
        Err(fault) => Refused::from(fault).into_response(),
        Ok(()) => next.run(request).await,
    }
}

/// A path as it may be logged: v2.0 has tokens in its paths.
pub(crate) fn without_secrets(path: &str) -> Cow<'_, str> {
    const BEFORE: &str = "/v2.0/tokens/";
    match path.split_once(BEFORE) {
        Some((root, token)) => {
            let rest = token.split_once('/').map_or("", |(_, rest)| rest);
            let slash = if rest.is_empty() { "" } else { "/" };
            Cow::Owned(format!("{root}{BEFORE}***{slash}{rest}"))
        }
        None => Cow::Borrowed(path),
    }
}
