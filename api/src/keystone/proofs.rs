//! How a caller proves who it is: by password, by token, by application credential.
//!
//! Every password and every secret costs one hash, whether the user is there, enabled, locked or not,
//! so that the time an answer takes says nothing of accounts.

use super::auth_request::{AuthRequest, Credential, Method, Reference};
use super::delegations::AppCredential;
use super::limiter::Verdict;
use super::login::{find_user, user_of};
use super::password::Hash;
use super::records::{BY_USER, Delegation, Target, TokenScope, User};
use super::texts;
use super::tokens::{self, Delegated, TokenKey, usable_user};
use crate::audit;
use crate::catalogue::{self, Key, Query, View};
use crate::fault::{Fault, FaultKind};
use crate::server::Services;

/// A user whom all methods of a request have proved.
pub(super) struct Proved {
    pub(super) user: User,
    pub(super) methods: Vec<String>,
    pub(super) audit_ids: Vec<String>,
    /// The end of what it was proved with, which a token does not outlive.
    pub(super) expires_us: Option<u64>,
    /// Whether a token for the system proved it.
    pub(super) from_system: bool,
    /// What the proof was made with, and the only scope it has.
    pub(super) bound: Option<(Delegation, TokenScope)>,
}

impl Proved {
    /// Proved by one method.
    pub(super) fn by(user: User, method: &str) -> Self {
        Self {
            user,
            methods: vec![method.to_owned()],
            audit_ids: Vec::new(),
            expires_us: None,
            from_system: false,
            bound: None,
        }
    }

    fn merge(mut self, other: Self) -> Result<Self, Fault> {
        if self.user.id != other.user.id {
            return Err(Fault::unauthorized());
        }
        self.methods.extend(other.methods);
        self.methods.sort();
        self.methods.dedup();
        self.audit_ids.extend(other.audit_ids);
        self.audit_ids.truncate(1);
        self.expires_us = earlier(self.expires_us, other.expires_us);
        self.from_system |= other.from_system;
        self.bound = self.bound.or(other.bound);
        Ok(self)
    }
}

/// The earlier of two ends, of which either may not be.
pub(super) fn earlier(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The user that all methods of a request prove, by enough of them. Blocks, and is slow for passwords.
pub(super) fn prove(
    services: &Services,
    request: &AuthRequest,
    address: &str,
) -> Result<Proved, Fault> {
    let mut proved: Option<Proved> = None;
    for method in &request.methods {
        let next = match method {
            Method::Password { user, password } => by_password(services, user, password, address)?,
            Method::Token(text) => by_token(services, text)?,
            Method::AppCredential { which, secret } => {
                by_app_credential(services, which, secret, address)?
            }
        };
        proved = Some(match proved {
            None => next,
            Some(first) => first.merge(next)?,
        });
    }
    let proved = proved.ok_or_else(Fault::unauthorized)?;
    match has_enough(&proved) {
        true => Ok(proved),
        false => Err(Fault::unauthorized()),
    }
}

/// Whether the methods are all of one of the user's own rules, if it has such.
fn has_enough(proved: &Proved) -> bool {
    let options = &proved.user.options;
    let asks = options
        .get("multi_factor_auth_enabled")
        .and_then(|value| value.as_bool());
    let rules = options
        .get("multi_factor_auth_rules")
        .and_then(|value| value.as_array());
    let (Some(true), Some(rules)) = (asks.or(Some(true)), rules) else {
        return true;
    };
    let has = |method: &serde_json::Value| {
        let method = method.as_str().unwrap_or_default();
        proved.methods.iter().any(|proved| proved == method)
    };
    let mut rules = rules.iter().filter_map(|rule| rule.as_array());
    // A token stands for the methods it was had by.
    rules.clone().next().is_none()
        || proved.methods.iter().any(|method| method == "token")
        || rules.any(|rule| rule.iter().all(has))
}

/// What an attempt is counted as, and whether it is heard.
struct Attempt<'a> {
    services: &'a Services,
    label: String,
    address: &'a str,
    /// Whether the user is never locked.
    is_exempt: bool,
    is_locked: bool,
}

impl<'a> Attempt<'a> {
    /// One count for a user, however it is referred to.
    fn new(
        services: &'a Services,
        user: Option<&User>,
        reference: &str,
        address: &'a str,
    ) -> Result<Self, Fault> {
        let label = user.map_or_else(|| reference.to_owned(), |user| user.id.clone());
        let exempt = user.and_then(|user| user.options.get("ignore_lockout_failure_attempts"));
        let is_exempt = exempt.and_then(|value| value.as_bool()) == Some(true);
        let verdict = services
            .logins()
            .verdict(&label, address, services.now_us());
        if verdict == Verdict::Refused {
            let message = "Too many failed attempts; try again later.";
            return Err(Fault::new(FaultKind::TooManyRequests, message));
        }
        Ok(Self {
            services,
            label,
            address,
            is_exempt,
            is_locked: verdict == Verdict::Locked && !is_exempt,
        })
    }

    /// The user if the secret has the hash and nothing else is against it.
    fn decide(&self, secret: &str, hash: Option<Hash>, user: Option<User>) -> Result<User, Fault> {
        let user = user.filter(|_| hash.is_some() && !self.is_locked);
        let right = hash.unwrap_or_else(Hash::of_nobody).verify(secret)?;
        let Some(user) = user.filter(|_| right) else {
            self.note_failure();
            return Err(Fault::unauthorized());
        };
        self.services.logins().succeeded(&self.label, self.address);
        Ok(user)
    }

    /// Those who guess are told nothing of locks; the log and the events, which are for admins, are.
    fn note_failure(&self) {
        let now_us = self.services.now_us();
        let locks = self
            .services
            .logins()
            .failed(&self.label, self.address, now_us);
        tracing::info!(
            address = self.address,
            locked = self.is_locked,
            "login refused"
        );
        if locks && !self.is_exempt {
            tracing::warn!(address = self.address, user = self.label, "login locked");
            let message = "Locked for a minute after too many failed logins".to_owned();
            self.services
                .event("user.locked", None, &self.label, message);
        }
    }
}

fn by_password(
    services: &Services,
    reference: &Reference,
    password: &str,
    address: &str,
) -> Result<Proved, Fault> {
    let user = prove_password(services, reference, password, address)?;
    Ok(Proved::by(user, "password"))
}

/// The user whose password it is.
pub(super) fn prove_password(
    services: &Services,
    reference: &Reference,
    password: &str,
    address: &str,
) -> Result<User, Fault> {
    let (user, usable) = services.catalogue().read(|reader| {
        let user = find_user(reader, reference)?;
        let usable = match &user {
            Some(user) => usable_user(reader, &user.id)?.is_some(),
            None => false,
        };
        catalogue::Result::Ok((user, usable))
    })?;
    if let Some(user) = &user {
        audit::note_user(&user.id, &user.name);
    }
    let attempt = Attempt::new(services, user.as_ref(), &format!("{reference:?}"), address)?;
    let hash = user.as_ref().and_then(|user| user.password.clone());
    attempt.decide(password, hash, user.filter(|_| usable))
}

fn by_app_credential(
    services: &Services,
    which: &Credential,
    secret: &str,
    address: &str,
) -> Result<Proved, Fault> {
    let (credential, user) = services.catalogue().read(|reader| {
        let credential = find_credential(reader, which)?;
        let user = match &credential {
            Some(credential) => usable_user(reader, &credential.user_id)?,
            None => None,
        };
        catalogue::Result::Ok((credential, user.map(|(user, _)| user)))
    })?;
    if let Some(user) = &user {
        audit::note_user(&user.id, &user.name);
    }
    // Each credential is counted by itself: guessing at one locks nobody out of the account.
    let label = credential
        .as_ref()
        .map_or_else(|| format!("{which:?}"), |credential| credential.id.clone());
    let attempt = Attempt::new(services, None, &label, address)?;
    let is_live = |credential: &AppCredential| {
        credential
            .expires_us
            .is_none_or(|end| end > services.now_us())
    };
    let live = credential.as_ref().is_some_and(is_live);
    let hash = credential
        .as_ref()
        .map(|credential| credential.secret.clone());
    let user = attempt.decide(secret, hash, user.filter(|_| live))?;
    let credential = credential.ok_or_else(Fault::unauthorized)?;
    let scope = TokenScope::On(Target::Project(credential.project_id));
    Ok(Proved {
        expires_us: credential.expires_us,
        bound: Some((Delegation::AppCredential(credential.id), scope)),
        ..Proved::by(user, "application_credential")
    })
}

fn find_credential(
    view: &impl View,
    which: &Credential,
) -> catalogue::Result<Option<AppCredential>> {
    match which {
        Credential::Id(id) => view.get::<AppCredential>(id),
        Credential::Name { name, user } => match user_of(view, user)? {
            Some(id) => {
                let key = Key::new().text(&id).text(name);
                view.first(&Query::by(BY_USER, key))
            }
            None => Ok(None),
        },
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
    // What was handed over for one thing must not be turned into something else.
    match &found.delegated {
        Some(Delegated::Trust(_)) => {
            return Err(texts::forbidden(
                "Using trust-scoped token to create another token. Create a new trust-scoped token \
                 instead",
            ));
        }
        Some(Delegated::AppCredential(..)) => {
            let action = "Using a delegated token to create another token is not allowed.";
            return Err(texts::forbidden(action));
        }
        None => {}
    }
    let mut proved = Proved::by(found.user, "token");
    let others = found.token.methods.into_iter();
    proved
        .methods
        .extend(others.filter(|method| method != "token"));
    // The first token's id, however often it was exchanged.
    proved.audit_ids = found.token.audit_ids.last().cloned().into_iter().collect();
    proved.expires_us = Some(found.token.expires_us);
    proved.from_system = found.token.scope == TokenScope::On(Target::System);
    Ok(proved)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::prove;
    use crate::keystone::auth_request::AuthRequest;
    use crate::keystone::password::computed;
    use crate::testing::{Cloud, PASSWORD};

    fn hashes(cloud: &Cloud, method: &str, identity: &Value) -> (usize, bool) {
        let body = json!({"auth": {"identity": {"methods": [method], method: identity}}});
        let request = AuthRequest::parse(&body).ok().unwrap();
        let before = computed();
        let is_proved = prove(&cloud.services, &request, "192.0.2.1").is_ok();
        (computed() - before, is_proved)
    }

    #[tokio::test]
    async fn all_refusals_cost_one_hash_as_successes_do() {
        let cloud = Cloud::new();
        let admin = cloud.admin().await;
        for (name, enabled) in [("disabled", false), ("enabled", true)] {
            let user = json!({"name": name, "password": PASSWORD, "enabled": enabled});
            let body = json!({ "user": user });
            let path = "/identity/v3/users";
            assert_eq!(cloud.call(&admin, "POST", path, body).await.status, 201);
        }
        let path = "/identity/v3/users";
        let body = json!({"user": {"name": "unarmed"}});
        assert_eq!(cloud.call(&admin, "POST", path, body).await.status, 201);
        let user = |name: &str, password: &str, domain: &str| json!({"user": {"name": name, "password": password, "domain": {"name": domain}}});
        for (name, password, domain, proved) in [
            ("enabled", PASSWORD, "Default", true),
            ("enabled", "wrong", "Default", false),
            ("disabled", PASSWORD, "Default", false),
            ("disabled", "wrong", "Default", false),
            ("nobody", PASSWORD, "Default", false),
            ("unarmed", "", "Default", false),
            ("enabled", PASSWORD, "nowhere", false),
        ] {
            let outcome = hashes(&cloud, "password", &user(name, password, domain));
            assert_eq!(outcome, (1, proved), "{name} {password} {domain}");
        }
        for _ in 0..12 {
            let outcome = hashes(&cloud, "password", &user("enabled", "wrong", "Default"));
            assert_eq!(outcome, (1, false));
        }
        // Locked: the right password is as wrong, and costs as much.
        let outcome = hashes(&cloud, "password", &user("enabled", PASSWORD, "Default"));
        assert_eq!(outcome, (1, false));
        let unknown = json!({"id": "0123", "secret": "x"});
        let outcome = hashes(&cloud, "application_credential", &unknown);
        assert_eq!(outcome, (1, false));
    }
}
