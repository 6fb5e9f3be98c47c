//! From a request for a token to a token.

use super::auth_request::{AuthRequest, DomainReference, Reference, ScopeRequest};
use super::delegations::Trust;
use super::proofs::{Proved, earlier, prove};
use super::records::{BY_NAME, Delegation, Domain, Project, Target, Token, TokenScope, User};
use super::rights::roles_of;
use super::texts;
use super::tokens::{self, Resolved, TokenKey};
use super::trusts;
use crate::catalogue::{self, Key, Query, View};
use crate::fault::Fault;
use crate::server::Services;

/// What a token is to be for.
pub(super) struct Wanted {
    pub(super) scope: TokenScope,
    pub(super) delegation: Option<Delegation>,
    /// The end of what lends it.
    pub(super) expires_us: Option<u64>,
}

/// Issues a token; returns its text and what it stands for. Blocks, and is slow for passwords.
pub(super) fn issue(
    services: &Services,
    request: &AuthRequest,
    address: &str,
) -> Result<(String, Resolved), Fault> {
    let proved = prove(services, request, address)?;
    let wanted = find_wanted(services, &proved, &request.scope)?;
    issue_to(services, proved, wanted)
}

/// Issues a token to a user who has been proved. Blocks.
pub(super) fn issue_to(
    services: &Services,
    proved: Proved,
    wanted: Wanted,
) -> Result<(String, Resolved), Fault> {
    let text = tokens::random_text(32)?;
    let key = TokenKey::of(&text).ok_or_else(Fault::unauthorized)?;
    let lender = match &wanted.delegation {
        Some(Delegation::Trust(id)) => Some(id.clone()),
        Some(Delegation::AppCredential(_)) | None => None,
    };
    let token = new_token(services, proved, wanted, &key)?;
    let resolved = services
        .catalogue()
        .read(|reader| tokens::resolve(reader, token))?
        .ok_or_else(Fault::unauthorized)?
        .stamped();
    if let Some(id) = lender {
        trusts::use_once(services, &id)?;
    }
    tokens::store(services, &resolved.token)?;
    Ok((text, resolved))
}

fn new_token(
    services: &Services,
    proved: Proved,
    wanted: Wanted,
    key: &TokenKey,
) -> Result<Token, Fault> {
    let now_us = services.now_us();
    let lifetime_us = services.config().token_lifetime_s * 1_000_000;
    let mut audit_ids = vec![tokens::random_text(16)?];
    audit_ids.extend(proved.audit_ids);
    let end = earlier(proved.expires_us, wanted.expires_us).unwrap_or(u64::MAX);
    Ok(Token {
        id: key.as_str().to_owned(),
        user_id: proved.user.id,
        // Stamped once it is known what the token stands for.
        epoch: 0,
        scope: wanted.scope,
        delegation: wanted.delegation,
        methods: proved.methods,
        audit_ids,
        issued_us: now_us,
        expires_us: end.min(now_us + lifetime_us),
    })
}

fn find_wanted(
    services: &Services,
    proved: &Proved,
    request: &ScopeRequest,
) -> Result<Wanted, Fault> {
    if let Some((delegation, scope)) = &proved.bound {
        return Ok(Wanted {
            scope: scope.clone(),
            delegation: Some(delegation.clone()),
            expires_us: None,
        });
    }
    if let ScopeRequest::Trust(id) = request {
        return by_trust(services, proved, id);
    }
    Ok(Wanted {
        scope: find_scope(services, proved, request)?,
        delegation: None,
        expires_us: None,
    })
}

fn by_trust(services: &Services, proved: &Proved, id: &str) -> Result<Wanted, Fault> {
    let now_us = services.now_us();
    let trust = services
        .catalogue()
        .read(|reader| reader.get::<Trust>(id))?;
    let trust = trust.filter(|trust| trusts::is_live(trust, now_us));
    let trust = trust.ok_or_else(Fault::unauthorized)?;
    if trust.trustee_id != proved.user.id {
        // The real service's text, with the reason left out.
        let message = "You are not authorized to perform the requested action.";
        return Err(texts::forbidden_as_such(message));
    }
    let target = trust.project_id.map(Target::Project);
    Ok(Wanted {
        scope: target.map_or(TokenScope::Unscoped, TokenScope::On),
        delegation: Some(Delegation::Trust(trust.id)),
        expires_us: trust.expires_us,
    })
}

fn find_scope(
    services: &Services,
    proved: &Proved,
    request: &ScopeRequest,
) -> Result<TokenScope, Fault> {
    let narrower = matches!(request, ScopeRequest::Project(_) | ScopeRequest::Domain(_));
    if proved.from_system && narrower {
        return Err(texts::forbidden(
            "Using a system-scoped token to create a project-scoped or domain-scoped token is not \
             allowed.",
        ));
    }
    services.catalogue().read(|reader| match request {
        // A trust is looked for before.
        ScopeRequest::Unscoped | ScopeRequest::Trust(_) => Ok(TokenScope::Unscoped),
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
    let project = view.get::<Project>(id)?.filter(|project| project.enabled);
    let usable = match &project {
        Some(project) => view
            .get::<Domain>(&project.domain_id)?
            .is_some_and(|domain| domain.enabled),
        None => false,
    };
    let target = Target::Project(id.clone());
    if usable && !roles_of(view, &user.id, &target)?.is_empty() {
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

/// The id of the user that a reference names, which need not be there when it is an id.
pub(super) fn user_of(
    view: &impl View,
    reference: &Reference,
) -> catalogue::Result<Option<String>> {
    match reference {
        Reference::Id(id) => Ok(Some(id.clone())),
        Reference::Name { .. } => Ok(find_user(view, reference)?.map(|user| user.id)),
    }
}

pub(super) fn find_user(
    view: &impl View,
    reference: &Reference,
) -> catalogue::Result<Option<User>> {
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
