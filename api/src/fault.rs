//! The one place where an error becomes a status and an OpenStack fault body.
//!
//! [`Fault`] answers in Block Storage's form, `{"itemNotFound": {"code", "message"}}`;
//! [`IdentityFault`] wraps one and answers in Identity's, `{"error": {"code", "title", "message"}}`.
//! `ImageFault` answers in Image's, which depends on what the request accepts. What went wrong
//! inside is logged here and never told to the caller.

mod image;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{auth, catalogue};

pub(crate) use image::{ImageFault, tell as tell_image_faults};

/// What is told of every fault whose cause is ours.
const INTERNAL: &str =
    "The server has either erred or is incapable of performing the requested operation.";
/// What the real services say of a request they cannot place.
pub(crate) const MALFORMED: &str = "The server could not comply with the request since it is either malformed or otherwise incorrect.";
const UNAUTHENTICATED: &str = "The request you have made requires authentication.";

/// Kinds of faults, one a status and key of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// 400 `badRequest`.
    BadRequest,
    /// 401, Identity's form in all services.
    Unauthorized,
    /// 403 `forbidden`.
    Forbidden,
    /// 404 `itemNotFound`.
    NotFound,
    /// 405 `badMethod`.
    BadMethod,
    /// 406 `computeFault`.
    NotAcceptable,
    /// 409 `conflictingRequest`.
    Conflict,
    /// 410 of Image.
    Gone,
    /// 412 without a body.
    PreconditionFailed,
    /// 413 `overLimit`: a quota; says when to retry.
    OverQuota,
    /// 413 `overLimit`: something is too large.
    TooLarge,
    /// 415 `badMediaType`.
    BadMediaType,
    /// 416 of Image.
    RangeNotSatisfiable,
    /// 429 of the login limiter; Identity only.
    TooManyRequests,
    /// 500 `computeFault`, message hidden.
    Internal,
    /// 501 `notImplemented`.
    NotImplemented,
    /// 503 `serviceUnavailable`.
    Unavailable,
    /// 503 because nobody can say who the caller is.
    NoIdentity,
}

impl FaultKind {
    /// All kinds.
    pub(crate) const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::BadMethod,
        Self::NotAcceptable,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::OverQuota,
        Self::TooLarge,
        Self::BadMediaType,
        Self::RangeNotSatisfiable,
        Self::TooManyRequests,
        Self::Internal,
        Self::NotImplemented,
        Self::Unavailable,
        Self::NoIdentity,
    ];

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::OverQuota | Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable | Self::NoIdentity => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::BadRequest => "badRequest",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "itemNotFound",
            Self::BadMethod => "badMethod",
            Self::NotAcceptable | Self::Internal => "computeFault",
            Self::Conflict => "conflictingRequest",
            Self::Gone => "gone",
            Self::PreconditionFailed => "preconditionFailed",
            Self::OverQuota | Self::TooLarge | Self::TooManyRequests => "overLimit",
            Self::BadMediaType => "badMediaType",
            Self::RangeNotSatisfiable => "badRange",
            Self::NotImplemented => "notImplemented",
            Self::Unavailable | Self::NoIdentity => "serviceUnavailable",
        }
    }
}

/// A refusal or failure on its way to the caller.
#[derive(Debug)]
pub struct Fault {
    kind: FaultKind,
    message: String,
    /// The cause, for the log only.
    cause: Option<String>,
    /// Whether Image tells the message below the explanation that its kind has.
    is_detail: bool,
}

impl Fault {
    /// A fault of `kind` that tells `message`.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
            is_detail: false,
        }
    }

    /// The same, which Image tells below the explanation that the kind has.
    pub(crate) fn into_detail(self) -> Self {
        Self {
            is_detail: true,
            ..self
        }
    }

    /// 400 with a message.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(FaultKind::BadRequest, message)
    }

    /// 400 with the generic text for requests that make no sense.
    pub fn malformed() -> Self {
        Self::bad_request(MALFORMED)
    }

    /// 401; nothing is ever told of the reason.
    pub fn unauthorized() -> Self {
        Self::new(FaultKind::Unauthorized, UNAUTHENTICATED)
    }

    /// 403 for a Block Storage policy rule.
    pub fn forbidden(rule: &str) -> Self {
        let message = format!("Policy doesn't allow {rule} to be performed.");
        Self::new(FaultKind::Forbidden, message)
    }

    /// 404 with a message such as "Volume X could not be found.".
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FaultKind::NotFound, message)
    }

    /// 404 of an operation that the asked microversion does not have.
    pub fn version_not_found() -> Self {
        Self::not_found("The resource could not be found.")
    }

    /// 409 with a message.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Conflict, message)
    }

    /// 413 of a quota; the message begins with the error's name.
    pub fn over_quota(message: impl Into<String>) -> Self {
        Self::new(FaultKind::OverQuota, message)
    }

    /// 500; `cause` goes to the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self {
            kind: FaultKind::Internal,
            message: INTERNAL.to_owned(),
            cause: Some(cause.to_string()),
            is_detail: false,
        }
    }

    /// 503 with a message.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Unavailable, message)
    }

    /// 503 while the Keystone elsewhere does not answer: as the real services' filter in front of them
    /// says it.
    pub fn no_identity() -> Self {
        let message = "The Keystone service is temporarily unavailable.";
        Self::new(FaultKind::NoIdentity, message)
    }

    /// The kind, for matching.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What the caller is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Logs the cause, if it is ours.
    pub(crate) fn log(&self) {
        if let Some(cause) = &self.cause {
            tracing::error!(%cause, "request failed");
        }
    }

    fn volume_body(&self) -> Value {
        let mut inner = Map::new();
        inner.insert("code".into(), json!(self.kind.status().as_u16()));
        inner.insert("message".into(), json!(self.message));
        if self.kind == FaultKind::OverQuota {
            inner.insert("retryAfter".into(), json!("0"));
        }
        json!({ self.kind.key(): inner })
    }

    fn identity_body(&self) -> Value {
        let status = self.kind.status();
        json!({"error": {
            "code": status.as_u16(),
            "message": self.message,
            "title": status.canonical_reason().unwrap_or("Error"),
        }})
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            Some(cause) => write!(f, "{} ({cause})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.log();
        let status = self.kind.status();
        let mut response = match self.kind {
            FaultKind::PreconditionFailed => status.into_response(),
            FaultKind::TooLarge => outside(status, "Request Entity Too Large", &self.message),
            FaultKind::NoIdentity => outside(status, "Service Unavailable", &self.message),
            FaultKind::Unauthorized => (status, Json(self.identity_body())).into_response(),
            _ => (status, Json(self.volume_body())).into_response(),
        };
        if self.kind == FaultKind::OverQuota {
            let zero = HeaderValue::from_static("0");
            response.headers_mut().insert(header::RETRY_AFTER, zero);
        }
        mark(&mut response, self.kind);
        response
    }
}

/// A fault in Identity's form.
#[derive(Debug)]
pub struct IdentityFault(pub Fault);

impl IntoResponse for IdentityFault {
    fn into_response(self) -> Response {
        self.0.log();
        let body = Json(self.0.identity_body());
        let mut response = (self.0.kind.status(), body).into_response();
        mark(&mut response, self.0.kind);
        response
    }
}

/// The layer around the service knows the address of Identity and adds `WWW-Authenticate`.
fn mark(response: &mut Response, kind: FaultKind) {
    if kind == FaultKind::Unauthorized {
        response.extensions_mut().insert(auth::Unauthenticated);
    }
}

impl From<Fault> for IdentityFault {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<catalogue::Error> for IdentityFault {
    fn from(error: catalogue::Error) -> Self {
        Self(error.into())
    }
}

impl From<catalogue::Error> for Fault {
    fn from(error: catalogue::Error) -> Self {
        match error.kind() {
            catalogue::ErrorKind::Conflict => Self::conflict("The object already exists."),
            catalogue::ErrorKind::NotFound => Self::not_found("The resource could not be found."),
            catalogue::ErrorKind::Corrupt
            | catalogue::ErrorKind::UnsupportedFormat
            | catalogue::ErrorKind::NoSpace
            | catalogue::ErrorKind::Failed => Self::internal(error),
        }
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        match error.kind() {
            store::ErrorKind::InvalidInput => Self::bad_request(error.to_string()),
            store::ErrorKind::NotFound => Self::not_found("The resource could not be found."),
            store::ErrorKind::AlreadyExists | store::ErrorKind::Busy => {
                Self::conflict(error.to_string())
            }
            store::ErrorKind::NoSpace
            | store::ErrorKind::Corrupt
            | store::ErrorKind::UnsupportedFormat
            | store::ErrorKind::KeyUnavailable
            | store::ErrorKind::Failed
            | store::ErrorKind::Io => Self::internal(error),
        }
    }
}

/// Marks an answer from outside of the API proper, such as to a path or method that no route has: it
/// carries no version header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotRouted;

/// What a path or method without a route gets in Block Storage: 404, not in the fault form.
pub(crate) async fn not_routed() -> Response {
    let message = "The resource could not be found.";
    outside(StatusCode::NOT_FOUND, "Not Found", message)
}

/// What the real service's framework answers before a request reaches the API.
fn outside(status: StatusCode, title: &str, message: &str) -> Response {
    let body = json!({
        "code": format!("{} {title}", status.as_u16()),
        "message": format!("{message}<br /><br />\n\n\n"),
        "title": title,
    });
    let mut response = (status, Json(body)).into_response();
    response.extensions_mut().insert(NotRouted);
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Fault, FaultKind};

    #[test]
    fn bodies_have_the_recorded_shapes() {
        let fault = Fault::not_found("Volume x could not be found.");
        assert_eq!(
            fault.volume_body(),
            json!({"itemNotFound": {"code": 404, "message": "Volume x could not be found."}})
        );
        assert_eq!(
            Fault::over_quota("V").volume_body()["overLimit"]["retryAfter"],
            "0"
        );
        assert_eq!(
            Fault::unauthorized().identity_body(),
            json!({"error": {
                "code": 401,
                "message": "The request you have made requires authentication.",
                "title": "Unauthorized",
            }})
        );
    }

    #[test]
    fn causes_are_not_told() {
        let fault = Fault::internal("secret path");
        assert_eq!(fault.kind(), FaultKind::Internal);
        assert!(!fault.volume_body().to_string().contains("secret"));
    }
}
