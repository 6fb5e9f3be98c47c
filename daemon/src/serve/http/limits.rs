//! Limits of time, and the headers that every answer has.
//!
//! A request ends within a limit, its body and its work. Those that carry the bytes of an image may
//! take as long as they need; of them only silence is limited, as it is of all who do not read what
//! they asked for (see [`super::stall`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

/// A request without a limit: an operator waits for all of the raw tier to be packed. Its body is
/// never read, and others than administrators are answered at once.
const RECLAIM: &str = "/cinderblock/v1/reclaim";
/// Others, of the same kind: the whole map of a pool is read to say what a volume shares.
const VOLUMES: &str = "/cinderblock/v1/volumes/";
/// Parts of a path whose answers hold what nobody may keep: tokens and other credentials.
const SECRETS: [&str; 4] = ["tokens", "application_credentials", "credentials", "OS-EC2"];
/// Header of an answer that holds a token.
const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// A year, for those who have spoken to us with encryption once.
const TRANSPORT_SECURITY: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::serve) struct Limits {
    /// The head of a request, and the time between requests of a connection.
    pub(in crate::serve) head: Duration,
    /// A request as a whole, body and work: the slowest waits for one bounded job step.
    pub(in crate::serve) request: Duration,
    /// Between two pieces of what the other side sends or takes.
    pub(in crate::serve) silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            request: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        }
    }
}

/// Layer: ends requests that take too long, be it for a body that does not come.
pub(super) async fn limit_time(
    State(limits): State<Limits>,
    request: Request,
    next: Next,
) -> Response {
    if is_unlimited(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    if is_image_data(request.uri().path()) {
        return limit_silence(limits.silence, request, next).await;
    }
    match tokio::time::timeout(limits.request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

/// Whether a request may take as long as it needs.
fn is_unlimited(method: &Method, path: &str) -> bool {
    let of_volume = path.strip_prefix(VOLUMES);
    let is_space = of_volume.is_some_and(|rest| rest.ends_with("/space"));
    (method == Method::POST && path == RECLAIM) || (method == Method::GET && is_space)
}

/// Whether the path is one of an image's bytes: `/v2/images/{id}/file` and `/stage`, of any minor
/// version too; on the single listener they are below `/image`.
fn is_image_data(path: &str) -> bool {
    let path = path.strip_prefix("/image").unwrap_or(path);
    let mut parts = path.split('/').skip(1);
    let (version, images, id) = (parts.next(), parts.next(), parts.next());
    let (data, rest) = (parts.next(), parts.next());
    version.is_some_and(|version| version == "v2" || version.starts_with("v2."))
        && images == Some("images")
        && id.is_some_and(|id| !id.is_empty())
        && matches!(data, Some("file" | "stage"))
        && rest.is_none()
}

async fn limit_silence(limit: Duration, request: Request, next: Next) -> Response {
    let silent = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| {
        Body::new(Impatient {
            body,
            limit,
            waiting: None,
            silent: silent.clone(),
        })
    });
    let response = next.run(request).await;
    match silent.load(Ordering::Relaxed) {
        true => StatusCode::REQUEST_TIMEOUT.into_response(),
        false => response,
    }
}

/// A body that fails when nothing more comes for a while.
struct Impatient {
    body: Body,
    limit: Duration,
    /// Set while somebody waits.
    waiting: Option<Pin<Box<Sleep>>>,
    silent: Arc<AtomicBool>,
}

impl HttpBody for Impatient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = None;
            return Poll::Ready(frame);
        }
        let limit = this.limit;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if waiting.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        this.silent.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(Error::new("the body stopped coming"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Layer: what keeps browsers and proxies from making more of an answer than it is.
pub(super) async fn secure_headers(
    State(encrypted): State<bool>,
    request: Request,
    next: Next,
) -> Response {
    let secret = request
        .uri()
        .path()
        .split('/')
        .any(|part| SECRETS.contains(&part));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if encrypted {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TRANSPORT_SECURITY);
    }
    if secret || headers.contains_key(SUBJECT_TOKEN) {
        let value = HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::is_image_data;

    #[test]
    fn only_the_bytes_of_images_take_their_time() {
        for path in [
            "/image/v2/images/a/file",
            "/v2/images/a/stage",
            "/v2.9/images/a/file",
        ] {
            assert!(is_image_data(path), "{path}");
        }
        for path in [
            "/v2/images/a",
            "/v2/images//file",
            "/v2/images/a/file/b",
            "/image/v2/images",
            "/volume/v3/images/a/file",
            "/v3/v2/images/a/file",
        ] {
            assert!(!is_image_data(path), "{path}");
        }
    }
}
