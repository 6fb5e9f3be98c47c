//! Who calls, and what they may do.
//!
//! A layer turns `X-Auth-Token` into a [`Caller`]; routes behind it take the caller as an extractor.
//! Rights follow roles: admin implies manager implies member implies reader (resolved when the
//! caller is made). What they permit in Block Storage is said by [`crate::policy`], whose rules a
//! caller carries along.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName};

use crate::audit;
use crate::catalogue::View;
use crate::external::glance::UserToken;
use crate::fault::Fault;
use crate::keystone::{self, Called};
use crate::policy::{Credentials, Rule, Rules, Target};
use crate::server::{Services, UrlProject};

/// The header that carries the caller's token.
pub(crate) const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// The header that carries the token of the service that asks for a user.
const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

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
    /// Whether the caller is an admin of Block Storage: has the role admin, or what the rule
    /// `context_is_admin` asks for, on a project or the system.
    pub is_admin: bool,
    /// The token's key in the catalogue.
    pub(crate) token: keystone::TokenKey,
    /// What the token may not do although its roles permit it.
    pub(crate) bounds: keystone::Bounds,
    rules: Arc<Rules>,
}

/// What a caller is made of.
pub(crate) struct CallerParts {
    pub(crate) user_id: String,
    pub(crate) user_name: String,
    pub(crate) user_domain_id: String,
    pub(crate) scope: Scope,
    pub(crate) roles: Vec<String>,
    pub(crate) token: keystone::TokenKey,
    pub(crate) bounds: keystone::Bounds,
}

impl Caller {
    /// The caller of these parts, under these rules.
    pub(crate) fn new(parts: CallerParts, rules: Arc<Rules>) -> Self {
        let mut caller = Self {
            user_id: parts.user_id,
            user_name: parts.user_name,
            user_domain_id: parts.user_domain_id,
            scope: parts.scope,
            roles: parts.roles,
            is_admin: false,
            token: parts.token,
            bounds: parts.bounds,
            rules,
        };
        caller.is_admin = caller.is_cloud_scoped() && caller.can_own(Rule::ContextIsAdmin);
        caller
    }

    /// Whether the token is for a project or the system; an admin of a domain is none of the cloud.
    fn is_cloud_scoped(&self) -> bool {
        matches!(self.scope, Scope::Project { .. } | Scope::System)
    }

    /// Whether the caller is an admin of Identity, whose rules no file changes: has the role admin
    /// on a project or the system.
    pub fn is_identity_admin(&self) -> bool {
        self.is_cloud_scoped() && self.has_role("admin")
    }

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

    /// Whether a rule permits the caller to act on an object, given by its project or as the object.
    pub fn can<'t>(&self, rule: Rule, target: impl Into<Target<'t>>) -> bool {
        let credentials = Credentials {
            user_id: &self.user_id,
            user_domain_id: &self.user_domain_id,
            scope: &self.scope,
            roles: &self.roles,
            is_admin: self.is_admin,
        };
        self.rules.permits(rule, &credentials, &target.into())
    }

    /// As [`Caller::can`] where there is no object: as if it were the caller's own.
    pub fn can_own(&self, rule: Rule) -> bool {
        let own = Target {
            project_id: self.project_id(),
            user_id: Some(&self.user_id),
        };
        self.can(rule, own)
    }

    /// 403 naming the rule unless it permits the caller to act on an object.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn check<'t>(&self, rule: Rule, target: impl Into<Target<'t>>) -> Result<(), Fault> {
        match self.can(rule, target) {
            true => Ok(()),
            false => Err(Fault::forbidden(rule.name())),
        }
    }

    /// As [`Caller::check`] where there is no object: as if it were the caller's own.
    ///
    /// # Errors
    /// The fault to answer with.
    pub fn check_own(&self, rule: Rule) -> Result<(), Fault> {
        match self.can_own(rule) {
            true => Ok(()),
            false => Err(Fault::forbidden(rule.name())),
        }
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

/// Whether there is a project of this id, here or at the Keystone elsewhere.
///
/// # Errors
/// Those of the catalogue, and 503 when the Keystone does not answer.
pub(crate) async fn has_project(services: &Services, id: String) -> Result<bool, Fault> {
    if let Some(keystone) = &services.config().keystone {
        return Ok(keystone.has_project(&id).await?);
    }
    services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            let project = catalogue.read(|reader| reader.get::<keystone::Project>(id.as_str()))?;
            Ok(project.is_some())
        })
        .await
}

/// Finds out who a request is from.
///
/// # Errors
/// 401 without a valid token, 503 when the Keystone elsewhere does not answer.
pub async fn authenticate(services: &Services, headers: &HeaderMap) -> Result<Caller, Fault> {
    let token = token_of(headers, &AUTH_TOKEN).ok_or_else(Fault::unauthorized)?;
    let caller = match &services.config().keystone {
        None => built_in_caller(services, token).await?,
        Some(keystone) => {
            let service = token_of(headers, &SERVICE_TOKEN);
            let rules = services.config().policy.clone();
            keystone.caller_of(token, service, rules).await?
        }
    };
    audit::note_caller(&caller);
    Ok(caller)
}

/// The caller of a token of this cloud's own Identity.
async fn built_in_caller(services: &Services, token: &str) -> Result<Caller, Fault> {
    let key = keystone::TokenKey::of(token).ok_or_else(Fault::unauthorized)?;
    if let Some(caller) = keystone::known_caller(services, &key) {
        return Ok(caller);
    }
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
    match admit(&services, &mut request).await {
        Err(fault) => fault.into_response(),
        Ok(()) => next.run(request).await,
    }
}

/// Notes on a request whom it is from.
///
/// # Errors
/// 401 without a valid token, or with one that is not for this call.
pub(crate) async fn admit(services: &Services, request: &mut Request) -> Result<(), Fault> {
    let caller = authenticate(services, request.headers()).await?;
    if caller.bounds.has_rules() {
        let method = request.method().to_string();
        let called = request.extensions().get::<Called>().cloned();
        let called = called.map(|called| (method, called));
        let service = service_of(request);
        check_bounds(services, &caller, called, service).await?;
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

/// The key of the token of the service that asks, if one does.
fn service_of(request: &Request) -> Option<keystone::TokenKey> {
    token_of(request.headers(), &SERVICE_TOKEN).and_then(keystone::TokenKey::of)
}

/// 401 of a call that the access rules of the token's application credential do not permit. What a
/// service asks for on behalf of the user is no call of the user's.
async fn check_bounds(
    services: &Services,
    caller: &Caller,
    called: Option<(String, Called)>,
    service: Option<keystone::TokenKey>,
) -> Result<(), Fault> {
    let verdict = match &called {
        Some((method, called)) => caller.bounds.check_call(method, called),
        // What was not noted at the door no rule can name.
        None => Err(Fault::unauthorized()),
    };
    let Some(key) = service.filter(|_| verdict.is_err()) else {
        return verdict;
    };
    let service = services
        .blocking(move |services| keystone::caller_of(services, key))
        .await?;
    match service.is_some_and(|service| service.has_role("service")) {
        true => Ok(()),
        false => verdict,
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

/// The caller's token, to be shown to others on the caller's behalf.
impl<S: Sync> FromRequestParts<S> for UserToken {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let text = token_of(&parts.headers, &AUTH_TOKEN);
        text.map(Self::new).ok_or_else(Fault::unauthorized)
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(Fault::unauthorized)
    }
}
