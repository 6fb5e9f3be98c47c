//! `/v3/auth`: tokens, and what a token's owner may ask about itself.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Extension, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};

use super::access_rules;
use super::auth_request::AuthRequest;
use super::calls::list_of;
use super::catalog::catalog;
use super::records::{Domain, Project, Target};
use super::resource::{Reply, no_content, ok};
use super::rights::targets_of;
use super::tokens::{self, Delegated, Resolved, ResolvedScope, TokenKey};
use super::users::peer_of;
use super::{login, texts};
use crate::auth::{Caller, Scope, token_of};
use crate::body::IdentityBody;
use crate::catalogue::{self, View};
use crate::clock::identity_time;
use crate::fault::{Fault, IdentityFault};
use crate::page::Params;
use crate::server::Services;

const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// The version of access rules that a service knows.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// `POST /v3/auth/tokens`.
pub(super) async fn issue(
    State(services): State<Services>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    params: Params,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let request = AuthRequest::parse(&body)?;
    let address = peer_of(peer);
    let with_catalog = !params.has("nocatalog");
    let hashes = request.methods.iter().any(|method| method.hashes());
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
    method: Method,
    caller: Caller,
    headers: HeaderMap,
    params: Params,
) -> Reply {
    let text = subject(&headers)?.to_owned();
    let rule = match method {
        Method::HEAD => "identity:check_token",
        _ => "identity:validate_token",
    };
    let key = TokenKey::of(&text).ok_or_else(no_token)?;
    let is_trusted = is_trusted(&caller) || caller.has_role("service");
    let knows_rules = knows_access_rules(&headers);
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
            let found = checked(found, &caller, is_trusted, rule)?;
            // A service that does not know them would not hold anybody to the rules.
            let has_rules = matches!(&found.delegated, Some(Delegated::AppCredential(_, Some(_))));
            if has_rules && !knows_rules {
                return Err(no_token());
            }
            token_body(services, &found, with_catalog)
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
    let key = TokenKey::of(subject(&headers)?).ok_or_else(no_token)?;
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            let catalogue = services.catalogue();
            let found = catalogue.read(|reader| tokens::find(reader, &key, now_us))?;
            let is_trusted = caller.is_identity_admin();
            checked(found, &caller, is_trusted, "identity:revoke_token")?;
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

/// Whether the caller may ask about anybody's token.
fn is_trusted(caller: &Caller) -> bool {
    let reads_system = caller.scope == Scope::System && caller.has_role("reader");
    caller.is_identity_admin() || reads_system
}

/// The token if the caller may ask about it: that of the same user, or anybody's for those who are
/// trusted. What is no token is told to everybody.
fn checked(
    found: Option<Resolved>,
    caller: &Caller,
    is_trusted: bool,
    rule: &str,
) -> Result<Resolved, Fault> {
    let found = found.ok_or_else(no_token)?;
    let is_own = found.token.id == caller.token.as_str() || found.user.id == caller.user_id;
    match is_own || is_trusted {
        true => Ok(found),
        false => Err(texts::forbidden(rule)),
    }
}

/// Whether the service that asks says that it holds callers to access rules.
fn knows_access_rules(headers: &HeaderMap) -> bool {
    let version = token_of(headers, &ACCESS_RULES).and_then(|text| text.parse::<f64>().ok());
    version.is_some_and(|version| version >= 1.0)
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
    if let Some(delegated) = &resolved.delegated {
        add_delegation(&mut body, delegated);
    }
    let mut project_id = None;
    match &resolved.scope {
        ResolvedScope::Unscoped => return Ok(json!({"token": body})),
        ResolvedScope::Project(project, domain) => {
            body["project"] = in_domain(&project.id, &project.name, domain);
            // As the real service has it, which says this of no trust's project.
            if !matches!(resolved.delegated, Some(Delegated::Trust(_))) {
                body["is_domain"] = json!(false);
            }
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

fn add_delegation(body: &mut Value, delegated: &Delegated) {
    match delegated {
        Delegated::AppCredential(credential, rules) => {
            body["application_credential"] = json!({
                "id": credential.id,
                "name": credential.name,
                "restricted": credential.unrestricted != Some(true),
            });
            if let Some(rules) = rules {
                body["application_credential"]["access_rules"] =
                    rules.iter().map(access_rules::shown).collect();
            }
        }
        Delegated::Trust(trust) => {
            body["OS-TRUST:trust"] = json!({
                "id": trust.id,
                "impersonation": trust.impersonation,
                "trustor_user": {"id": trust.trustor_id},
                "trustee_user": {"id": trust.trustee_id},
            });
        }
    }
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

/// The enabled projects a user has a role on.
pub(super) fn projects_of(view: &impl View, user_id: &str) -> catalogue::Result<Vec<Project>> {
    let mut found = Vec::new();
    for target in targets_of(view, user_id)? {
        if let Target::Project(id) = target {
            let project = view.get::<Project>(&id)?.filter(|project| project.enabled);
            let Some(project) = project else { continue };
            let domain = view.get::<Domain>(&project.domain_id)?;
            found.extend(domain.filter(|domain| domain.enabled).map(|_| project));
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
    list_of(&services, &uri, found)
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
    list_of(&services, &uri, found)
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
