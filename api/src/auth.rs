//! Who calls, and what they may do.
//!
//! A layer turns `X-Auth-Token` into a [`Caller`]; routes behind it take the caller as an extractor.
//! Rights follow roles: admin implies manager implies member implies reader (resolved when the
//! caller is made). An admin is whoever has the role admin on any project or on the system.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::fault::Fault;
use crate::keystone;
use crate::server::{Services, UrlProject};

/// The header that carries the caller's token.
pub(crate) const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Marks an answer that lacks `WWW-Authenticate` yet; see [`crate::server`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unauthenticated;

/// What a token is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only to ask for a scope.
    Unscoped,
    /// A project.
    Project {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
        /// The domain it is in.
        domain_id: String,
    },
    /// A domain.
    Domain {
        /// Its id.
        id: String,
    },
    /// The whole system.
    System,
}

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user's id.
    pub user_id: String,
    /// The user's name.
    pub user_name: String,
    /// The user's domain.
    pub user_domain_id: String,
    /// What the token is good for.
    pub scope: Scope,
    /// Names of the roles within the scope, implied ones too.
    pub roles: Vec<String>,
    /// Whether one of them is admin on a project or the system.
    pub is_admin: bool,
    /// The token's key in the catalogue.
    pub(crate) token: keystone::TokenKey,
}

/// The roles a rule asks for, each with the project of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Any authenticated caller.
    Any,
    /// Role reader on the project, or admin.
    Reader,
    /// Role member on the project, or admin.
    Member,
    /// Admin.
    Admin,
}

impl Caller {
    /// The project of the scope, if it is one.
    pub fn project_id(&self) -> Option<&str> {
        match &self.scope {
            Scope::Project { id, .. } => Some(id),
            Scope::Unscoped | Scope::Domain { .. } | Scope::System => None,
        }
    }

    /// The project of the scope; 400 for callers without one.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn require_project(&self) -> Result<&str, Fault> {
        self.project_id().ok_or_else(Fault::malformed)
    }

    /// Whether the caller has a role, by name.
    pub fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role == name)
    }

    /// Whether a policy permits the caller to act on an object of `project`.
    pub fn can(&self, policy: Policy, project: &str) -> bool {
        let own = self.project_id() == Some(project);
        self.is_admin
            || match policy {
                Policy::Any => true,
                Policy::Reader => own && self.has_role("reader"),
                Policy::Member => own && self.has_role("member"),
                Policy::Admin => false,
            }
    }

    /// 403 naming `rule` unless the policy permits it.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn check(&self, rule: &str, policy: Policy, project: &str) -> Result<(), Fault> {
        if self.can(policy, project) {
            Ok(())
        } else {
            Err(Fault::forbidden(rule))
        }
    }

    /// 403 naming `rule` unless the caller is admin.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn check_admin(&self, rule: &str) -> Result<(), Fault> {
        self.check(rule, Policy::Admin, "")
    }

    /// Whether the caller sees objects of `project` at all (others are 404, not 403).
    pub fn sees(&self, project: &str) -> bool {
        self.is_admin || self.project_id() == Some(project)
    }
}

/// The token of a request, if it has one.
pub(crate) fn token_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Finds out who a request is from.
///
/// # Errors
/// 401 without a valid token.
pub async fn authenticate(services: &Services, headers: &HeaderMap) -> Result<Caller, Fault> {
    let token = token_of(headers, &AUTH_TOKEN).ok_or_else(Fault::unauthorized)?;
    let key = keystone::TokenKey::of(token).ok_or_else(Fault::unauthorized)?;
    let caller = services
        .blocking(move |services| keystone::caller_of(services, key))
        .await?;
    caller.ok_or_else(Fault::unauthorized)
}

/// Layer: lets only callers with a valid token in.
pub(crate) async fn require_token(
    State(services): State<Services>,
    mut request: Request,
    next: Next,
) -> Response {
    match authenticate(&services, request.headers()).await {
        Err(fault) => fault.into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// Layer: a project in the URL must be the token's.
pub(crate) async fn require_url_project(request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let url = extensions
        .get::<UrlProject>()
        .and_then(|url| url.0.as_deref());
    let own = extensions.get::<Caller>().and_then(Caller::project_id);
    match url {
        Some(url) if own != Some(url) => {
            Fault::bad_request("Malformed request url").into_response()
        }
        Some(_) | None => next.run(request).await,
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(Fault::unauthorized)
    }
}
