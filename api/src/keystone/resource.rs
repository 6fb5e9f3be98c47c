//! What the resources of Identity share: reading attributes, links, lists, rights.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::texts;
use crate::auth::{Caller, Scope};
use crate::fault::{Fault, IdentityFault};
use crate::server::Services;

/// What handlers answer with.
pub(super) type Reply = Result<Response, IdentityFault>;

/// 200 with a JSON body.
pub(super) fn ok(body: Value) -> Reply {
    Ok(Json(body).into_response())
}

/// 201 with a JSON body.
pub(super) fn created(body: Value) -> Reply {
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// 204.
pub(super) fn no_content() -> Reply {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `{"{plural}": [...], "links": {...}}`, the self link with the request's own query.
pub(super) fn list(services: &Services, plural: &str, uri: &Uri, items: Vec<Value>) -> Reply {
    let own = uri
        .path_and_query()
        .map_or(uri.path(), |both| both.as_str());
    let own = format!("{}{own}", services.config().identity_base());
    ok(json!({
        plural: Value::Array(items),
        "links": {"self": own, "previous": null, "next": null},
    }))
}

/// The self link of an object.
pub(super) fn link(services: &Services, plural: &str, id: &str) -> Value {
    let base = services.config().identity_base();
    json!({"self": format!("{base}/v3/{plural}/{id}")})
}

/// 403 unless the caller is admin.
pub(super) fn require_admin(caller: &Caller, rule: &str) -> Result<(), Fault> {
    if caller.is_identity_admin() {
        Ok(())
    } else {
        Err(texts::forbidden(rule))
    }
}

/// 403 unless the caller is admin or reads the whole system.
pub(super) fn require_reader(caller: &Caller, rule: &str) -> Result<(), Fault> {
    let reads_system = caller.scope == Scope::System && caller.has_role("reader");
    if caller.is_identity_admin() || reads_system {
        Ok(())
    } else {
        Err(texts::forbidden(rule))
    }
}

/// The attributes inside a body's wrapper.
pub(super) struct Attributes(Map<String, Value>);

impl Attributes {
    /// Takes `{"{kind}": {...}}` apart.
    pub(super) fn of(mut body: Value, kind: &str) -> Result<Self, Fault> {
        match body.get_mut(kind).map(Value::take) {
            Some(Value::Object(map)) => Ok(Self(map)),
            Some(_) | None => Err(texts::expecting(kind, "request body")),
        }
    }

    /// A text of at most `max` characters, if given; null counts as absent.
    pub(super) fn text(&self, field: &str, max: usize) -> Result<Option<String>, Fault> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() > max => Err(texts::invalid(
                field,
                text,
                &format!("'{text}' is too long"),
            )),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                let reason = format!("{other} is not of type 'string'");
                Err(texts::invalid(field, &other.to_string(), &reason))
            }
        }
    }

    /// A name: required, not blank, at most `max` characters.
    pub(super) fn name(&self, field: &str, max: usize) -> Result<String, Fault> {
        let missing = || Fault::bad_request(format!("'{field}' is a required property"));
        Self::not_blank(field, self.text(field, max)?.ok_or_else(missing)?)
    }

    /// A name that may be left as it is.
    pub(super) fn new_name(&self, field: &str, max: usize) -> Result<Option<String>, Fault> {
        let name = self.text(field, max)?;
        name.map(|name| Self::not_blank(field, name)).transpose()
    }

    fn not_blank(field: &str, name: String) -> Result<String, Fault> {
        if name.trim().is_empty() {
            let reason = format!("'{name}' does not match '[\\\\S]+'");
            return Err(texts::invalid(field, &name, &reason));
        }
        Ok(name)
    }

    /// Yes or no, if given.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, Fault> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => {
                let reason = format!("{other} is not of type 'boolean'");
                Err(texts::invalid(field, &other.to_string(), &reason))
            }
        }
    }

    /// The attributes that are none of `known`.
    pub(super) fn others(&self, known: &[&str]) -> Map<String, Value> {
        let others = self
            .0
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()));
        others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}
