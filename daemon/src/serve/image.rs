//! Image at the bare root, for port 9292: the single listener's `/image`, without the prefix.

use api::server::{self, Services};
use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use tower::ServiceExt;

/// What answers on port 9292.
pub(super) fn root(services: &Services) -> Router {
    let prefixed = server::router(services).map_request(prefix);
    Router::new().fallback_service(prefixed)
}

fn prefix(mut request: Request) -> Request {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    // A prefix before a valid path leaves it valid; else the request stays as it is.
    if let Ok(uri) = format!("/image{path}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
    request
}
