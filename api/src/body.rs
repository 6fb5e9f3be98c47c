//! Request bodies: size limit, content type and JSON, before any handler looks at them.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::fault::{Fault, FaultKind, IdentityFault};
use crate::keystone;

/// Largest body in bytes: the real service's limit.
pub const BODY_BYTES_MAX: usize = 114_688;

/// Reads a body up to the limit.
///
/// # Errors
/// 413 for more, 400 when the connection fails.
pub async fn read(request: Request) -> Result<Bytes, Fault> {
    let limited = Limited::new(request.into_body(), BODY_BYTES_MAX);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = "Request is too large. Larger than max_request_body_size (%s).";
            Err(Fault::new(FaultKind::TooLarge, message))
        }
        Err(_) => Err(Fault::malformed()),
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// A JSON body of a Block Storage request; `Null` when there is none. A body without a content type
/// counts as none.
#[derive(Debug)]
pub struct JsonBody(pub Value);

impl<S: Sync> FromRequest<S> for JsonBody {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &S) -> Result<Self, Fault> {
        let content_type = content_type(request.headers()).map(str::to_owned);
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(Value::Null));
        }
        match content_type.as_deref() {
            None => Ok(Self(Value::Null)),
            Some("application/json" | "application/vnd.openstack.volume+json") => {
                let value = serde_json::from_slice(&bytes);
                Ok(Self(value.map_err(|_| {
                    Fault::bad_request("Malformed request body")
                })?))
            }
            Some(_) => Err(Fault::new(
                FaultKind::BadMediaType,
                "Unsupported Content-Type",
            )),
        }
    }
}

/// A JSON body of an Identity request.
#[derive(Debug)]
pub struct IdentityBody(pub Value);

impl<S: Sync> FromRequest<S> for IdentityBody {
    type Rejection = IdentityFault;

    async fn from_request(request: Request, _: &S) -> Result<Self, IdentityFault> {
        let bytes = read(request).await?;
        let value = serde_json::from_slice(&bytes);
        let value = value.map_err(|_| keystone::expecting("valid JSON", "request body"))?;
        Ok(Self(value))
    }
}
