//! The action `os-reset_status`: what an admin says of a volume holds, whatever its work does.
//!
//! Work under way goes on and gives back or keeps what it reserved; it does not undo the reset.

use serde_json::{Map, Value};

use super::records::Volume;
use super::validate;
use crate::fault::Fault;

/// States that an admin may set.
pub(super) const STATUSES: [&str; 22] = [
    "creating",
    "available",
    "deleting",
    "error",
    "error_deleting",
    "error_managing",
    "managing",
    "attaching",
    "in-use",
    "detaching",
    "maintenance",
    "restoring-backup",
    "error_restoring",
    "reserved",
    "awaiting-transfer",
    "backing-up",
    "error_backing-up",
    "error_extending",
    "downloading",
    "uploading",
    "retyping",
    "extending",
];

/// Attach states that an admin may set.
pub(super) const ATTACH_STATUSES: [&str; 2] = ["attached", "detached"];
/// Migration states that an admin may name.
pub(super) const MIGRATION_STATUSES: [&str; 6] = [
    "migrating",
    "error",
    "success",
    "completing",
    "none",
    "starting",
];

/// What is to be set.
pub(super) struct Reset {
    status: Option<String>,
    attach_status: Option<String>,
    migration_status: Option<String>,
}

/// One of the valid words, in any case; `kind` is what the fault calls it.
fn word(
    map: &Map<String, Value>,
    key: &str,
    kind: &str,
    valid: &[&str],
) -> Result<Option<String>, Fault> {
    let given = match map.get(key) {
        Some(Value::String(text)) if !text.is_empty() => text,
        // Other kinds of values are refused by the shape of the body.
        _ => return Ok(None),
    };
    let word = given.to_lowercase();
    if valid.contains(&word.as_str()) {
        return Ok(Some(word));
    }
    let quoted: Vec<String> = valid.iter().map(|one| format!("'{one}'")).collect();
    let all = quoted.join(", ");
    // The attach states are a list in the real service, the others tuples.
    let all = if key == "attach_status" {
        format!("[{all}]")
    } else {
        format!("({all})")
    };
    Err(Fault::bad_request(format!(
        "Volume {kind}status: {given} is invalid, valid statuses are: {all}."
    )))
}

impl Reset {
    /// Reads and checks the words of a body.
    pub(super) fn parse(args: &Value) -> Result<Self, Fault> {
        let Value::Object(map) = args else {
            let reason = format!("{} is not of type 'object'", validate::repr(args));
            return Err(validate::invalid("os-reset_status", args, &reason));
        };
        let allowed = ["status", "attach_status", "migration_status"];
        validate::only("os-reset_status", map, &allowed)?;
        let status = word(map, "status", "", &STATUSES)?;
        let attach_status = word(map, "attach_status", "attach ", &ATTACH_STATUSES)?;
        let migration = word(map, "migration_status", "migration ", &MIGRATION_STATUSES)?;
        if status.is_none() && attach_status.is_none() && migration.is_none() {
            return Err(Fault::bad_request(
                "Must specify 'status', 'attach_status' or 'migration_status' for update.",
            ));
        }
        Ok(Self {
            status,
            attach_status,
            migration_status: migration,
        })
    }

    /// Refuses states that are not for words alone.
    pub(super) fn check(&self, is_attached: bool) -> Result<(), Fault> {
        match self.status.as_deref() {
            Some("deleting") => Err(Fault::bad_request("Cannot reset-state to deleting")),
            Some("in-use") if !is_attached => Err(Fault::bad_request(
                "Cannot reset-state to in-use because volume does not have any attachments.",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the attachments go.
    pub(super) fn detaches(&self) -> bool {
        self.attach_status.as_deref() == Some("detached")
    }

    pub(super) fn apply(self, volume: &mut Volume) {
        if let Some(migration) = self.migration_status {
            volume.migration_status = Some(migration).filter(|word| word != "none");
        }
        volume.status = self.status.unwrap_or_else(|| volume.status.clone());
        if let Some(status) = self.attach_status {
            volume.attach_status = status;
        }
    }
}
