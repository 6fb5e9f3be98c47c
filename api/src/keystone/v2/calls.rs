//! The calls of v2.0: v3's work in v2.0's words.

use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use std::net::SocketAddr;

use super::access::{Access, Tenant};
use super::catalog::ServiceEntry;
use super::fault::Refused;
use super::format::Formats;
use super::request::{Proof, Request};
use super::xml::Element;
use crate::auth::Caller;
use crate::body;
use crate::catalogue::{Key, Query, View};
use crate::fault::{Fault, FaultKind};
use crate::keystone::auth_request::AuthRequest;
use crate::keystone::bootstrap::DEFAULT_DOMAIN;
use crate::keystone::catalog::catalog;
use crate::keystone::limiter::Verdict;
use crate::keystone::password::Hash;
use crate::keystone::records::{BY_NAME, User};
use crate::keystone::tokens::{self, Resolved, ResolvedScope, TokenKey};
use crate::keystone::users::peer_of;
use crate::keystone::{login, texts, token_calls};
use crate::page::Params;
use crate::server::Services;

/// What handlers answer with.
type Reply = Result<Response, Refused>;

/// `GET /v2.0/`.
pub(super) async fn version(State(services): State<Services>, formats: Formats) -> Reply {
    let entry = version_entry(&services.config().identity_base());
    let xml = || version_xml(&entry);
    let json = || json!({"version": entry.clone()});
    Ok(formats.answer.answer(StatusCode::OK, json, xml))
}

/// The version in a list of versions.
pub(in crate::keystone) fn version_entry(base: &str) -> Value {
    let media_type = |form: &str| {
        json!({
            "base": format!("application/{form}"),
            "type": format!("application/vnd.openstack.identity-v2.0+{form}"),
        })
    };
    json!({
        "id": "v2.0",
        "status": "deprecated",
        "updated": "2016-08-04T00:00:00Z",
        "links": [
            {"rel": "self", "href": format!("{base}/v2.0/")},
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"},
        ],
        "media-types": [media_type("json"), media_type("xml")],
    })
}

/// The same as XML: texts are attributes, and lists elements of the name in the singular.
fn version_xml(entry: &Value) -> Element {
    let mut root = element_of("version", entry);
    for (plural, singular) in [("media-types", "media-type"), ("links", "link")] {
        let items = entry[plural].as_array().into_iter().flatten();
        let items = items.map(|item| element_of(singular, item));
        root = root.holding([Element::new(plural).holding(items)]);
    }
    root
}

/// An element with the texts of an object.
fn element_of(name: &str, object: &Value) -> Element {
    let texts = object.as_object().into_iter().flatten();
    let texts = texts.filter_map(|(key, value)| Some((key, value.as_str()?)));
    texts.fold(Element::new(name), |element, (key, value)| {
        element.with(key, value)
    })
}

/// `POST /v2.0/tokens`.
pub(super) async fn issue(
    State(services): State<Services>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    formats: Formats,
    body: Body,
) -> Reply {
    let request = Request::read(formats.request, &body.0)?;
    let address = peer_of(peer);
    let hashes = matches!(request.proof, Proof::Password { .. });
    let work = move |services: &Services| Ok(begin(services, &request, &address));
    let access = if hashes {
        services.hashing(work).await?
    } else {
        services.blocking(work).await?
    }?;
    Ok(shown(formats, &access))
}

fn begin(services: &Services, request: &Request, address: &str) -> Result<Access, Refused> {
    if let Proof::Token(text) = &request.proof {
        // Expired and unknown tokens are told apart from wrong passwords.
        find(services, text)?;
    }
    let asked = AuthRequest::parse(&request.as_v3())?;
    let (text, resolved) = login::issue(services, &asked, address)
        .map_err(|fault| refusal(services, request, address, fault))?;
    let key = TokenKey::of(&text).ok_or_else(Fault::unauthorized)?;
    match access(services, &text, resolved)? {
        Some(access) => Ok(access),
        None => {
            // A token of another domain's user, exchanged here: nothing of it is left behind.
            tokens::revoke(services, &key)?;
            Err(Fault::unauthorized().into())
        }
    }
}

/// Why a token was refused. v3 never says that a user is disabled; v2.0 says so to those who know
/// the password, unless too many have been tried. Any refusal by password takes a second hash, so
/// that time tells nobody of whom it would have been said.
fn refusal(services: &Services, request: &Request, address: &str, fault: Fault) -> Refused {
    let Proof::Password { username, password } = &request.proof else {
        return fault.into();
    };
    if fault.kind() != FaultKind::Unauthorized {
        return fault.into();
    }
    let by_name = Query::by(BY_NAME, Key::new().text(username).text(DEFAULT_DOMAIN));
    let user = services
        .catalogue()
        .read(|view| view.first::<User>(&by_name));
    let now_us = services.now_us();
    let may_be_told = |user: &User| {
        let verdict = services.logins().verdict(&user.id, address, now_us);
        !user.enabled && verdict == Verdict::Heard
    };
    let user = user.ok().flatten().filter(may_be_told);
    let hash = user.and_then(|user| user.password);
    let disabled = hash.is_some();
    let right = hash.unwrap_or_else(Hash::of_nobody).verify(password);
    match right {
        Ok(true) if disabled => Refused::user_disabled(),
        Ok(_) | Err(_) => fault.into(),
    }
}

/// A token that is good now; 404 for every other.
fn find(services: &Services, text: &str) -> Result<Resolved, Fault> {
    let missing = || texts::not_found("token", "unknown or expired");
    let key = TokenKey::of(text).ok_or_else(missing)?;
    let now_us = services.now_us();
    let found = services
        .catalogue()
        .read(|view| tokens::find(view, &key, now_us))?;
    found.ok_or_else(missing)
}

/// What a token stands for; `None` where v2.0 does not know it. Without a tenant there is no
/// catalogue.
fn access(services: &Services, text: &str, resolved: Resolved) -> Result<Option<Access>, Fault> {
    let entries = match &resolved.scope {
        ResolvedScope::Project(project, _) => services
            .catalogue()
            .read(|view| catalog(services, view, Some(&project.id)))?,
        ResolvedScope::Unscoped | ResolvedScope::Domain(_) | ResolvedScope::System => Vec::new(),
    };
    Ok(Access::of(text, resolved, ServiceEntry::of_v3(&entries)))
}

/// The access of a token that somebody asks about, or 404.
async fn asked_about(services: &Services, caller: &Caller, text: String) -> Result<Access, Fault> {
    if !caller.is_identity_admin() {
        return Err(texts::forbidden("admin_required"));
    }
    services
        .blocking(move |services| {
            let resolved = find(services, &text)?;
            let access = access(services, &text, resolved)?;
            access.ok_or_else(|| texts::not_found("token", "not one of v2.0"))
        })
        .await
}

fn shown(formats: Formats, access: &Access) -> Response {
    let (json, xml) = (|| access.json(), || access.xml());
    formats.answer.answer(StatusCode::OK, json, xml)
}

/// `GET` and `HEAD /v2.0/tokens/{token_id}`.
pub(super) async fn validate(
    State(services): State<Services>,
    caller: Caller,
    Path(text): Path<String>,
    params: Params,
    formats: Formats,
) -> Reply {
    let access = asked_about(&services, &caller, text).await?;
    let belongs_to = params.get("belongsTo").filter(|id| !id.is_empty());
    if belongs_to.is_some_and(|id| access.tenant_id() != Some(id)) {
        return Err(texts::not_found("token", "not one of the tenant").into());
    }
    Ok(shown(formats, &access))
}

/// `DELETE /v2.0/tokens/{token_id}`.
pub(super) async fn revoke(
    State(services): State<Services>,
    caller: Caller,
    Path(text): Path<String>,
) -> Reply {
    asked_about(&services, &caller, text.clone()).await?;
    services
        .blocking(move |services| match TokenKey::of(&text) {
            Some(key) => tokens::revoke(services, &key),
            None => Ok(()),
        })
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /v2.0/tokens/{token_id}/endpoints`.
pub(super) async fn endpoints(
    State(services): State<Services>,
    caller: Caller,
    Path(text): Path<String>,
    formats: Formats,
) -> Reply {
    let access = asked_about(&services, &caller, text).await?;
    let json = || {
        let all = access.services().iter();
        let all: Vec<Value> = all.flat_map(ServiceEntry::endpoints_json).collect();
        json!({"endpoints": all, "endpoints_links": []})
    };
    let xml = || {
        let all = access
            .services()
            .iter()
            .flat_map(ServiceEntry::endpoints_xml);
        let links = Element::new("endpoints_links");
        Element::new("endpoints").holding(all).holding([links])
    };
    Ok(formats.answer.answer(StatusCode::OK, json, xml))
}

/// `GET /v2.0/tenants`.
pub(super) async fn tenants(
    State(services): State<Services>,
    caller: Caller,
    params: Params,
    formats: Formats,
) -> Reply {
    let found = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            Ok(catalogue.read(|view| token_calls::projects_of(view, &caller.user_id))?)
        })
        .await?;
    let known = found.into_iter();
    let known = known.filter(|project| project.domain_id == DEFAULT_DOMAIN);
    let page = page_of(known.map(Tenant::of).collect(), &params)?;
    let json = || {
        let all: Vec<Value> = page.iter().map(Tenant::json).collect();
        json!({"tenants": all, "tenants_links": []})
    };
    let xml = || {
        let links = Element::new("tenants_links");
        let all = page.iter().map(Tenant::xml);
        Element::new("tenants").holding(all).holding([links])
    };
    Ok(formats.answer.answer(StatusCode::OK, json, xml))
}

/// The tenants after the marker, as many as the limit says, by id.
fn page_of(mut tenants: Vec<Tenant>, params: &Params) -> Result<Vec<Tenant>, Fault> {
    tenants.sort_by(|one, other| one.id().cmp(other.id()));
    if let Some(marker) = params.get("marker") {
        let place = tenants.iter().position(|tenant| tenant.id() == marker);
        let place = place.ok_or_else(|| Fault::bad_request("Marker could not be found"))?;
        tenants.drain(..=place);
    }
    if let Some(limit) = params.get("limit") {
        let limit = limit
            .parse()
            .map_err(|_| Fault::bad_request("Invalid limit value"))?;
        tenants.truncate(limit);
    }
    Ok(tenants)
}

/// The bytes of a body, within the limit of all bodies.
pub(super) struct Body(Bytes);

impl<S: Sync> axum::extract::FromRequest<S> for Body {
    type Rejection = Refused;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Refused> {
        Ok(Self(body::read(request).await?))
    }
}
