//! What the resources of Identity share: reading attributes, links, lists, rights.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::texts;
use crate::auth::{Caller, Scope};
use crate::cinder::repr;
use crate::fault::{Fault, IdentityFault};
use crate::server::Services;

/// Most text in attributes that mean nothing here.
const OTHERS_BYTES_MAX: usize = 16 << 10;
/// Longest text of a time.
const TIME_MAX: usize = 64;

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

/// Whether the caller has a role on just this domain.
fn has_in_domain(caller: &Caller, role: &str, domain: Option<&str>) -> bool {
    let own = match &caller.scope {
        Scope::Domain { id } => Some(id.as_str()),
        Scope::Unscoped | Scope::Project { .. } | Scope::System => None,
    };
    own.is_some() && own == domain && caller.has_role(role)
}

/// 403 unless the caller is admin, or manages the domain.
pub(super) fn require_manager(
    caller: &Caller,
    domain: Option<&str>,
    rule: &str,
) -> Result<(), Fault> {
    match has_in_domain(caller, "manager", domain) {
        true => Ok(()),
        false => require_admin(caller, rule),
    }
}

/// 403 unless the caller is admin, or reads the whole system or the domain.
pub(super) fn require_reader_in(
    caller: &Caller,
    domain: Option<&str>,
    rule: &str,
) -> Result<(), Fault> {
    match has_in_domain(caller, "reader", domain) {
        true => Ok(()),
        false => require_reader(caller, rule),
    }
}

/// 403 unless the caller is the user, or is admin, or reads the whole system.
pub(super) fn require_self(caller: &Caller, user_id: &str, rule: &str) -> Result<(), Fault> {
    match caller.user_id == user_id {
        true => Ok(()),
        false => require_reader(caller, rule),
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
pub(super) struct Attributes {
    map: Map<String, Value>,
    /// What they are of, for faults.
    kind: String,
}

impl Attributes {
    /// Takes `{"{kind}": {...}}` apart.
    pub(super) fn of(mut body: Value, kind: &str) -> Result<Self, Fault> {
        match body.get_mut(kind).map(Value::take) {
            Some(Value::Object(map)) => Ok(Self {
                map,
                kind: kind.to_owned(),
            }),
            Some(_) | None => Err(texts::expecting(kind, "request body")),
        }
    }

    /// A text of at most `max` characters, if given; null counts as absent.
    pub(super) fn text(&self, field: &str, max: usize) -> Result<Option<String>, Fault> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.chars().count() > max => Err(texts::invalid(
                field,
                text,
                &format!("'{text}' is too long"),
            )),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(wrong_type(field, other, "'string'")),
        }
    }

    /// A name: required, not blank, at most `max` characters.
    pub(super) fn name(&self, field: &str, max: usize) -> Result<String, Fault> {
        let missing = || self.missing(field);
        Self::not_blank(field, self.text(field, max)?.ok_or_else(missing)?)
    }

    /// 400 for an attribute that must be there.
    pub(super) fn missing(&self, field: &str) -> Fault {
        let whole = repr(&Value::Object(self.map.clone()));
        texts::invalid(
            &self.kind,
            &whole,
            &format!("'{field}' is a required property"),
        )
    }

    /// A name that may be left as it is.
    pub(super) fn new_name(&self, field: &str, max: usize) -> Result<Option<String>, Fault> {
        let name = self.text(field, max)?;
        name.map(|name| Self::not_blank(field, name)).transpose()
    }

    fn not_blank(field: &str, name: String) -> Result<String, Fault> {
        if name.is_empty() {
            return Err(texts::invalid(field, "", "'' should be non-empty"));
        }
        if name.trim().is_empty() {
            let reason = format!("'{name}' does not match '[\\\\S]+'");
            return Err(texts::invalid(field, &name, &reason));
        }
        Ok(name)
    }

    /// Yes or no, if given.
    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>, Fault> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong_type(field, other, "'boolean'")),
        }
    }

    /// The attribute as it came; null counts as there.
    pub(super) fn raw(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// All that is in a body without a wrapper.
    pub(super) fn whole(body: Value) -> Result<Self, Fault> {
        match body {
            Value::Object(map) => Ok(Self {
                map,
                kind: String::new(),
            }),
            _ => Err(texts::expecting("an object", "request body")),
        }
    }

    /// Whether there is this one and no other.
    pub(super) fn is_only(&self, field: &str) -> bool {
        self.map.len() == 1 && self.map.contains_key(field)
    }

    /// As [`Attributes::text`], with null told from absence.
    pub(super) fn text_or_null(
        &self,
        field: &str,
        max: usize,
    ) -> Result<Option<Option<String>>, Fault> {
        match self.map.contains_key(field) {
            true => self.text(field, max).map(Some),
            false => Ok(None),
        }
    }

    /// A whole number that is not negative, if given; null counts as absent.
    pub(super) fn count(&self, field: &str) -> Result<Option<u64>, Fault> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong_type(field, value, "'integer', 'null'")),
            },
        }
    }

    /// A list, if given; null counts as absent. Few things have as many parts as `max`.
    pub(super) fn list(&self, field: &str, max: usize) -> Result<Option<&[Value]>, Fault> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) if items.len() > max => {
                let whole = repr(&json!(items));
                Err(texts::invalid(
                    field,
                    &whole,
                    &format!("{whole} is too long"),
                ))
            }
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(wrong_type(field, other, "'array'")),
        }
    }

    /// A time in the future, in microseconds since 1970, if given.
    pub(super) fn future(&self, field: &str, now_us: u64) -> Result<Option<u64>, Fault> {
        let Some(mut text) = self.text(field, TIME_MAX)? else {
            return Ok(None);
        };
        if !text.ends_with('Z') {
            text.push('Z');
        }
        let time = text.parse::<jiff::Timestamp>().ok();
        let us = time.and_then(|time| u64::try_from(time.as_microsecond()).ok());
        let us = us.ok_or_else(|| texts::assumed("Timestamp not in expected format."))?;
        match us > now_us {
            true => Ok(Some(us)),
            false => Err(texts::assumed("The 'expires_at' must not be before now.")),
        }
    }

    /// The attributes that are none of `known`.
    pub(super) fn others(&self, known: &[&str]) -> Result<Map<String, Value>, Fault> {
        let others = self
            .map
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()));
        let others = others
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        check_size(&others)?;
        Ok(others)
    }
}

/// 400 for a value of another type.
pub(super) fn wrong_type(field: &str, value: &Value, wanted: &str) -> Fault {
    let shown = repr(value);
    texts::invalid(field, &shown, &format!("{shown} is not of type {wanted}"))
}

/// 400 for more than is kept of attributes that mean nothing here.
pub(super) fn check_size(others: &Map<String, Value>) -> Result<(), Fault> {
    match json!(others).to_string().len() > OTHERS_BYTES_MAX {
        true => Err(Fault::malformed()),
        false => Ok(()),
    }
}
