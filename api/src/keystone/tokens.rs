//! Tokens: making, finding, checking, ending.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::callers::Known;
use super::records::{
    BY_EXPIRY, BY_USER, Domain, Grant, Project, Role, Target, Token, TokenScope, User,
};
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
/// Most roles followed from a user's grants on a target; the built-in chain has four.
const ROLES_MAX: usize = 64;

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
    pub(super) user: User,
    pub(super) user_domain: Domain,
    pub(super) scope: ResolvedScope,
    pub(super) roles: Vec<Role>,
}

/// The objects of a scope.
pub(super) enum ResolvedScope {
    Unscoped,
    Project(Project, Domain),
    Domain(Domain),
    System,
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
    match view.get::<Token>(key.as_str())? {
        Some(token) if token.expires_us.saturating_add(grace_us) > now_us => resolve(view, token),
        Some(_) | None => Ok(None),
    }
}

/// Works out what a token stands for; `None` when something it needs is gone, disabled or changed.
pub(super) fn resolve(view: &impl View, token: Token) -> catalogue::Result<Option<Resolved>> {
    let Some(user) = view.get::<User>(&token.user_id)? else {
        return Ok(None);
    };
    let Some(user_domain) = view.get::<Domain>(&user.domain_id)? else {
        return Ok(None);
    };
    if !user.enabled || !user_domain.enabled || user.epoch != token.epoch {
        return Ok(None);
    }
    let Some(scope) = resolve_scope(view, &token.scope)? else {
        return Ok(None);
    };
    let roles = match &token.scope {
        TokenScope::Unscoped => Vec::new(),
        TokenScope::On(target) => roles_of(view, &user.id, target)?,
    };
    if roles.is_empty() && token.scope != TokenScope::Unscoped {
        return Ok(None);
    }
    Ok(Some(Resolved {
        token,
        user,
        user_domain,
        scope,
        roles,
    }))
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
            Ok(domain.map(|domain| ResolvedScope::Project(project, domain)))
        }
    }
}

/// The roles of a user on a target, implied ones too, each once.
pub(super) fn roles_of(
    view: &impl View,
    user_id: &str,
    target: &Target,
) -> catalogue::Result<Vec<Role>> {
    let key = target.key(Key::new().text(user_id));
    let grants = view.list::<Grant>(&Query::by(BY_USER, key))?;
    let mut wanted: Vec<String> = grants.into_iter().map(|grant| grant.role_id).collect();
    let mut roles: Vec<Role> = Vec::new();
    while let Some(id) = wanted.pop() {
        if roles.len() >= ROLES_MAX || roles.iter().any(|role| role.id == id) {
            continue;
        }
        if let Some(role) = view.get::<Role>(&id)? {
            wanted.extend(role.implies.iter().cloned());
            roles.push(role);
        }
    }
    Ok(roles)
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
