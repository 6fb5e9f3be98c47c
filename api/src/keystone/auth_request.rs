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
        let methods = names
            .iter()
            .map(|name| match name.as_str() {
                Some("password") => password(part(identity, "password", "identity")?),
                Some("token") => {
                    let id = text(part(identity, "token", "identity")?, "id");
                    Ok(Method::Token(
                        id.ok_or_else(|| texts::expecting("id", "token"))?,
                    ))
                }
                Some(_) | None => Err(Fault::unauthorized()),
            })
            .collect::<Result<_, Fault>>()?;
        let scope = auth.get("scope").map_or(Ok(ScopeRequest::Default), scope)?;
        Ok(Self { methods, scope })
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
    let password = password.ok_or_else(|| texts::expecting("password", "user"))?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Fault::unauthorized());
    }
    Ok(Method::Password {
        user: reference(user, "user")?,
        password,
    })
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

fn scope(scope: &Value) -> Result<ScopeRequest, Fault> {
    if scope.as_str() == Some("unscoped") || scope.get("unscoped").is_some() {
        return Ok(ScopeRequest::Unscoped);
    }
    if let Some(project) = scope.get("project") {
        return Ok(ScopeRequest::Project(reference(project, "project")?));
    }
    if let Some(object) = scope.get("domain") {
        return Ok(ScopeRequest::Domain(domain(object)?));
    }
    let all = scope.get("system").and_then(|system| system.get("all"));
    if all == Some(&Value::Bool(true)) {
        return Ok(ScopeRequest::System);
    }
    Err(texts::expecting("project, domain or system", "scope"))
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
