//! What follows a request from its first line of the log to its answer: its id and its audit record.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use tracing::Instrument;
use uuid::Uuid;

use super::Services;
use crate::audit::{self, Incoming, Notes};
use crate::clock::identity_time;

/// The header that tells a request's id.
pub(super) const OPENSTACK_REQUEST_ID: HeaderName =
    HeaderName::from_static("x-openstack-request-id");
/// The header that repeats it in Block Storage.
const COMPUTE_REQUEST_ID: HeaderName = HeaderName::from_static("x-compute-request-id");

/// Layer: a request id for logs and answer, and the audit record.
pub(super) async fn request_id(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let id = format!("req-{}", Uuid::new_v4());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let incoming = Incoming {
        time: identity_time(services.now_us()),
        request_id: id.clone(),
        address: peer.map(|ConnectInfo(address)| *address),
        method: request.method().clone(),
        // A query may hold names of tenants.
        path: audit::shown_path(request.uri().path()),
    };
    let (method, path) = (&incoming.method, &incoming.path);
    let span = tracing::info_span!("request", %id, %method, path);
    let (began, notes) = (Instant::now(), Notes::default());
    let handled = super::request::handle(id.clone(), notes.clone(), next.run(request));
    let mut response = handled.instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
    if let Some(log) = services.audit() {
        let took_ms = began.elapsed().as_millis() as u64;
        let record = audit::record(incoming, &notes, response.status(), took_ms);
        record.into_iter().for_each(|record| log.record(record));
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        let seen = response.extensions();
        let inside = seen.get::<Inside>().is_some();
        let headers = response.headers_mut();
        if inside {
            headers.insert(COMPUTE_REQUEST_ID, value.clone());
        }
        headers.insert(OPENSTACK_REQUEST_ID, value);
    }
    response
}

/// Marks an answer of the Block Storage API proper, which repeats the request id.
#[derive(Clone, Copy)]
pub(super) struct Inside;
