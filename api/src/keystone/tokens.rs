//! Tokens: making, finding, checking, ending.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::bounds::Bounds;
use super::callers::Known;
use super::delegations::{AccessRule, AppCredential, Trust};
use super::records::{
    BY_EXPIRY, Delegation, Domain, Project, Role, Target, Token, TokenScope, User,
};
use super::rights::{all_roles_of, roles_of, with_implied};
use super::trusts::first_trustor;
use crate::auth::{Caller, CallerParts, Scope};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::server::Services;

/// How long services may still ask about a token after it has expired: what began with it may take
/// that long. The real service's default.
pub(super) const GRACE_US: u64 = 172_800 * 1_000_000;
/// Longest text looked at as a token.
const TOKEN_BYTES_MAX: usize = 255;
/// Tokens beyond their grace removed at most with each that is issued; more than one, so that they run out.
const PURGE_STEP: usize = 8;

/// The stored name of a token: a hash of its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey(String);

impl TokenKey {
    /// The key of a token's text; `None` when it cannot be one.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= TOKEN_BYTES_MAX;
        fits.then(|| Self::of_any(text))
    }

    /// The key of a token of another Identity, where it is not looked up.
    pub(crate) fn of_any(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()).to_hex().to_string())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Random bytes as base64url text.
pub(super) fn random_text(bytes: usize) -> Result<String, Fault> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(Fault::internal)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// A token with everything it stands for, as of now.
pub(super) struct Resolved {
    pub(super) token: Token,
    /// Whom it is of; with a trust that impersonates, the trustor.
    pub(super) user: User,
    pub(super) user_domain: Domain,
    pub(super) scope: ResolvedScope,
    pub(super) roles: Vec<Role>,
    pub(super) delegated: Option<Delegated>,
    /// The sum of the epochs of all it stands for.
    epoch: u64,
}

impl Resolved {
    /// As of what it stands for now, for a token that is about to be issued.
    pub(super) fn stamped(mut self) -> Self {
        self.token.epoch = self.epoch;
        self
    }
}

/// The objects of a scope.
pub(super) enum ResolvedScope {
    Unscoped,
    Project(Box<Project>, Domain),
    Domain(Domain),
    System,
}

impl ResolvedScope {
    fn epoch(&self) -> u64 {
        match self {
            Self::Unscoped | Self::System => 0,
            Self::Project(project, domain) => project.epoch + domain.epoch,
            Self::Domain(domain) => domain.epoch,
        }
    }
}

/// The object of a delegation.
pub(super) enum Delegated {
    AppCredential(AppCredential, Option<Vec<AccessRule>>),
    Trust(Trust),
}

/// The caller behind a token whom an earlier request has found and for whom nothing has changed;
/// does not block.
pub(crate) fn known_caller(services: &Services, key: &TokenKey) -> Option<Caller> {
    let (watched, now_us) = (services.catalogue().watched(), services.now_us());
    services.callers().find(key, watched, now_us)
}

/// The caller behind a token; `None` when it is unknown, expired or no longer good.
pub(crate) fn caller_of(services: &Services, key: TokenKey) -> Result<Option<Caller>, Fault> {
    let (catalogue, now_us) = (services.catalogue(), services.now_us());
    // Before the state is read: what changes meanwhile makes the entry void.
    let watched = catalogue.watched();
    let found = catalogue.read(|reader| find(reader, &key, now_us))?;
    Ok(found.map(|resolved| {
        let expires_us = resolved.token.expires_us;
        let rules = services.config().policy.clone();
        let caller = Caller::new(parts_of_caller(resolved, key.clone()), rules);
        let known = Known {
            watched,
            expires_us,
            caller: caller.clone(),
        };
        services.callers().keep(key, known);
        caller
    }))
}

fn parts_of_caller(resolved: Resolved, token: TokenKey) -> CallerParts {
    let scope = match resolved.scope {
        ResolvedScope::Unscoped => Scope::Unscoped,
        ResolvedScope::Project(project, _) => Scope::Project {
            id: project.id,
            name: project.name,
            domain_id: project.domain_id,
        },
        ResolvedScope::Domain(domain) => Scope::Domain { id: domain.id },
        ResolvedScope::System => Scope::System,
    };
    CallerParts {
        user_id: resolved.user.id,
        user_name: resolved.user.name,
        user_domain_id: resolved.user.domain_id,
        scope,
        roles: resolved.roles.into_iter().map(|role| role.name).collect(),
        token,
        bounds: bounds_of(resolved.delegated),
    }
}

fn bounds_of(delegated: Option<Delegated>) -> Bounds {
    match delegated {
        None => Bounds::default(),
        Some(Delegated::AppCredential(credential, rules)) => Bounds {
            is_unrestricted: credential.unrestricted == Some(true),
            app_credential: Some(credential.id),
            trust: None,
            rules: rules.map(Into::into),
        },
        Some(Delegated::Trust(trust)) => Bounds {
            trust: Some(trust.id),
            ..Bounds::default()
        },
    }
}

/// Finds a token that is good now.
pub(super) fn find(
    view: &impl View,
    key: &TokenKey,
    now_us: u64,
) -> catalogue::Result<Option<Resolved>> {
    find_within(view, key, now_us, 0)
}

/// As [`find`], of a token that may have expired so many microseconds ago.
pub(super) fn find_within(
    view: &impl View,
    key: &TokenKey,
    now_us: u64,
    grace_us: u64,
) -> catalogue::Result<Option<Resolved>> {
    let Some(token) = view.get::<Token>(key.as_str())? else {
        return Ok(None);
    };
    let epoch = token.epoch;
    if token.expires_us.saturating_add(grace_us) <= now_us {
        return Ok(None);
    }
    let resolved = resolve(view, token)?;
    Ok(resolved.filter(|resolved| resolved.epoch == epoch))
}

/// Works out what a token stands for; `None` when something it needs is gone or disabled. Whether it
/// is still as when the token was issued only its epoch says.
pub(super) fn resolve(view: &impl View, token: Token) -> catalogue::Result<Option<Resolved>> {
    let Some((user, user_domain)) = usable_user(view, &token.user_id)? else {
        return Ok(None);
    };
    let Some(scope) = resolve_scope(view, &token.scope)? else {
        return Ok(None);
    };
    let mut resolved = Resolved {
        epoch: user.epoch + user_domain.epoch + scope.epoch(),
        token,
        user,
        user_domain,
        scope,
        roles: Vec::new(),
        delegated: None,
    };
    let is_good = match resolved.token.delegation.clone() {
        None => grant_roles(view, &mut resolved)?,
        Some(Delegation::AppCredential(id)) => by_credential(view, &mut resolved, &id)?,
        Some(Delegation::Trust(id)) => by_trust(view, &mut resolved, &id)?,
    };
    Ok(is_good.then_some(resolved))
}

/// A user who is enabled, as the domain is.
pub(super) fn usable_user(view: &impl View, id: &str) -> catalogue::Result<Option<(User, Domain)>> {
    let Some(user) = view.get::<User>(id)?.filter(|user| user.enabled) else {
        return Ok(None);
    };
    let domain = view.get::<Domain>(&user.domain_id)?;
    let domain = domain.filter(|domain| domain.enabled);
    Ok(domain.map(|domain| (user, domain)))
}

/// The user's own roles; whether there are any, or none needed.
fn grant_roles(view: &impl View, resolved: &mut Resolved) -> catalogue::Result<bool> {
    let TokenScope::On(target) = &resolved.token.scope else {
        return Ok(true);
    };
    resolved.roles = roles_of(view, &resolved.user.id, target)?;
    Ok(!resolved.roles.is_empty())
}

/// Of the user's own roles those that the application credential has.
fn by_credential(view: &impl View, resolved: &mut Resolved, id: &str) -> catalogue::Result<bool> {
    let Some(credential) = view.get::<AppCredential>(id)? else {
        return Ok(false);
    };
    let of_both = credential.user_id == resolved.user.id
        && resolved.token.scope == TokenScope::On(Target::Project(credential.project_id.clone()));
    if !of_both || !grant_roles(view, resolved)? {
        return Ok(false);
    }
    resolved
        .roles
        .retain(|role| credential.roles.contains(&role.id));
    let rules = match &credential.access_rules {
        None => None,
        Some(ids) => {
            let mut rules = Vec::new();
            for id in ids {
                // Without a rule there is less that is permitted, never more.
                rules.extend(view.get::<AccessRule>(id)?);
            }
            Some(rules)
        }
    };
    resolved.delegated = Some(Delegated::AppCredential(credential, rules));
    Ok(!resolved.roles.is_empty())
}

/// The roles that the trust lends, all of which the trustor must still have.
fn by_trust(view: &impl View, resolved: &mut Resolved, id: &str) -> catalogue::Result<bool> {
    let Some(trust) = view.get::<Trust>(id)? else {
        return Ok(false);
    };
    let Some((trustor, trustor_domain)) = usable_user(view, &trust.trustor_id)? else {
        return Ok(false);
    };
    let target = trust.project_id.clone().map(Target::Project);
    let scope = target.clone().map_or(TokenScope::Unscoped, TokenScope::On);
    if trust.trustee_id != resolved.user.id || resolved.token.scope != scope {
        return Ok(false);
    }
    if let Some(target) = target {
        let lender = first_trustor(view, &trust)?;
        let owned = all_roles_of(view, &lender, &target)?;
        let lent = with_implied(view, trust.roles.iter().cloned())?;
        let keeps = |lent: &Role| owned.iter().any(|own| own.id == lent.id);
        if lent.is_empty() || !lent.iter().all(keeps) {
            return Ok(false);
        }
        resolved.roles = lent;
        resolved.roles.retain(|role| role.domain_id.is_none());
    }
    resolved.epoch += trustor.epoch + trustor_domain.epoch;
    if trust.impersonation {
        (resolved.user, resolved.user_domain) = (trustor, trustor_domain);
    }
    resolved.delegated = Some(Delegated::Trust(trust));
    Ok(true)
}

fn resolve_scope(view: &impl View, scope: &TokenScope) -> catalogue::Result<Option<ResolvedScope>> {
    let target = match scope {
        TokenScope::Unscoped => return Ok(Some(ResolvedScope::Unscoped)),
        TokenScope::On(target) => target,
    };
    match target {
        Target::System => Ok(Some(ResolvedScope::System)),
        Target::Domain(id) => {
            let domain = view.get::<Domain>(id)?.filter(|domain| domain.enabled);
            Ok(domain.map(ResolvedScope::Domain))
        }
        Target::Project(id) => {
            let Some(project) = view.get::<Project>(id)?.filter(|project| project.enabled) else {
                return Ok(None);
            };
            let domain = view.get::<Domain>(&project.domain_id)?;
            let domain = domain.filter(|domain| domain.enabled);
            Ok(domain.map(|domain| ResolvedScope::Project(Box::new(project), domain)))
        }
    }
}

/// Stores a token. A crash may lose it, and its owner asks for another.
pub(super) fn store(services: &Services, token: &Token) -> Result<(), Fault> {
    services.catalogue().write_relaxed(|writer| {
        writer.insert(token)?;
        purge(writer, token.issued_us)
    })?;
    Ok(())
}

fn purge(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    let oldest = Query::by(BY_EXPIRY, Key::new()).limit(PURGE_STEP);
    for token in writer.list::<Token>(&oldest)? {
        if token.expires_us.saturating_add(GRACE_US) <= now_us {
            writer.delete::<Token>(&token.id)?;
        }
    }
    Ok(())
}

/// Ends a token for good.
pub(super) fn revoke(services: &Services, key: &TokenKey) -> Result<(), Fault> {
    services
        .catalogue()
        .write(|writer| writer.delete::<Token>(key.as_str()))?;
    Ok(())
}
