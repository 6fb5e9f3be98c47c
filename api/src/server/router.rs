//! Prefixes and layers.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Uri};
use serde_json::Value;
use tower::ServiceExt;

use super::Services;
use super::headers::{identity_headers, image_headers, tell_methods, volume_headers};
use super::trace::request_id;
use super::versions::{versions, versions_v2, versions_v3};
use crate::auth;
use crate::fault::{Fault, ImageFault, not_routed, tell_image_faults};
use crate::openapi::shape::{self, map_of, wire};
use crate::openapi::{self, Operation};
use crate::types::cinder::Versions;
use crate::{cinder, glance, keystone, microversion, native};

/// The project segment of a Block Storage URL, if it had one, and whether it was one of version 2.
/// An extractor: links in answers hold the project exactly when the request did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlProject(pub Option<String>, bool);

impl UrlProject {
    /// `{volume_base}/v3` or `{volume_base}/v3/{project}`, to which links append a path.
    pub fn base(&self, services: &Services) -> String {
        let base = services.config().volume_base();
        let version = if self.1 { "v2" } else { "v3" };
        match &self.0 {
            Some(project) => format!("{base}/{version}/{project}"),
            None => format!("{base}/{version}"),
        }
    }

    /// As [`UrlProject::base`] without the version, for bookmark links.
    pub fn bookmark_base(&self, services: &Services) -> String {
        let base = services.config().volume_base();
        match &self.0 {
            Some(project) => format!("{base}/{project}"),
            None => base,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for UrlProject {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The versions of Block Storage, at its own root and the listener's.
const VERSIONS: Operation = Operation::get("/", "List the versions of Block Storage.")
    .open()
    .answers(300, wire::<Versions>)
    .faults(&[406]);
const VERSION_3: Operation =
    Operation::get("/", "Show version 3 of Block Storage.").answers(200, wire::<Versions>);
const VERSION_2: Operation =
    Operation::get("/", "Show version 2 of Block Storage.").answers(200, wire::<Versions>);
const HEALTHCHECK: Operation =
    Operation::get("/healthcheck", "Ask whether Block Storage is there.")
        .open()
        .says_text();
const DOCUMENT: Operation = Operation::get("/openapi.json", "Show this document.")
    .open()
    .answers(200, || map_of(shape::any()));

/// Operations at the root of the single listener.
pub(crate) fn root_operations() -> Vec<Operation> {
    vec![VERSIONS, DOCUMENT]
}

/// Operations of Image outside of its versions.
pub(crate) fn image_operations() -> Vec<Operation> {
    vec![glance::versions::VERSIONS, glance::versions::EXPLICIT]
}

/// Operations of Block Storage outside of its versions, and those on a version as a whole.
pub(crate) fn volume_operations() -> Vec<Operation> {
    vec![
        VERSIONS,
        HEALTHCHECK,
        VERSION_3.at("/v3/"),
        VERSION_2.at("/v2/"),
    ]
}

/// The single listener.
pub fn router(services: &Services) -> Router {
    // Tools look for the versions of Block Storage at the root of its endpoint's host.
    let router = versions_root(services).route(DOCUMENT.path, get(document));
    let router = match services.config().keystone {
        None => router.nest_service("/identity", identity_root(services)),
        // Users are elsewhere, and what is here would be others.
        Some(_) => router,
    };
    let router = match services.config().glance {
        None => router.nest_service("/image", image_root(services)),
        Some(_) => router,
    };
    router
        .nest_service("/volume", volume_root(services))
        .nest_service("/cinderblock/v1", native_root(services))
}

/// Identity at the bare root, for port 5000.
pub fn identity_root(services: &Services) -> Router {
    let below = keystone::routes(services)
        .layer(from_fn_with_state(services.clone(), identity_headers))
        .layer(from_fn_with_state(services.clone(), request_id))
        .layer(from_fn(|request: Request, next: Next| {
            note_call(&IDENTITY, request, next)
        }))
        .with_state(services.clone());
    // Which methods a path has is known outside of its layers only.
    Router::new()
        .fallback_service(below.map_request(without_slash))
        .layer(from_fn(tell_methods))
}

/// Takes slashes off the end of a path below a version, as the real service does.
fn without_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    let kept = path.trim_end_matches('/');
    // The documents of versions are there with and without.
    if kept.len() == path.len() || kept.matches('/').count() < 2 {
        return request;
    }
    let text = match request.uri().query() {
        Some(query) => format!("{kept}?{query}"),
        None => kept.to_owned(),
    };
    set_path(&mut request, text);
    request
}

/// Gives a request another path and query; one that is none leaves it as it is.
fn set_path(request: &mut Request, text: String) {
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path_and_query) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// A service's types in the catalogue, and where the single listener has it.
pub(crate) struct Door(&'static [&'static str], &'static str);

const IDENTITY: Door = Door(&["identity"], "/identity");
const VOLUME: Door = Door(
    &["block-storage", "volumev3", "volumev2", "volume"],
    "/volume",
);
const IMAGE: Door = Door(&["image"], "/image");
const NATIVE: Door = Door(&["cinderblock"], "/cinderblock/v1");

/// Layer: notes what is called before paths are taken apart, for access rules.
pub(crate) async fn note_call(door: &'static Door, mut request: Request, next: Next) -> Response {
    let called = keystone::Called {
        types: door.0,
        prefix: door.1,
        path: request.uri().path().to_owned(),
    };
    request.extensions_mut().insert(called);
    next.run(request).await
}

/// Block Storage at the bare root, for port 8776.
pub fn volume_root(services: &Services) -> Router {
    let services_below = Router::new()
        .route(HEALTHCHECK.path, get(async || "OK"))
        .nest_service("/v3", v3(services).map_request(take_project))
        .nest_service("/v2", v2(services).map_request(take_v2_project))
        .method_not_allowed_fallback(not_routed)
        .layer(from_fn_with_state(services.clone(), volume_headers))
        .layer(from_fn_with_state(services.clone(), request_id))
        .layer(from_fn(|request: Request, next: Next| {
            note_call(&VOLUME, request, next)
        }));
    versions_root(services).merge(services_below)
}

/// The version list of Block Storage, and what no other route takes.
fn versions_root(services: &Services) -> Router {
    Router::new()
        .route(VERSIONS.path, any(root))
        .route_layer(from_fn_with_state(
            services.clone(),
            microversion::negotiate,
        ))
        .fallback(not_routed)
        .layer(from_fn_with_state(services.clone(), volume_headers))
        .layer(from_fn_with_state(services.clone(), request_id))
        .with_state(services.clone())
}

/// The OpenAPI document, for everybody: it tells nothing of this cloud.
async fn document() -> Json<&'static Value> {
    Json(openapi::document())
}

/// The version list; other methods are malformed, not unknown.
async fn root(method: Method, State(services): State<Services>) -> Response {
    match method {
        Method::GET | Method::HEAD => versions(&services),
        _ => Fault::malformed().into_response(),
    }
}

/// Everything below `/v3`; layers run from the last to the first.
fn v3(services: &Services) -> Router {
    let negotiate = from_fn_with_state(services.clone(), microversion::negotiate);
    let require_token = from_fn_with_state(services.clone(), auth::require_token);
    cinder::routes()
        .router()
        .route_layer(from_fn(cinder::hold_bodies))
        .route(VERSION_3.path, get(versions_v3))
        .method_not_allowed_fallback(not_routed)
        .route_layer(from_fn(auth::require_url_project))
        .route_layer(negotiate)
        .fallback(not_routed)
        .layer(require_token)
        .with_state(services.clone())
}

/// What version 2 has not got, as the first word of a path or the whole.
pub(crate) const NOT_IN_V2: [&str; 14] = [
    "messages",
    "clusters",
    "groups",
    "group_types",
    "group_snapshots",
    "attachments",
    "workers",
    "resource_filters",
    "manageable_volumes",
    "manageable_snapshots",
    "volume-transfers",
    "default-types",
    "volumes/summary",
    "",
];

/// The same operations below `/v2`, as of microversion 3.0 and without its headers.
fn v2(services: &Services) -> Router {
    let require_token = from_fn_with_state(services.clone(), auth::require_token);
    cinder::routes()
        .router()
        .route_layer(from_fn(cinder::hold_bodies))
        .route(VERSION_2.path, get(versions_v2))
        .method_not_allowed_fallback(not_routed)
        .route_layer(from_fn(auth::require_url_project))
        .fallback(not_routed)
        .layer(require_token)
        .layer(from_fn(only_v2))
        .with_state(services.clone())
}

/// Layer: the version of all of `/v2`, and 404 for what came later or has no project.
///
/// The document of the version itself is for callers with a token. Others are told nothing, as by the
/// real service of today, so that nobody discovers a version that has been left behind.
async fn only_v2(mut request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let url = request.extensions().get::<UrlProject>();
    let has_project = url.is_some_and(|url| url.0.is_some());
    if !has_project && path.is_empty() && request.headers().contains_key(&auth::AUTH_TOKEN) {
        return next.run(request).await;
    }
    if !has_project || NOT_IN_V2.contains(&first) || NOT_IN_V2.contains(&path) {
        return not_routed().await;
    }
    request
        .extensions_mut()
        .insert(microversion::Microversion::MIN);
    next.run(request).await
}

fn take_v2_project(request: Request) -> Request {
    let mut request = take_project(request);
    if let Some(url) = request.extensions_mut().get_mut::<UrlProject>() {
        url.1 = true;
    }
    request
}

fn native_root(services: &Services) -> Router {
    let require_token = from_fn_with_state(services.clone(), auth::require_token);
    native::routes()
        .router()
        .fallback(not_routed)
        .method_not_allowed_fallback(not_routed)
        .layer(require_token)
        .layer(from_fn_with_state(services.clone(), volume_headers))
        .layer(from_fn_with_state(services.clone(), request_id))
        .layer(from_fn(|request: Request, next: Next| {
            note_call(&NATIVE, request, next)
        }))
        .with_state(services.clone())
}

/// Image at the bare root, for port 9292. A path without a version that there is gets the choices.
pub fn image_root(services: &Services) -> Router {
    let unknown = async || ImageFault(Fault::version_not_found());
    let v2 = glance::routes()
        .router()
        .fallback(unknown)
        .layer(from_fn_with_state(services.clone(), require_image_token))
        .with_state(services.clone());
    let below = Router::new()
        .route(
            glance::versions::VERSIONS.path,
            any(glance::versions::choices),
        )
        .route(
            glance::versions::EXPLICIT.path,
            any(glance::versions::explicit),
        )
        .with_state(services.clone())
        .nest_service("/v2", v2)
        .fallback(glance::versions::choices)
        .with_state(services.clone())
        .layer(from_fn(tell_image_faults))
        .layer(from_fn_with_state(services.clone(), request_id))
        .layer(from_fn_with_state(services.clone(), image_headers))
        .layer(from_fn(|request: Request, next: Next| {
            note_call(&IMAGE, request, next)
        }));
    Router::new().fallback_service(below.map_request(take_minor))
}

/// All minor versions are one: `/v2.9/images` is `/v2/images`.
fn take_minor(mut request: Request) -> Request {
    let text = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    let rest = text.trim_start_matches('/');
    let (first, rest) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if glance::versions::is_version(first)
        && let Ok(uri) = format!("/v2{rest}").parse::<Uri>()
    {
        *request.uri_mut() = uri;
    }
    request
}

/// Layer: as [`auth::require_token`], in Image's words.
async fn require_image_token(
    State(services): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    match auth::admit(&services, &mut request).await {
        Err(fault) => ImageFault(fault).into_response(),
        Ok(()) => next.run(request).await,
    }
}

/// Takes a project segment and a format suffix off a path below `/v3`, so that every operation has
/// one route.
fn take_project(mut request: Request) -> Request {
    let path = request.uri().path();
    let (first, rest) = match path[1..].split_once('/') {
        Some((first, rest)) => (first, rest),
        None => (&path[1..], ""),
    };
    let is_id = !first.is_empty()
        && first
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    let project = is_id.then(|| first.to_owned());
    let kept = if is_id {
        format!("/{rest}")
    } else {
        path.to_owned()
    };
    let kept = kept.strip_suffix(".json").unwrap_or(&kept);
    let text = match request.uri().query() {
        Some(query) => format!("{kept}?{query}"),
        None => kept.to_owned(),
    };
    // Cutting whole segments off a valid path leaves a valid one.
    set_path(&mut request, text);
    request.extensions_mut().insert(UrlProject(project, false));
    request
}
