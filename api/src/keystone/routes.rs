//! The routes and version documents of Identity.

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, head, post};
use axum::{Json, Router};
use http::{StatusCode, Uri, header};
use serde_json::{Value, json};

use super::records::{Domain, Endpoint, Project, Region, Role, Service, User};
use super::resource::{Reply, list};
use super::{assignments, calls, grants, regions, token_calls, users};
use crate::auth::{self, Caller};
use crate::server::Services;

/// All routes, with those that need a token behind its check.
pub(crate) fn routes(services: &Services) -> Router<Services> {
    let require_token = from_fn_with_state(services.clone(), auth::require_token);
    let guarded = accounts()
        .merge(grant_routes())
        .merge(catalogue_routes())
        .merge(own_routes())
        .route_layer(require_token);
    open_routes().merge(guarded).fallback(not_found)
}

fn open_routes() -> Router<Services> {
    Router::new()
        .route("/", get(versions))
        .route("/v3", get(version))
        .route("/v3/", get(version))
        .route("/v3/auth/tokens", post(token_calls::issue))
        .route("/v3/users/{user_id}/password", post(users::change_password))
        .route("/v3/regions", get(regions::index))
        .route("/v3/regions/{region_id}", get(regions::show))
}

fn own_routes() -> Router<Services> {
    Router::new()
        .route(
            "/v3/auth/tokens",
            get(token_calls::validate).delete(token_calls::revoke),
        )
        .route("/v3/auth/catalog", get(token_calls::own_catalog))
        .route("/v3/auth/projects", get(token_calls::own_projects))
        .route("/v3/auth/domains", get(token_calls::own_domains))
        .route("/v3/auth/system", get(token_calls::own_system))
}

fn accounts() -> Router<Services> {
    Router::new()
        .route(
            "/v3/domains",
            get(calls::index::<Domain>).post(calls::create::<Domain>),
        )
        .route(
            "/v3/domains/{domain_id}",
            get(calls::show::<Domain>)
                .patch(calls::update::<Domain>)
                .delete(calls::delete::<Domain>),
        )
        .route(
            "/v3/projects",
            get(calls::index::<Project>).post(calls::create::<Project>),
        )
        .route(
            "/v3/projects/{project_id}",
            get(calls::show::<Project>)
                .patch(calls::update::<Project>)
                .delete(calls::delete::<Project>),
        )
        .route("/v3/users", get(calls::index::<User>).post(users::create))
        .route(
            "/v3/users/{user_id}",
            get(calls::show::<User>)
                .patch(users::update)
                .delete(calls::delete::<User>),
        )
        .route("/v3/users/{user_id}/projects", get(users::projects))
        .route("/v3/users/{user_id}/groups", get(users::groups))
        .route("/v3/groups", get(groups))
        .route(
            "/v3/roles",
            get(calls::index::<Role>).post(calls::create::<Role>),
        )
        .route(
            "/v3/roles/{role_id}",
            get(calls::show::<Role>)
                .patch(calls::update::<Role>)
                .delete(calls::delete::<Role>),
        )
        .route("/v3/role_assignments", get(assignments::index))
}

fn grant_routes() -> Router<Services> {
    let mut router = Router::new();
    for target in ["projects/{project_id}", "domains/{domain_id}", "system"] {
        let all = format!("/v3/{target}/users/{{user_id}}/roles");
        let one = format!("{all}/{{role_id}}");
        let calls = head(grants::check).get(grants::check);
        let calls = calls.put(grants::put).delete(grants::delete);
        router = router.route(&all, get(grants::index)).route(&one, calls);
    }
    router
}

fn catalogue_routes() -> Router<Services> {
    Router::new()
        .route(
            "/v3/services",
            get(calls::index::<Service>).post(calls::create::<Service>),
        )
        .route(
            "/v3/services/{service_id}",
            get(calls::show::<Service>)
                .patch(calls::update::<Service>)
                .delete(calls::delete::<Service>),
        )
        .route(
            "/v3/endpoints",
            get(calls::index::<Endpoint>).post(calls::create::<Endpoint>),
        )
        .route(
            "/v3/endpoints/{endpoint_id}",
            get(calls::show::<Endpoint>)
                .patch(calls::update::<Endpoint>)
                .delete(calls::delete::<Endpoint>),
        )
        .route("/v3/regions", post(calls::create::<Region>))
        .route(
            "/v3/regions/{region_id}",
            axum::routing::patch(calls::update::<Region>).delete(calls::delete::<Region>),
        )
}

/// There are no groups, and clients ask.
async fn groups(State(services): State<Services>, _caller: Caller, uri: Uri) -> Reply {
    list(&services, "groups", &uri, Vec::new())
}

async fn not_found() -> Response {
    let page = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.</p>\n";
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

fn version_entry(base: &str) -> Value {
    json!({
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{base}/v3/")}],
        "media-types": [{
            "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json",
        }],
    })
}

async fn versions(State(services): State<Services>) -> Response {
    let base = services.config().identity_base();
    let body = json!({"versions": {"values": [version_entry(&base)]}});
    let location = [(header::LOCATION, format!("{base}/v3/"))];
    (StatusCode::MULTIPLE_CHOICES, location, Json(body)).into_response()
}

async fn version(State(services): State<Services>) -> Json<Value> {
    Json(json!({"version": version_entry(&services.config().identity_base())}))
}
