//! What the Keystone says of a token.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Caller, CallerParts, Scope};
use crate::keystone::{Bounds, TokenKey};
use crate::policy::Rules;

/// A good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validated {
    user_id: String,
    user_name: String,
    user_domain_id: String,
    scope: Scope,
    roles: Vec<String>,
    expires_us: u64,
}

#[derive(Deserialize)]
struct Envelope {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: Named,
    expires_at: String,
    project: Option<Named>,
    domain: Option<Bare>,
    system: Option<Value>,
    #[serde(default)]
    roles: Vec<Bare>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
    domain: Bare,
}

#[derive(Deserialize)]
struct Bare {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
}

impl Validated {
    /// Reads the body of `GET /v3/auth/tokens`.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let Envelope { token } = serde_json::from_slice(body).ok()?;
        let scope = match (token.project, token.domain, token.system) {
            (Some(project), None, None) => Scope::Project {
                id: project.id,
                name: project.name,
                domain_id: project.domain.id,
            },
            (None, Some(domain), None) => Scope::Domain { id: domain.id },
            (None, None, Some(_)) => Scope::System,
            (None, None, None) => Scope::Unscoped,
            // No token is for two things.
            _ => return None,
        };
        let expires: Timestamp = token.expires_at.parse().ok()?;
        Some(Self {
            user_id: token.user.id,
            user_name: token.user.name,
            user_domain_id: token.user.domain.id,
            scope,
            roles: token.roles.into_iter().map(|role| role.name).collect(),
            expires_us: u64::try_from(expires.as_microsecond()).ok()?,
        })
    }

    pub(super) fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role == name)
    }

    /// Whether it has not expired.
    pub(super) fn lasts(&self, now_us: u64) -> bool {
        self.expires_us > now_us
    }

    pub(super) fn expires_us(&self) -> u64 {
        self.expires_us
    }

    /// The caller with this token.
    pub(super) fn caller(&self, text: &str, rules: Arc<Rules>) -> Caller {
        let parts = CallerParts {
            user_id: self.user_id.clone(),
            user_name: self.user_name.clone(),
            user_domain_id: self.user_domain_id.clone(),
            scope: self.scope.clone(),
            roles: self.roles.clone(),
            token: TokenKey::of_any(text),
            // We do not say that we know of access rules, so that a Keystone shows us no token that
            // has them.
            bounds: Bounds::default(),
        };
        Caller::new(parts, rules)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::Validated;
    use crate::auth::Scope;

    fn body(scope: &Value) -> Vec<u8> {
        let mut token = json!({
            "user": {"id": "u", "name": "U", "domain": {"id": "default", "name": "Default"}},
            "expires_at": "2026-01-01T00:00:00.000000Z",
            "issued_at": "2025-01-01T00:00:00.000000Z",
            "methods": ["password"],
            "roles": [{"id": "r", "name": "reader"}],
        });
        for (key, value) in scope.as_object().unwrap() {
            token[key] = value.clone();
        }
        json!({"token": token}).to_string().into_bytes()
    }

    #[test]
    fn every_scope_is_read() {
        let domain = json!({"id": "d", "name": "D"});
        let project = json!({"id": "p", "name": "P", "domain": domain});
        let expected = Scope::Project {
            id: "p".into(),
            name: "P".into(),
            domain_id: "d".into(),
        };
        let scope = |scope: Value| Validated::parse(&body(&scope)).map(|found| found.scope);
        assert_eq!(scope(json!({ "project": project })), Some(expected));
        let in_domain = Scope::Domain { id: "d".into() };
        assert_eq!(scope(json!({ "domain": domain })), Some(in_domain));
        let system = json!({"system": {"all": true}});
        assert_eq!(scope(system), Some(Scope::System));
        assert_eq!(scope(json!({})), Some(Scope::Unscoped));
        assert_eq!(scope(json!({"project": project, "domain": domain})), None);
        let found = Validated::parse(&body(&json!({}))).unwrap();
        assert!(found.has_role("reader") && !found.has_role("admin"));
        assert!(found.lasts(1_767_225_599_999_999) && !found.lasts(1_767_225_600_000_000));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Validated::parse(&bytes);
        }
    }
}
