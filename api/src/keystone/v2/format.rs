//! JSON or XML: what a request is read as, and what its answer is written in.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::xml::Element;

/// Most choices of an `Accept` header that are looked at.
const CHOICES_MAX: usize = 16;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

/// The forms of a request and of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Formats {
    pub(super) request: Format,
    pub(super) answer: Format,
}

impl Format {
    /// The form of a media type, if it is one of v2.0.
    fn of(media_type: &str) -> Option<Self> {
        match media_type.trim().to_ascii_lowercase().as_str() {
            "application/json" | "application/vnd.openstack.identity-v2.0+json" => Some(Self::Json),
            "application/xml" | "text/xml" | "application/vnd.openstack.identity-v2.0+xml" => {
                Some(Self::Xml)
            }
            _ => None,
        }
    }

    /// An answer in this form.
    pub(super) fn answer(
        self,
        status: StatusCode,
        json: impl FnOnce() -> Value,
        xml: impl FnOnce() -> Element,
    ) -> Response {
        let mut response = match self {
            Self::Json => (status, Json(json())).into_response(),
            Self::Xml => {
                let kind = [(header::CONTENT_TYPE, "application/xml")];
                (status, kind, xml().document()).into_response()
            }
        };
        let vary = HeaderValue::from_static("Accept");
        response.headers_mut().insert(header::VARY, vary);
        response
    }
}

impl Formats {
    /// Those that the headers ask for. What is not said to be XML is read as JSON, and answered in
    /// its own form unless another is preferred.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let content_type = text(headers, &header::CONTENT_TYPE);
        let media_type = content_type.split(';').next().unwrap_or_default();
        let request = Format::of(media_type).unwrap_or(Format::Json);
        let accept = text(headers, &header::ACCEPT);
        Self {
            request,
            answer: preferred(accept).unwrap_or(request),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    let value = headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The form that an `Accept` header puts first, the earlier of equals; `None` when it names neither,
/// or whatever there is before both.
fn preferred(accept: &str) -> Option<Format> {
    let mut best: Option<(Option<Format>, f32)> = None;
    for choice in accept.split(',').take(CHOICES_MAX) {
        let mut parts = choice.split(';');
        let media_type = parts.next().unwrap_or_default().trim();
        let format = Format::of(media_type);
        if format.is_none() && !matches!(media_type, "*/*" | "application/*") {
            continue;
        }
        let weight = parts.find_map(|part| part.trim().strip_prefix("q="));
        let weight = weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(_, other)| weight > other) {
            best = Some((format, weight));
        }
    }
    best.and_then(|(format, _)| format)
}

impl<S: Sync> FromRequestParts<S> for Formats {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::{Format, Formats};

    fn formats(content_type: &'static str, accept: &'static str) -> (Format, Format) {
        let mut headers = HeaderMap::new();
        for (name, text) in [
            (header::CONTENT_TYPE, content_type),
            (header::ACCEPT, accept),
        ] {
            if !text.is_empty() {
                headers.insert(name, HeaderValue::from_static(text));
            }
        }
        let formats = Formats::of(&headers);
        (formats.request, formats.answer)
    }

    #[test]
    fn the_answer_is_as_asked_else_as_the_request() {
        use Format::{Json, Xml};
        assert_eq!(formats("", ""), (Json, Json));
        assert_eq!(formats("application/xml; charset=utf-8", ""), (Xml, Xml));
        assert_eq!(formats("application/xml", "*/*"), (Xml, Xml));
        assert_eq!(formats("application/xml", "application/json"), (Xml, Json));
        assert_eq!(formats("application/json", "text/xml"), (Json, Xml));
        assert_eq!(formats("text/plain", "image/png"), (Json, Json));
        let weighed = "application/json;q=0.2, application/xml;q=0.8, text/html";
        assert_eq!(formats("application/json", weighed), (Json, Xml));
        assert_eq!(formats("", "application/xml;q=0"), (Json, Json));
        assert_eq!(formats("", "application/xml;q=x, */*;q=0.1"), (Json, Json));
    }
}
