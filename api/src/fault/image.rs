//! Faults in the form of Image: a page, JSON or plain text, whichever the request accepts.
//!
//! A handler's [`ImageFault`] does not know the request, so its answer carries what is to be told
//! and [`tell`], a layer around the service, writes it down.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::{Fault, FaultKind};
use crate::catalogue;

const PAGE: &str = "text/html; charset=UTF-8";
/// What is told of requests without a valid token.
const UNAUTHENTICATED: &str = "This server could not verify that you are authorized to access the \
                               document you requested. Either you supplied the wrong credentials \
                               (e.g., bad password), or your browser does not understand how to \
                               supply the credentials required.";
const PLAIN: &str = "text/plain; charset=UTF-8";

/// A fault in Image's form.
#[derive(Debug)]
pub(crate) struct ImageFault(pub(crate) Fault);

/// What is to be told, until the layer has told it.
#[derive(Clone, Debug)]
struct Untold {
    kind: FaultKind,
    message: String,
    is_detail: bool,
}

impl From<Fault> for ImageFault {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<catalogue::Error> for ImageFault {
    fn from(error: catalogue::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ImageFault {
    fn into_response(self) -> Response {
        self.0.log();
        let mut response = self.0.kind.status().into_response();
        let message = match self.0.kind {
            FaultKind::Unauthorized => UNAUTHENTICATED.to_owned(),
            _ => self.0.message,
        };
        response.extensions_mut().insert(Untold {
            kind: self.0.kind,
            message,
            is_detail: self.0.is_detail,
        });
        response
    }
}

/// Layer: gives faults their bodies, those of the routing too.
pub(crate) async fn tell(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let accepted = text(request.headers(), &header::ACCEPT).unwrap_or_default();
    let sent = text(request.headers(), &header::CONTENT_TYPE).unwrap_or_default();
    let mut response = next.run(request).await;
    let untold = response.extensions_mut().remove::<Untold>();
    let untold = untold.or_else(|| match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some(Untold {
            kind: FaultKind::BadMethod,
            message: String::new(),
            is_detail: false,
        }),
        _ => None,
    });
    match untold {
        None => response,
        Some(untold) => written(&untold, response.headers(), &method, &accepted, &sent),
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// The text of a fault in the real service's words, with marks of HTML between its parts.
fn body_of(untold: &Untold, method: &Method, sent: &str, escape: fn(&str) -> String) -> String {
    let message = escape(&untold.message);
    match untold.kind {
        FaultKind::BadMethod if !message.is_empty() => message,
        FaultKind::BadMethod => format!(
            "The method {} is not allowed for this resource. <br /><br />\n{message}",
            escape(method.as_str())
        ),
        FaultKind::BadMediaType => format!(
            "The request media type {} is not supported by this server.\n<br /><br />\n{message}",
            escape(sent)
        ),
        FaultKind::Forbidden if untold.is_detail => {
            format!("Access was denied to this resource.<br /><br />\n{message}\n\n")
        }
        FaultKind::Conflict if untold.is_detail => format!(
            "There was a conflict when trying to complete your request.<br /><br />\n{message}\n\n"
        ),
        FaultKind::RangeNotSatisfiable => {
            format!("The Range requested is not available.<br /><br />\n{message}\n\n")
        }
        _ => format!("{message}<br /><br />\n\n\n"),
    }
}

/// The names that the real service's framework has for statuses.
fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        StatusCode::RANGE_NOT_SATISFIABLE => "Request Range Not Satisfiable",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}

fn written(
    untold: &Untold,
    before: &HeaderMap,
    method: &Method,
    accepted: &str,
    sent: &str,
) -> Response {
    let status = untold.kind.status();
    let title = title(status);
    let line = format!("{} {title}", status.as_u16());
    let body = |escape| body_of(untold, method, sent, escape);
    let mut response = match form(accepted) {
        Form::Page => {
            let page = format!(
                "<html>\n <head>\n  <title>{line}</title>\n </head>\n <body>\n  <h1>{line}</h1>\n  \
                 {}\n </body>\n</html>",
                body(escaped)
            );
            (status, [(header::CONTENT_TYPE, PAGE)], page).into_response()
        }
        Form::Json => {
            let body = json!({"message": body(str::to_owned), "code": line, "title": title});
            (status, Json(body)).into_response()
        }
        Form::Plain => {
            let body = body(str::to_owned)
                .replace('\n', " ")
                .replace("<br />", "\n");
            let text = format!("{line}\n\n{body}");
            (status, [(header::CONTENT_TYPE, PLAIN)], text).into_response()
        }
    };
    super::mark(&mut response, untold.kind);
    for name in [header::ALLOW, HeaderName::from_static("accept-patch")] {
        if let Some(value) = before.get(&name) {
            let value: &HeaderValue = value;
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// How a fault is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Page,
    Json,
    Plain,
}

/// The form that a request likes best; of those it likes as much, a page. One that likes nothing, or
/// says nothing, gets plain text.
fn form(accepted: &str) -> Form {
    let weight = |kind: &str| {
        let (major, _) = kind.split_once('/').unwrap_or((kind, ""));
        let wide = format!("{major}/*");
        // What is more exactly said counts, whatever its place.
        [kind, wide.as_str(), "*/*"]
            .into_iter()
            .find_map(|name| quality(accepted, name))
            .unwrap_or(0)
    };
    let (page, json) = (weight("text/html"), weight("application/json"));
    match (page, json) {
        (0, 0) => Form::Plain,
        _ if page >= json => Form::Page,
        _ => Form::Json,
    }
}

/// Thousandths of the quality that a header gives a media range.
fn quality(accepted: &str, name: &str) -> Option<u32> {
    accepted.split(',').find_map(|part| {
        let mut words = part.split(';').map(str::trim);
        let given = words.next()?;
        if !given.eq_ignore_ascii_case(name) {
            return None;
        }
        let told = words.find_map(|word| word.strip_prefix("q="));
        let parsed = told.and_then(|text| text.parse::<f32>().ok());
        Some((parsed.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32)
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

#[cfg(test)]
mod tests {
    use super::{Form, escaped, form};

    #[test]
    fn the_form_is_the_one_asked_for() {
        for (accepted, expected) in [
            ("", Form::Plain),
            ("*/*", Form::Page),
            ("application/json", Form::Json),
            ("application/json, text/html;q=0.5", Form::Json),
            ("text/html, application/json", Form::Page),
            ("application/*", Form::Json),
            ("image/png", Form::Plain),
            ("*/*;q=0, text/plain", Form::Plain),
        ] {
            assert_eq!(form(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn pages_hold_no_markup_of_others() {
        assert_eq!(escaped("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#x27;");
    }
}
