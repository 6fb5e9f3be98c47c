//! Microversion negotiation of Block Storage: which 3.x a request asks for.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::fault::{Fault, FaultKind, NotRouted};
use crate::server::Services;

const HEADER: HeaderName = HeaderName::from_static("openstack-api-version");

/// The minor number of a 3.x version within the supported range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Microversion(pub u16);

impl Microversion {
    /// What a request without the header gets.
    pub const MIN: Self = Self(0);
    /// The newest supported.
    pub const MAX: Self = Self(71);

    /// Whether operations and fields added in 3.`minor` exist.
    pub fn has(self, minor: u16) -> bool {
        self.0 >= minor
    }

    /// 404 unless operations added in 3.`minor` exist.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn require(self, minor: u16) -> Result<(), Fault> {
        if self.has(minor) {
            Ok(())
        } else {
            Err(Fault::version_not_found())
        }
    }

    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Rejected> {
        let Some(value) = headers.get(HEADER) else {
            return Ok(Self::MIN);
        };
        let value = value.to_str().map_err(|_| Rejected::NoService)?;
        // Compared by substring, as the real service does: "volumev3 3.27" passes.
        let part = value.split(',').find(|part| part.contains("volume"));
        let part = part.ok_or(Rejected::NoService)?.trim();
        let version = part.split_whitespace().nth(1).unwrap_or_default();
        if version == "latest" {
            return Ok(Self::MAX);
        }
        let numbers = numbers(version).ok_or_else(|| Rejected::Malformed(version.to_owned()))?;
        match numbers {
            (3, minor @ 0..=71) => Ok(Self(minor)),
            _ => Err(Rejected::OutOfRange(version.to_owned())),
        }
    }
}

impl std::fmt::Display for Microversion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}", self.0)
    }
}

/// `[1-9]\d*\.([1-9]\d*|0)`; numbers too large for any version are as good as the largest.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    let number = |digits: &str| {
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        valid.then(|| digits.parse().unwrap_or(u16::MAX))
    };
    if major.starts_with('0') || (minor.starts_with('0') && minor != "0") {
        return None;
    }
    Some((number(major)?, number(minor)?))
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    NoService,
    Malformed(String),
    OutOfRange(String),
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        match self {
            Self::NoService => Fault::malformed().into_response(),
            Self::Malformed(version) => Fault::bad_request(format!(
                "API Version String {version} is of invalid format. Must be of format \
                 MajorNum.MinorNum."
            ))
            .into_response(),
            Self::OutOfRange(version) => {
                let message = format!(
                    "Version {version} is not supported by the API. Minimum is {} and maximum is {}.",
                    Microversion::MIN,
                    Microversion::MAX,
                );
                let mut response = Fault::new(FaultKind::NotAcceptable, message).into_response();
                stamp(&mut response, &version);
                response
            }
        }
    }
}

/// Puts the version headers on an answer.
fn stamp(response: &mut Response, version: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("volume {version}")) {
        response.headers_mut().insert(HEADER, value);
        let vary = HeaderValue::from_static("OpenStack-API-Version");
        response.headers_mut().insert(header::VARY, vary);
    }
}

/// Layer: negotiates the version of a request and stamps the answer.
pub(crate) async fn negotiate(
    State(_): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    match Microversion::parse(request.headers()) {
        Err(rejected) => rejected.into_response(),
        Ok(version) => {
            request.extensions_mut().insert(version);
            let mut response = next.run(request).await;
            if response.extensions().get::<NotRouted>().is_none() {
                stamp(&mut response, &version.to_string());
            }
            response
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Microversion {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let version = parts.extensions.get::<Self>().copied();
        version.ok_or_else(|| Fault::internal("a route without version negotiation"))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{HEADER, Microversion, Rejected};

    #[test]
    fn table_of_headers() {
        let malformed = |text: &str| Err(Rejected::Malformed(text.into()));
        let out = |text: &str| Err(Rejected::OutOfRange(text.into()));
        let table = [
            ("volume 3.27", Ok(Microversion(27))),
            ("volume latest", Ok(Microversion::MAX)),
            ("compute 2.1, volume 3.10", Ok(Microversion(10))),
            ("volumev3 3.10", Ok(Microversion(10))),
            ("volume 3.71", Ok(Microversion(71))),
            ("volume 3.72", out("3.72")),
            ("volume 2.0", out("2.0")),
            ("volume 3.100000", out("3.100000")),
            ("volume 3.07", malformed("3.07")),
            ("volume 3", malformed("3")),
            ("volume 3.x", malformed("3.x")),
            ("volume", malformed("")),
            ("3.50", Err(Rejected::NoService)),
            ("block-storage 3.10", Err(Rejected::NoService)),
        ];
        for (text, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_static(text));
            assert_eq!(Microversion::parse(&headers), expected, "{text}");
        }
        assert_eq!(
            Microversion::parse(&HeaderMap::new()),
            Ok(Microversion::MIN)
        );
    }
}
