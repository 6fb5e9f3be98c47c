//! Faults as Identity words them.

use crate::fault::{Fault, FaultKind, MALFORMED};

/// 403 for a policy rule.
pub(super) fn forbidden(rule: &str) -> Fault {
    let message = format!("You are not authorized to perform the requested action: {rule}.");
    Fault::new(FaultKind::Forbidden, message)
}

/// 403 with a text of its own.
pub(super) fn forbidden_as_such(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Forbidden, message)
}

/// 404 for an object.
pub(super) fn not_found(kind: &str, id: &str) -> Fault {
    Fault::not_found(format!("Could not find {kind}: {id}."))
}

/// 400 for a missing part of the body.
pub(crate) fn expecting(what: &str, place: &str) -> Fault {
    assumed(&format!("Expecting to find {what} in {place}."))
}

/// 400 with a reason and what is said of all such.
pub(super) fn assumed(reason: &str) -> Fault {
    Fault::bad_request(format!(
        "{reason} {MALFORMED} The client is assumed to be in error."
    ))
}

/// 400 for a value that its field cannot have.
pub(super) fn invalid(field: &str, value: &str, reason: &str) -> Fault {
    Fault::bad_request(format!(
        "Invalid input for field/attribute {field}. Value: {value}. {reason}"
    ))
}

/// 409 for something that is taken.
pub(super) fn conflict(kind: &str, detail: &str) -> Fault {
    Fault::conflict(format!(
        "Conflict occurred attempting to store {kind} - {detail}."
    ))
}

/// 403 for changing something that must stay as it is.
pub(super) fn immutable(kind: &str, id: &str) -> Fault {
    forbidden_as_such(format!(
        "Unable to update immutable {kind} resource: `{id}. Set resource option \"immutable\" to \
         false first."
    ))
}

/// 403 for deleting something that must stay.
pub(super) fn undeletable(kind: &str, id: &str) -> Fault {
    forbidden_as_such(format!(
        "Unable to delete immutable {kind} resource: `{id}. Set resource option \"immutable\" to \
         false first."
    ))
}

/// The same fault, a 403 with another rule's name.
pub(super) fn under(fault: Fault, rule: &str) -> Fault {
    match fault.kind() {
        FaultKind::Forbidden => forbidden(rule),
        _ => fault,
    }
}
