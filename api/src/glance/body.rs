//! Bodies of Image's requests: JSON of a bounded length, whatever type they are said to be.

use axum::extract::Request;
use http::Uri;
use serde_json::Value;

use crate::body;
use crate::fault::Fault;
use crate::page::Params;

/// The JSON of a request that must have some.
///
/// # Errors
/// 400 without a body, or for one that is no JSON; 413 for one that is too long.
pub(super) async fn json(request: Request) -> Result<Value, Fault> {
    let bytes = body::read(request).await?;
    if bytes.is_empty() {
        return Err(Fault::bad_request("Body expected in request."));
    }
    serde_json::from_slice(&bytes)
        .map_err(|_| Fault::bad_request("Malformed JSON in request body."))
}

/// The query of a request.
///
/// # Errors
/// As [`Params::parse`].
pub(super) fn params(uri: &Uri) -> Result<Params, Fault> {
    Params::parse(uri.query().unwrap_or_default())
}
