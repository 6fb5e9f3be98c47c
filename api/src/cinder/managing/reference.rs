//! References: how objects of a pool are named to those who take them over.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cinder::validate;
use crate::fault::Fault;

/// Which objects a reference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Volume,
    Snapshot,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Volume => "volume-",
            Self::Snapshot => "snapshot-",
        }
    }

    /// The reference of an object.
    pub(super) fn reference(self, id: Uuid) -> Value {
        json!({"source-name": format!("{}{id}", self.prefix())})
    }

    /// The object that a reference names; `None` for names that no object has.
    pub(super) fn id_in(self, reference: &Value) -> Option<Uuid> {
        let name = reference.get("source-name").and_then(Value::as_str)?;
        // The real service's own names for snapshots begin with a line on some drivers.
        let name = name.strip_prefix('_').unwrap_or(name);
        let id = name.strip_prefix(self.prefix()).unwrap_or(name);
        Uuid::parse_str(id).ok()
    }
}

/// The reference in a body, which must be there.
pub(super) fn of_body(name: &str, map: &Map<String, Value>) -> Result<Value, Fault> {
    match map.get("ref") {
        Some(reference @ (Value::Object(_) | Value::String(_))) => Ok(reference.clone()),
        // The real service lets it through for snapshots, and then finds nothing by it.
        Some(Value::Null) if name == "snapshot" => Ok(Value::Null),
        Some(other) => {
            let reason = format!(
                "{} is not of type 'object', 'string'",
                validate::repr(other)
            );
            Err(validate::invalid("ref", other, &reason))
        }
        None => {
            let whole = Value::Object(map.clone());
            let reason = "'ref' is a required property";
            Err(validate::invalid(name, &whole, reason))
        }
    }
}
