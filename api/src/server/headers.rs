//! What the answers of each service carry: types, challenges, methods.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};

use super::Services;
use super::trace::{Inside, OPENSTACK_REQUEST_ID};
use crate::auth::Unauthenticated;
use crate::fault::NotRouted;

/// Layer: who asks what a path of Identity can be asked needs no token.
pub(super) async fn tell_methods(request: Request, next: Next) -> Response {
    let asks = request.method() == Method::OPTIONS;
    let response = next.run(request).await;
    let Some(methods) = response.headers().get(header::ALLOW).filter(|_| asks) else {
        return response;
    };
    // Each once: what is routed by itself besides GET, as HEAD may be, stands there twice.
    let mut all: Vec<&str> = Vec::new();
    for method in methods.to_str().unwrap_or_default().split(',') {
        if !all.contains(&method) {
            all.push(method);
        }
    }
    all.push("OPTIONS");
    let told = [
        (header::ALLOW, all.join(", ")),
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
    ];
    let mut answer = (StatusCode::OK, told).into_response();
    for name in [OPENSTACK_REQUEST_ID, header::VARY] {
        if let Some(value) = response.headers().get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// Layer: what every Image answer carries.
pub(super) async fn image_headers(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let gets = request.method() == Method::GET;
    let mut response = next.run(request).await;
    if response.extensions().get::<Unauthenticated>().is_some() {
        challenge(&mut response, &services.config().identity_base());
        // The real service asks for the token before it gives the request an id.
        response.headers_mut().remove(OPENSTACK_REQUEST_ID);
    }
    let is_bare = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::ACCEPTED
    );
    if is_bare && !gets && !response.headers().contains_key(header::CONTENT_TYPE) {
        let html = HeaderValue::from_static(HTML);
        response.headers_mut().insert(header::CONTENT_TYPE, html);
    }
    response
}

/// Layer: what every Block Storage answer carries.
pub(super) async fn volume_headers(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::OPTIONS {
        // Answered by the real service before it looks at anything else.
        return StatusCode::OK.into_response();
    }
    let deletes = request.method() == Method::DELETE;
    let mut response = next.run(request).await;
    let unauthenticated = response.extensions().get::<Unauthenticated>().is_some();
    let not_routed = response.extensions().get::<NotRouted>().is_some();
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        // A wrong method is a path that is not there: nothing is said of those that are.
        response.headers_mut().remove(header::ALLOW);
    }
    let untyped = !response.headers().contains_key(header::CONTENT_TYPE);
    if untyped {
        // Answers without a body: the real service's own of deletions, its framework's else.
        let unmet = response.status() == StatusCode::PRECONDITION_FAILED;
        let text = if deletes || unmet {
            HTML
        } else {
            "application/json"
        };
        let value = HeaderValue::from_static(text);
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    if unauthenticated {
        challenge(&mut response, &services.config().identity_base());
    } else if !not_routed && !is_html(&response) {
        response.extensions_mut().insert(Inside);
    }
    response
}

/// The type of answers that the real service gives none.
pub(crate) const HTML: &str = "text/html; charset=UTF-8";

fn is_html(response: &Response) -> bool {
    let value = response.headers().get(header::CONTENT_TYPE);
    value.is_some_and(|value| value == HTML)
}

/// Layer: what every Identity answer carries.
pub(super) async fn identity_headers(
    State(services): State<Services>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    if response.extensions().get::<Unauthenticated>().is_some() {
        challenge(
            &mut response,
            &format!("{}/v3", services.config().identity_base()),
        );
    }
    let vary = HeaderValue::from_static("X-Auth-Token");
    response.headers_mut().append(header::VARY, vary);
    response
}

fn challenge(response: &mut Response, uri: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("Keystone uri=\"{uri}\"")) {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
}
