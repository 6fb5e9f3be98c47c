//! The body of a request for a token, taken apart and checked.

use serde_json::Value;

use super::texts;
use crate::fault::Fault;

/// Longest password heard; hashing more would only burn time.
const PASSWORD_BYTES_MAX: usize = 4096;

/// An id, or a name within a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    Id(String),
    Name {
        name: String,
        domain: DomainReference,
    },
}

/// A domain by id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DomainReference {
    Id(String),
    Name(String),
}

/// How the caller proves who it is.
pub(super) enum Method {
    Password { user: Reference, password: String },
    Token(String),
    AppCredential { which: Credential, secret: String },
}

impl Method {
    /// As bodies and tokens call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Password { .. } => "password",
            Self::Token(_) => "token",
            Self::AppCredential { .. } => "application_credential",
        }
    }

    /// Whether proving it takes a hash.
    pub(super) fn hashes(&self) -> bool {
        !matches!(self, Self::Token(_))
    }
}

/// An application credential by id, or by name among a user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Id(String),
    Name { name: String, user: Reference },
}

/// What the token shall be good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScopeRequest {
    /// The user's default project, if there is one.
    Default,
    Unscoped,
    Project(Reference),
    Domain(DomainReference),
    System,
    /// A trust, by id.
    Trust(String),
}

/// A request for a token.
pub(super) struct AuthRequest {
    pub(super) methods: Vec<Method>,
    pub(super) scope: ScopeRequest,
}

impl AuthRequest {
    pub(super) fn parse(body: &Value) -> Result<Self, Fault> {
        let auth = part(body, "auth", "request body")?;
        let identity = part(auth, "identity", "auth")?;
        let names = identity.get("methods").and_then(Value::as_array);
        let names = names.ok_or_else(|| texts::expecting("methods", "identity"))?;
        // Few methods exist; a longer list only makes work.
        if names.is_empty() || names.len() > 4 {
            return Err(Fault::unauthorized());
        }
        let mut methods: Vec<Method> = Vec::new();
        for name in names {
            let method = method(identity, name.as_str().unwrap_or_default())?;
            if !methods.iter().any(|known| known.name() == method.name()) {
                methods.push(method);
            }
        }
        let is_bound = methods
            .iter()
            .any(|method| matches!(method, Method::AppCredential { .. }));
        let scope = match auth.get("scope") {
            // The credential says what the token is for.
            Some(_) if is_bound => return Err(Fault::unauthorized()),
            Some(scope) => scope_of(scope)?,
            None => ScopeRequest::Default,
        };
        Ok(Self { methods, scope })
    }
}

fn method(identity: &Value, name: &str) -> Result<Method, Fault> {
    match name {
        "password" => password(part(identity, name, "identity")?),
        "token" => {
            let id = text(part(identity, name, "identity")?, "id");
            let id = id.ok_or_else(|| texts::expecting("id", "token"))?;
            Ok(Method::Token(id))
        }
        "application_credential" => app_credential(part(identity, name, "identity")?),
        _ => Err(Fault::unauthorized()),
    }
}

fn part<'a>(object: &'a Value, name: &str, place: &str) -> Result<&'a Value, Fault> {
    let part = object.get(name).filter(|part| part.is_object());
    part.ok_or_else(|| texts::expecting(name, place))
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn password(method: &Value) -> Result<Method, Fault> {
    let user = part(method, "user", "password")?;
    let password = text(user, "password");
    let password = password.ok_or_else(Fault::unauthorized)?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Fault::unauthorized());
    }
    Ok(Method::Password {
        user: reference(user, "user")?,
        password,
    })
}

fn app_credential(method: &Value) -> Result<Method, Fault> {
    const PLACE: &str = "application credential";
    let which = match (text(method, "id"), text(method, "name")) {
        (Some(id), _) => Credential::Id(id),
        (None, Some(name)) => Credential::Name {
            name,
            user: reference(part(method, "user", PLACE)?, "user")?,
        },
        (None, None) => return Err(texts::expecting("name or ID", PLACE)),
    };
    let secret = text(method, "secret").ok_or_else(Fault::unauthorized)?;
    if secret.len() > PASSWORD_BYTES_MAX {
        return Err(Fault::unauthorized());
    }
    Ok(Method::AppCredential { which, secret })
}

fn reference(object: &Value, place: &str) -> Result<Reference, Fault> {
    if let Some(id) = text(object, "id") {
        return Ok(Reference::Id(id));
    }
    let name = text(object, "name").ok_or_else(|| texts::expecting("id or name", place))?;
    let domain = domain(part(object, "domain", place)?)?;
    Ok(Reference::Name { name, domain })
}

fn domain(object: &Value) -> Result<DomainReference, Fault> {
    if let Some(id) = text(object, "id") {
        return Ok(DomainReference::Id(id));
    }
    let name = text(object, "name").ok_or_else(|| texts::expecting("id or name", "domain"))?;
    Ok(DomainReference::Name(name))
}

fn scope_of(scope: &Value) -> Result<ScopeRequest, Fault> {
    const SCOPES: &str = "system, project, domain, OS-TRUST:trust or unscoped";
    if scope.as_str() == Some("unscoped") {
        return Ok(ScopeRequest::Unscoped);
    }
    let kinds = ["system", "project", "domain", "OS-TRUST:trust", "unscoped"];
    if kinds
        .iter()
        .filter(|kind| scope.get(kind).is_some())
        .count()
        != 1
    {
        return Err(texts::expecting(SCOPES, "scope"));
    }
    if scope.get("unscoped").is_some() {
        return Ok(ScopeRequest::Unscoped);
    }
    if let Some(project) = scope.get("project") {
        if ["id", "name"].iter().all(|key| project.get(key).is_none()) {
            return Err(Fault::bad_request(
                "Invalid input for field scope/project: id or name must be present.",
            ));
        }
        return Ok(ScopeRequest::Project(reference(project, "project")?));
    }
    if let Some(object) = scope.get("domain") {
        return Ok(ScopeRequest::Domain(domain(object)?));
    }
    if let Some(trust) = scope.get("OS-TRUST:trust") {
        let id = text(trust, "id").ok_or_else(|| texts::expecting("trust_id", "trust"))?;
        return Ok(ScopeRequest::Trust(id));
    }
    Ok(ScopeRequest::System)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    use super::{AuthRequest, ScopeRequest};

    #[test]
    fn a_project_name_needs_a_domain() {
        let body = |scope| {
            let user = json!({"id": "u", "password": "p"});
            let identity = json!({"methods": ["password"], "password": {"user": user}});
            json!({"auth": {"identity": identity, "scope": scope}})
        };
        let fault = AuthRequest::parse(&body(json!({"project": {"name": "p"}})));
        let message = fault.err().unwrap().message().to_owned();
        assert!(message.starts_with("Expecting to find domain in project. The server could"));
        for scope in [json!("unscoped"), json!({"unscoped": {}})] {
            let request = AuthRequest::parse(&body(scope)).ok().unwrap();
            assert_eq!(request.scope, ScopeRequest::Unscoped);
        }
    }

    proptest! {
        #[test]
        fn any_json_is_parsed_or_refused(text in any::<String>()) {
            drop(AuthRequest::parse(&json!({"auth": {"identity": {"methods": [text]}}})));
        }
    }
}
