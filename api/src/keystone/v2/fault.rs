//! Faults under the names of v2.0, in the form that a request asks for.
//!
//! Handlers refuse with a [`Refused`]; the layer around them, [`in_form`], knows the headers and
//! writes it down. A path asked by a method that it does not have is refused there as well.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::format::{Format, Formats};
use super::xml::Element;
use crate::auth::Unauthenticated;
use crate::catalogue;
use crate::fault::{Fault, FaultKind};

/// A fault on its way out, with a name other than that of its kind if it has one.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    fault: Arc<Fault>,
    name: Option<&'static str>,
}

impl Refused {
    /// 403 of a user who gave the right password and must not come in.
    pub(super) fn user_disabled() -> Self {
        let fault = Fault::new(FaultKind::Forbidden, "User has been disabled");
        Self {
            name: Some("userDisabled"),
            ..Self::from(fault)
        }
    }

    /// What kind of fault it is.
    pub(super) fn kind(&self) -> FaultKind {
        self.fault.kind()
    }

    fn status(&self) -> StatusCode {
        match self.kind() {
            // v2.0 has one status for all that is too much.
            FaultKind::TooManyRequests => StatusCode::PAYLOAD_TOO_LARGE,
            kind => kind.status(),
        }
    }

    fn in_format(&self, format: Format) -> Response {
        let status = self.status();
        let (name, message) = (
            self.name.unwrap_or(name_of(self.kind())),
            self.fault.message(),
        );
        let json = || json!({name: {"code": status.as_u16(), "message": message, "details": ""}});
        let xml = || {
            let message = Element::new("message").saying(message);
            let code = status.as_u16().to_string();
            Element::new(name).with("code", code).holding([message])
        };
        let mut response = format.answer(status, json, xml);
        if self.kind() == FaultKind::Unauthorized {
            response.extensions_mut().insert(Unauthenticated);
        }
        response
    }
}

/// The name of a kind in v2.0; what it has no name for is a fault of Identity.
pub(super) fn name_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::BadRequest => "badRequest",
        FaultKind::Unauthorized => "unauthorized",
        FaultKind::Forbidden => "forbidden",
        FaultKind::NotFound => "itemNotFound",
        FaultKind::BadMethod => "badMethod",
        FaultKind::OverQuota | FaultKind::TooLarge | FaultKind::TooManyRequests => "overLimit",
        FaultKind::Unavailable | FaultKind::NoIdentity => "serviceUnavailable",
        FaultKind::NotAcceptable
        | FaultKind::Conflict
        | FaultKind::PreconditionFailed
        | FaultKind::BadMediaType
        | FaultKind::Internal
        | FaultKind::Gone
        | FaultKind::RangeNotSatisfiable
        | FaultKind::NotImplemented => "identityFault",
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        fault.log();
        Self {
            fault: Arc::new(fault),
            name: None,
        }
    }
}

impl From<catalogue::Error> for Refused {
    fn from(error: catalogue::Error) -> Self {
        Fault::from(error).into()
    }
}

impl IntoResponse for Refused {
    /// Without a body: [`in_form`] writes it.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Layer: writes what was refused in the form that was asked for.
pub(super) async fn in_form(request: Request, next: Next) -> Response {
    let format = Formats::of(request.headers()).answer;
    let mut response = next.run(request).await;
    if let Some(refused) = response.extensions_mut().remove::<Refused>() {
        return refused.in_format(format);
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let message = "The method is not allowed for this resource.";
        let refused = Refused::from(Fault::new(FaultKind::BadMethod, message));
        return refused.in_format(format);
    }
    response
}
