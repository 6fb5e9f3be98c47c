//! From a request for a token to a token.

use super::auth_request::{AuthRequest, DomainReference, Method, Reference, ScopeRequest};
use super::password::Hash;
use super::records::{BY_NAME, Domain, Project, Target, Token, TokenScope, User};
use super::texts;
use super::tokens::{self, Resolved, TokenKey};
use crate::audit;
use crate::catalogue::{self, Key, Query, View};
use crate::fault::{Fault, FaultKind};
use crate::server::Services;

/// A user whom all methods of a request have proved.
struct Proved {
    user: User,
    methods: Vec<String>,
    audit_ids: Vec<String>,
    /// The end of an earlier token's life, which a new one inherits.
    expires_us: Option<u64>,
    from_system: bool,
}

/// Issues a token; returns its text and what it stands for. Blocks, and is slow for passwords.
pub(super) fn issue(
    services: &Services,
    request: &AuthRequest,
    address: &str,
) -> Result<(String, Resolved), Fault> {
    let mut proved: Option<Proved> = None;
    for method in &request.methods {
        let next = match method {
            Method::Password { user, password } => by_password(services, user, password, address)?,
            Method::Token(text) => by_token(services, text)?,
        };
        proved = Some(match proved {
            None => next,
            Some(first) => merge(first, next)?,
        });
    }
    let proved = proved.ok_or_else(Fault::unauthorized)?;
    let scope = find_scope(services, &proved, &request.scope)?;
    let text = tokens::random_text(32)?;
    let key = TokenKey::of(&text).ok_or_else(Fault::unauthorized)?;
    let token = new_token(services, proved, scope, &key)?;
    let resolved = services
        .catalogue()
        .read(|reader| tokens::resolve(reader, token))?
        .ok_or_else(Fault::unauthorized)?;
    tokens::store(services, &resolved.token)?;
    Ok((text, resolved))
}

fn new_token(
    services: &Services,
    proved: Proved,
    scope: TokenScope,
    key: &TokenKey,
) -> Result<Token, Fault> {
    let now_us = services.now_us();
    let lifetime_us = services.config().token_lifetime_s * 1_000_000;
    let mut audit_ids = vec![tokens::random_text(16)?];
    audit_ids.extend(proved.audit_ids);
    Ok(Token {
        id: key.as_str().to_owned(),
        user_id: proved.user.id,
        epoch: proved.user.epoch,
        scope,
        methods: proved.methods,
        audit_ids,
        issued_us: now_us,
        expires_us: proved.expires_us.unwrap_or(now_us + lifetime_us),
    })
}

/// The same answer and about the same time for an unknown user, a wrong password and a disabled
/// account.
fn by_password(
    services: &Services,
    reference: &Reference,
    password: &str,
    address: &str,
) -> Result<Proved, Fault> {
    let user = services
        .catalogue()
        .read(|reader| find_user(reader, reference))?;
    if let Some(user) = &user {
        audit::note_user(&user.id, &user.name);
    }
    // One count for a user, however it is referred to.
    let label = match &user {
        Some(user) => user.id.clone(),
        None => format!("{reference:?}"),
    };
    let now_us = services.now_us();
    if !services.logins().permits(&label, address, now_us) {
        let message = "Too many failed attempts; try again later.";
        return Err(Fault::new(FaultKind::TooManyRequests, message));
    }
    let hash = user.as_ref().and_then(|user| user.password.clone());
    let right = hash.unwrap_or_else(Hash::of_nobody).verify(password)?;
    match user.filter(|user| right && user.enabled && user.password.is_some()) {
        Some(user) => Ok(Proved {
            user,
            methods: vec!["password".to_owned()],
            audit_ids: Vec::new(),
            expires_us: None,
            from_system: false,
        }),
        None => {
            services.logins().failed(&label, address, now_us);
            tracing::info!(address, "login refused");
            Err(Fault::unauthorized())
        }
    }
}

fn by_token(services: &Services, text: &str) -> Result<Proved, Fault> {
    let key = TokenKey::of(text).ok_or_else(Fault::unauthorized)?;
    let now_us = services.now_us();
    let found = services
        .catalogue()
        .read(|reader| tokens::find(reader, &key, now_us))?
        .ok_or_else(Fault::unauthorized)?;
    audit::note_user(&found.user.id, &found.user.name);
    let mut methods = vec!["token".to_owned()];
    methods.extend(
        found
            .token
            .methods
            .into_iter()
            .filter(|method| method != "token"),
    );
    Ok(Proved {
        from_system: found.token.scope == TokenScope::On(Target::System),
        user: found.user,
        methods,
        // The first token's id, however often it was exchanged.
        audit_ids: found.token.audit_ids.last().cloned().into_iter().collect(),
        expires_us: Some(found.token.expires_us),
    })
}

fn merge(mut first: Proved, second: Proved) -> Result<Proved, Fault> {
    if first.user.id != second.user.id {
        return Err(Fault::unauthorized());
    }
    first.methods.extend(second.methods);
    first.methods.sort();
    first.methods.dedup();
    first.audit_ids.extend(second.audit_ids);
    first.audit_ids.truncate(1);
    first.expires_us = first.expires_us.or(second.expires_us);
    first.from_system |= second.from_system;
    Ok(first)
}

fn find_scope(
    services: &Services,
    proved: &Proved,
    request: &ScopeRequest,
) -> Result<TokenScope, Fault> {
    let narrower = matches!(request, ScopeRequest::Project(_) | ScopeRequest::Domain(_));
    if proved.from_system && narrower {
        return Err(texts::forbidden("identity:rescope_system_token"));
    }
    services.catalogue().read(|reader| match request {
        ScopeRequest::Unscoped => Ok(TokenScope::Unscoped),
        ScopeRequest::System => Ok(TokenScope::On(Target::System)),
        ScopeRequest::Default => Ok(default_scope(reader, &proved.user)?),
        ScopeRequest::Project(reference) => {
            let project = find_project(reader, reference)?;
            let project = project.ok_or_else(Fault::unauthorized)?;
            Ok(TokenScope::On(Target::Project(project.id)))
        }
        ScopeRequest::Domain(reference) => {
            let domain = find_domain(reader, reference)?;
            let domain = domain.ok_or_else(Fault::unauthorized)?;
            Ok(TokenScope::On(Target::Domain(domain.id)))
        }
    })
}

/// The user's default project when it is enabled and the user has a role there.
fn default_scope(view: &impl View, user: &User) -> catalogue::Result<TokenScope> {
    let Some(id) = &user.default_project_id else {
        return Ok(TokenScope::Unscoped);
    };
    let usable = view
        .get::<Project>(id)?
        .is_some_and(|project| project.enabled);
    let target = Target::Project(id.clone());
    if usable && !tokens::roles_of(view, &user.id, &target)?.is_empty() {
        return Ok(TokenScope::On(target));
    }
    Ok(TokenScope::Unscoped)
}

fn find_domain(view: &impl View, reference: &DomainReference) -> catalogue::Result<Option<Domain>> {
    match reference {
        DomainReference::Id(id) => view.get::<Domain>(id),
        DomainReference::Name(name) => view.first(&Query::by(BY_NAME, Key::new().text(name))),
    }
}

/// The index key of a name within a domain; `None` when the domain is unknown.
fn name_key(
    view: &impl View,
    name: &str,
    domain: &DomainReference,
) -> catalogue::Result<Option<Key>> {
    let domain = find_domain(view, domain)?;
    Ok(domain.map(|domain| Key::new().text(name).text(&domain.id)))
}

fn find_user(view: &impl View, reference: &Reference) -> catalogue::Result<Option<User>> {
    match reference {
        Reference::Id(id) => view.get::<User>(id),
        Reference::Name { name, domain } => match name_key(view, name, domain)? {
            Some(key) => view.first(&Query::by(BY_NAME, key)),
            None => Ok(None),
        },
    }
}

fn find_project(view: &impl View, reference: &Reference) -> catalogue::Result<Option<Project>> {
    match reference {
        Reference::Id(id) => view.get::<Project>(id),
        Reference::Name { name, domain } => match name_key(view, name, domain)? {
            Some(key) => view.first(&Query::by(BY_NAME, key)),
            None => Ok(None),
        },
    }
}
