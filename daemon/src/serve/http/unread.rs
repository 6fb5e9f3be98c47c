//! What is left of a request's body when its answer is ready, as of one refused for its token.
//!
//! The HTTP library ends a connection of HTTP/1 after an answer unless the rest of the body is there
//! at that moment, and tells nobody: the client's next request would run into that end. So the rest is
//! read if it is short and comes soon, and else the answer says that the connection ends with it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};

/// Bytes read for nothing at most; a new connection costs less than more of them.
const REST_BYTES_MAX: u64 = 64 << 10;
/// How long they may take to come. A client that has written them all waits for nothing.
const REST_LIMIT: Duration = Duration::from_millis(200);

/// Where a body is.
enum Rest {
    /// With those who answer.
    Taken,
    /// Given up before its end.
    Left(Body),
    Ended,
}

/// Layer: reads what is left of a body, or tells that the connection ends.
pub(super) async fn settle(request: Request, next: Next) -> Response {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who waits to be told to go on has not sent anything, and need not.
    let waits = request.headers().contains_key(header::EXPECT);
    let rest = Arc::new(Mutex::new(Rest::Taken));
    let request = request.map(|body| {
        Body::new(Watched {
            body,
            rest: rest.clone(),
        })
    });
    let mut response = next.run(request).await;
    let rest = std::mem::replace(
        &mut *rest.lock().unwrap_or_else(PoisonError::into_inner),
        Rest::Taken,
    );
    let ended = match rest {
        Rest::Ended => true,
        Rest::Left(body) if !waits => ends(body).await,
        Rest::Left(_) | Rest::Taken => false,
    };
    if !ended {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

/// Reads the rest of a body within bounds; whether that was all.
async fn ends(mut body: Body) -> bool {
    if body.size_hint().lower() > REST_BYTES_MAX {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
            let Ok(frame) = frame else {
                return false;
            };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > REST_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(REST_LIMIT, read).await == Ok(true)
}

/// A body that comes back when it is given up.
struct Watched {
    body: Body,
    rest: Arc<Mutex<Rest>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        let rest = match body.is_end_stream() {
            true => Rest::Ended,
            false => Rest::Left(body),
        };
        *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
