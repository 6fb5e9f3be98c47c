//! The routes and version documents of Identity.

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::calls::{self, Resource};
use super::operations::{self as ops, Calls, calls};
use super::records::{Domain, Endpoint, Group, Project, Region, Role, Service, User};
use super::{
    access_rules, app_credentials, assignments, ext, grants, groups, inference, project_calls,
    regions, tags, token_calls, trust_calls, users, v2,
};
use crate::auth;
use crate::openapi::{Operation, Routes};
use crate::server::Services;

/// All routes, with those that need a token behind its check.
pub(crate) fn routes(services: &Services) -> Router<Services> {
    let require_token = from_fn_with_state(services.clone(), auth::require_token);
    let guarded = guarded_routes().router().route_layer(require_token);
    let all = open_routes().router().merge(guarded);
    all.merge(v2::routes(services)).fallback(not_found)
}

/// What is to be said of all of them.
pub(crate) fn operations() -> Vec<Operation> {
    open_routes().merge(guarded_routes()).operations()
}

/// The paths that nothing is told of.
#[cfg(test)]
pub(crate) fn untold_paths() -> Vec<String> {
    let mut paths = open_routes().merge(guarded_routes()).untold_paths();
    paths.extend(v2::untold_paths());
    paths
}

const DOMAINS: Calls = calls::<Domain>("/v3/domains", "/v3/domains/{domain_id}");
const PROJECTS: Calls = calls::<Project>("/v3/projects", "/v3/projects/{project_id}");
const GROUPS: Calls = calls::<Group>("/v3/groups", "/v3/groups/{group_id}");
const USERS: Calls = calls::<User>("/v3/users", "/v3/users/{user_id}");
const ROLES: Calls = calls::<Role>("/v3/roles", "/v3/roles/{role_id}");
const SERVICES: Calls = calls::<Service>("/v3/services", "/v3/services/{service_id}");
const ENDPOINTS: Calls = calls::<Endpoint>("/v3/endpoints", "/v3/endpoints/{endpoint_id}");
const REGIONS: Calls = calls::<Region>("/v3/regions", "/v3/regions/{region_id}");

fn open_routes() -> Routes {
    Routes::new()
        .on(ops::VERSIONS, versions)
        .on(ops::VERSION, version)
        .untold("/v3/", get(version))
        .on(ops::ISSUE, token_calls::issue)
        .on(ops::CHANGE_PASSWORD, users::change_password)
        .on(REGIONS.index.open(), regions::index)
        .on(REGIONS.show.open().faults(&[404]), regions::show)
}

fn guarded_routes() -> Routes {
    let accounts = of_kind::<Domain>(&DOMAINS)
        .merge(project_routes())
        .merge(of_kind::<Group>(&GROUPS))
        .merge(groups::routes())
        .merge(of_kind::<Role>(&ROLES))
        .merge(inference::routes());
    let catalogue = of_kind::<Service>(&SERVICES).merge(of_kind::<Endpoint>(&ENDPOINTS));
    accounts
        .merge(user_routes())
        .merge(catalogue)
        .merge(grants::routes())
        .merge(app_credentials::routes())
        .merge(access_rules::routes())
        .merge(trust_calls::routes())
        .merge(own_routes())
        .merge(ext::routes())
        .on(ops::ASSIGNMENTS, assignments::index)
        .on(REGIONS.create, calls::create::<Region>)
        .on(ops::PUT_REGION, regions::put)
        .on(REGIONS.update, calls::update::<Region>)
        .on(REGIONS.delete, calls::delete::<Region>)
}

/// The calls that every kind of object has.
pub(super) fn of_kind<R: Resource>(operations: &Calls) -> Routes {
    Routes::new()
        .on(operations.index, calls::index::<R>)
        .on(operations.create, calls::create::<R>)
        .on(operations.show, calls::show::<R>)
        .on(operations.update, calls::update::<R>)
        .on(operations.delete, calls::delete::<R>)
}

fn project_routes() -> Routes {
    Routes::new()
        .on(PROJECTS.index, project_calls::index)
        .on(PROJECTS.create, project_calls::create)
        .on(PROJECTS.show, project_calls::show)
        .on(PROJECTS.update, project_calls::update)
        .on(PROJECTS.delete, project_calls::delete)
        .merge(tags::routes())
}

fn user_routes() -> Routes {
    let projects = ops::own::<Project>("/v3/users/{user_id}/projects", "List a user's projects.");
    Routes::new()
        .on(USERS.index, calls::index::<User>)
        .on(USERS.create, users::create)
        .on(USERS.show, calls::show::<User>)
        .on(USERS.update, users::update)
        .on(USERS.delete, calls::delete::<User>)
        .on(projects, users::projects)
        .on(ops::END_TOKENS, users::end_tokens)
}

fn own_routes() -> Routes {
    let projects = ops::own::<Project>("/v3/auth/projects", "List the caller's projects.");
    let domains = ops::own::<Domain>("/v3/auth/domains", "List the caller's domains.");
    Routes::new()
        .on(ops::VALIDATE, token_calls::validate)
        .on(ops::CHECK, token_calls::validate)
        .on(ops::REVOKE, token_calls::revoke)
        .on(ops::CATALOG, token_calls::own_catalog)
        .on(projects, token_calls::own_projects)
        .on(domains, token_calls::own_domains)
        .on(ops::SYSTEM, token_calls::own_system)
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
    let values = [version_entry(&base), v2::version_entry(&base)];
    let body = json!({"versions": {"values": values}});
    let location = [(header::LOCATION, format!("{base}/v3/"))];
    (StatusCode::MULTIPLE_CHOICES, location, Json(body)).into_response()
}

async fn version(State(services): State<Services>) -> Json<Value> {
    Json(json!({"version": version_entry(&services.config().identity_base())}))
}
