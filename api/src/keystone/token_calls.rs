//! `/v3/auth`: tokens, and what a token's owner may ask about itself.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use serde_json::{Value, json};

use super::auth_request::{AuthRequest, Method};
use super::calls::list_of;
use super::catalog::catalog;
use super::records::{BY_USER, Domain, Grant, Project, Target};
use super::resource::{Reply, no_content, ok};
use super::tokens::{self, Resolved, ResolvedScope, TokenKey};
use super::{login, texts};
use crate::auth::{Caller, Scope, token_of};
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, View};
use crate::clock::identity_time;
use crate::fault::{Fault, IdentityFault};
use crate::page::Params;
use crate::server::Services;

const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");

/// `POST /v3/auth/tokens`.
pub(super) async fn issue(
    State(services): State<Services>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    params: Params,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let request = AuthRequest::parse(&body)?;
    let address = peer.map_or(String::new(), |Extension(ConnectInfo(peer))| {
        peer.ip().to_string()
    });
    let with_catalog = !params.has("nocatalog");
    let hashes = request
        .methods
        .iter()
        .any(|method| matches!(method, Method::Password { .. }));
    let work = move |services: &Services| {
        let (text, resolved) = login::issue(services, &request, &address)?;
        Ok((text, token_body(services, &resolved, with_catalog)?))
    };
    let (text, body) = if hashes {
        services.hashing(work).await?
    } else {
        services.blocking(work).await?
    };
    answer(StatusCode::CREATED, &text, body)
}

fn answer(status: StatusCode, text: &str, body: Value) -> Reply {
    let mut response: Response = (status, Json(body)).into_response();
    let mut value = HeaderValue::from_str(text).map_err(Fault::internal)?;
    value.set_sensitive(true);
    response.headers_mut().insert(SUBJECT_TOKEN, value);
    Ok(response)
}

/// `GET` and `HEAD /v3/auth/tokens`.
pub(super) async fn validate(
    State(services): State<Services>,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Reply {
    let text = subject(&headers)?.to_owned();
    let key = subject_key(&caller, &text, "identity:validate_token")?;
    let with_catalog = !params.has("nocatalog");
    // Long work of a user goes on when the token that began it has expired; only services know.
    let grace_us = if caller.has_role("service") && params.flag("allow_expired", false) {
        tokens::GRACE_US
    } else {
        0
    };
    let body = services
        .blocking(move |services| {
            let now_us = services.now_us();
            let found = services
                .catalogue()
                .read(|reader| tokens::find_within(reader, &key, now_us, grace_us))?;
            token_body(services, &found.ok_or_else(no_token)?, with_catalog)
        })
        .await?;
    answer(StatusCode::OK, &text, body)
}

/// `DELETE /v3/auth/tokens`.
pub(super) async fn revoke(
    State(services): State<Services>,
    caller: Caller,
    headers: HeaderMap,
) -> Reply {
    let key = subject_key(&caller, subject(&headers)?, "identity:revoke_token")?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            let catalogue = services.catalogue();
            let found = catalogue.read(|reader| tokens::find(reader, &key, now_us))?;
            found.ok_or_else(no_token)?;
            tokens::revoke(services, &key)
        })
        .await?;
    no_content()
}

fn no_token() -> Fault {
    Fault::not_found("Failed to validate token")
}

fn subject(headers: &HeaderMap) -> Result<&str, IdentityFault> {
    let missing = || Fault::not_found("No token in the request");
    Ok(token_of(headers, &SUBJECT_TOKEN).ok_or_else(missing)?)
}

/// The subject's key, if the caller may ask about it: its owner, admin, a service or a reader of the
/// system.
fn subject_key(caller: &Caller, text: &str, rule: &str) -> Result<TokenKey, Fault> {
    let key = TokenKey::of(text).ok_or_else(no_token)?;
    let reads_system = caller.scope == Scope::System && caller.has_role("reader");
    let trusted = caller.is_identity_admin() || caller.has_role("service") || reads_system;
    if trusted || caller.token == key {
        Ok(key)
    } else {
        Err(texts::forbidden(rule))
    }
}

fn in_domain(id: &str, name: &str, domain: &Domain) -> Value {
    json!({"id": id, "name": name, "domain": {"id": domain.id, "name": domain.name}})
}

/// `{"token": {...}}`.
fn token_body(
    services: &Services,
    resolved: &Resolved,
    with_catalog: bool,
) -> Result<Value, Fault> {
    let token = &resolved.token;
    let mut user = in_domain(
        &resolved.user.id,
        &resolved.user.name,
        &resolved.user_domain,
    );
    user["password_expires_at"] = Value::Null;
    let mut body = json!({
        "methods": token.methods,
        "user": user,
        "audit_ids": token.audit_ids,
        "issued_at": identity_time(token.issued_us),
        "expires_at": identity_time(token.expires_us),
    });
    let mut project_id = None;
    match &resolved.scope {
        ResolvedScope::Unscoped => return Ok(json!({"token": body})),
        ResolvedScope::Project(project, domain) => {
            body["project"] = in_domain(&project.id, &project.name, domain);
            body["is_domain"] = json!(false);
            project_id = Some(project.id.as_str());
        }
        ResolvedScope::Domain(domain) => {
            body["domain"] = json!({"id": domain.id, "name": domain.name});
        }
        ResolvedScope::System => body["system"] = json!({"all": true}),
    }
    let roles = resolved.roles.iter();
    body["roles"] = roles
        .map(|role| json!({"id": role.id, "name": role.name}))
        .collect();
    if with_catalog {
        let entries = services
            .catalogue()
            .read(|reader| catalog(services, reader, project_id))?;
        body["catalog"] = Value::Array(entries);
    }
    Ok(json!({"token": body}))
}

/// `GET /v3/auth/catalog`.
pub(super) async fn own_catalog(State(services): State<Services>, caller: Caller) -> Reply {
    if caller.scope == Scope::Unscoped {
        return Err(texts::forbidden("identity:get_auth_catalog").into());
    }
    let project = caller.project_id().map(str::to_owned);
    let entries = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            Ok(catalogue.read(|reader| catalog(services, reader, project.as_deref()))?)
        })
        .await?;
    let own = format!("{}/v3/auth/catalog", services.config().identity_base());
    ok(json!({"catalog": entries, "links": {"self": own}}))
}

/// The targets a user has roles on, each once.
pub(super) fn targets_of(view: &impl View, user_id: &str) -> catalogue::Result<Vec<Target>> {
    let grants = view.list::<Grant>(&Query::by(BY_USER, Key::new().text(user_id)))?;
    let mut targets: Vec<Target> = grants.into_iter().map(|grant| grant.target).collect();
    targets.dedup();
    Ok(targets)
}

/// The enabled projects a user has a role on.
pub(super) fn projects_of(view: &impl View, user_id: &str) -> catalogue::Result<Vec<Project>> {
    let mut found = Vec::new();
    for target in targets_of(view, user_id)? {
        if let Target::Project(id) = target {
            found.extend(view.get::<Project>(&id)?.filter(|project| project.enabled));
        }
    }
    Ok(found)
}

/// `GET /v3/auth/projects`.
pub(super) async fn own_projects(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
) -> Reply {
    let user_id = caller.user_id;
    let found = services
        .blocking(move |services| {
            Ok(services
                .catalogue()
                .read(|reader| projects_of(reader, &user_id))?)
        })
        .await?;
    list_of(&services, &uri, &found)
}

/// `GET /v3/auth/domains`.
pub(super) async fn own_domains(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
) -> Reply {
    let user_id = caller.user_id;
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let mut found = Vec::new();
                for target in targets_of(reader, &user_id)? {
                    if let Target::Domain(id) = target {
                        found.extend(reader.get::<Domain>(&id)?.filter(|domain| domain.enabled));
                    }
                }
                Ok(found)
            })
        })
        .await?;
    list_of(&services, &uri, &found)
}

/// `GET /v3/auth/system`.
pub(super) async fn own_system(State(services): State<Services>, caller: Caller) -> Reply {
    let user_id = caller.user_id;
    let targets = services
        .blocking(move |services| {
            Ok(services
                .catalogue()
                .read(|reader| targets_of(reader, &user_id))?)
        })
        .await?;
    let system = if targets.contains(&Target::System) {
        json!([{"all": true}])
    } else {
        json!([])
    };
    let own = format!("{}/v3/auth/system", services.config().identity_base());
    ok(json!({"system": system, "links": {"self": own}}))
}
