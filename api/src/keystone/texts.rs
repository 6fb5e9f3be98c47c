//! Faults as Identity words them.

use crate::fault::{Fault, FaultKind, MALFORMED};

/// 403 for a policy rule.
pub(super) fn forbidden(rule: &str) -> Fault {
    let message = format!("You are not authorized to perform the requested action: {rule}.");
    Fault::new(FaultKind::Forbidden, message)
}

/// 404 for an object.
pub(super) fn not_found(kind: &str, id: &str) -> Fault {
    Fault::not_found(format!("Could not find {kind}: {id}."))
}

/// 400 for a missing part of the body.
pub(crate) fn expecting(what: &str, place: &str) -> Fault {
    Fault::bad_request(format!(
        "Expecting to find {what} in {place}. {MALFORMED} The client is assumed to be in error."
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

/// 403 for a role that must stay.
pub(super) fn immutable(kind: &str, id: &str) -> Fault {
    let message = format!(
        "Cannot modify or delete immutable resource: {kind} {id}. Unset the immutable option first."
    );
    Fault::new(FaultKind::Forbidden, message)
}
