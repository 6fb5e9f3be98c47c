//! The options of objects: switches of their own, such as that they must stay as they are.

use serde_json::{Map, Value, json};

use super::resource::{Attributes, wrong_type};
use super::texts;
use crate::cinder::repr;
use crate::fault::Fault;

/// Most authentication rules of a user, methods of a rule, and letters of a method.
const RULES_MAX: usize = 32;

/// What a body says of an object's having to stay as it is.
pub(super) struct Staying {
    /// Null unsets it.
    wanted: Option<Option<bool>>,
    /// Whether the body says nothing else.
    is_all: bool,
}

impl Staying {
    pub(super) fn of(attributes: &Attributes) -> Result<Self, Fault> {
        let options = options(attributes)?;
        let wanted = match options.and_then(|options| options.get("immutable")) {
            None => None,
            Some(Value::Null) => Some(None),
            Some(Value::Bool(flag)) => Some(Some(*flag)),
            Some(other) => return Err(not_boolean("immutable", other)),
        };
        Ok(Self {
            wanted,
            is_all: attributes.is_only("options"),
        })
    }

    /// What a new object has.
    pub(super) fn at_first(&self) -> Option<bool> {
        self.wanted.flatten()
    }

    /// Changes what an object has; 403 when it must stay and this is about more than that.
    pub(super) fn change(&self, has: &mut Option<bool>, kind: &str, id: &str) -> Result<(), Fault> {
        let unsets = self.is_all && matches!(self.wanted, Some(None | Some(false)));
        if *has == Some(true) && !unsets {
            return Err(texts::immutable(kind, id));
        }
        *has = self.wanted.unwrap_or(*has);
        Ok(())
    }
}

/// 403 for deleting what must stay.
pub(super) fn check_mutable(has: Option<bool>, kind: &str, id: &str) -> Result<(), Fault> {
    match has {
        Some(true) => Err(texts::undeletable(kind, id)),
        Some(false) | None => Ok(()),
    }
}

/// The options as answers show them.
pub(super) fn shown(immutable: Option<bool>) -> Value {
    match immutable {
        Some(flag) => json!({"immutable": flag}),
        None => json!({}),
    }
}

fn options(attributes: &Attributes) -> Result<Option<&Map<String, Value>>, Fault> {
    match attributes.raw("options") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(options)) => Ok(Some(options)),
        Some(other) => Err(wrong_type("options", other, "'object'")),
    }
}

fn not_boolean(field: &str, value: &Value) -> Fault {
    wrong_type(field, value, "'boolean', 'null'")
}

/// The switches that users have.
const USER_SWITCHES: [&str; 6] = [
    "ignore_change_password_upon_first_use",
    "ignore_password_expiry",
    "ignore_lockout_failure_attempts",
    "lock_password",
    "ignore_user_inactivity",
    "multi_factor_auth_enabled",
];
/// Which methods a user must prove with, in sets of which one is enough.
pub(super) const RULES: &str = "multi_factor_auth_rules";

/// What a body says of a user's options; null unsets one.
pub(super) fn of_user(attributes: &Attributes) -> Result<Map<String, Value>, Fault> {
    let Some(options) = options(attributes)? else {
        return Ok(Map::new());
    };
    for (key, value) in options {
        let fits = match key.as_str() {
            _ if value.is_null() => true,
            RULES => are_rules(value),
            key if USER_SWITCHES.contains(&key) => value.is_boolean(),
            _ => {
                let reason =
                    format!("Additional properties are not allowed ('{key}' was unexpected)");
                return Err(texts::invalid("options", &repr(&json!(options)), &reason));
            }
        };
        if !fits && key != RULES {
            return Err(not_boolean(key, value));
        }
        if !fits {
            let reason = format!("{value} is not a list of lists of method names");
            return Err(texts::invalid(key, &value.to_string(), &reason));
        }
    }
    Ok(options.clone())
}

fn are_rules(value: &Value) -> bool {
    let short = |items: &Vec<Value>| items.len() <= RULES_MAX;
    let is_method = |method: &Value| {
        method
            .as_str()
            .is_some_and(|method| method.len() <= RULES_MAX)
    };
    let is_rule = |rule: &Value| {
        let rule = rule
            .as_array()
            .filter(|rule| short(rule) && !rule.is_empty());
        rule.is_some_and(|rule| rule.iter().all(is_method))
    };
    let rules = value.as_array().filter(|rules| short(rules));
    rules.is_some_and(|rules| rules.iter().all(is_rule))
}

/// Sets options and unsets those that are null.
pub(super) fn merge(has: &mut Map<String, Value>, given: Map<String, Value>) {
    has.extend(given);
    has.retain(|_, value| !value.is_null());
}
