//! What an admin said of a part of the service; parts nobody spoke of have no row.

use serde::{Deserialize, Serialize};

use crate::catalogue::{self, Record, View};
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::types::cinder::Service;

/// The part that has the volumes.
pub(in crate::cinder) const VOLUME: &str = "cinder-volume";

/// A part as an admin wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServiceState {
    /// Binary and host, as [`key`] puts them together.
    pub(super) id: String,
    /// Whether it gets no new volumes.
    pub(super) disabled: bool,
    pub(super) disabled_reason: Option<String>,
    /// Whether nothing may be deleted from it, nor snapshots be taken.
    pub(super) frozen: bool,
    /// Microseconds since 1970.
    pub(super) changed_us: u64,
}

impl Record for ServiceState {
    const TABLE: &'static str = "service_states";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

/// The id of a part's row; no binary has a blank in it.
pub(super) fn key(binary: &str, host: &str) -> String {
    format!("{binary} {host}")
}

/// What was said of a part.
pub(super) fn state_of(
    view: &impl View,
    binary: &str,
    host: &str,
) -> catalogue::Result<ServiceState> {
    let id = key(binary, host);
    let found = view.get::<ServiceState>(&id)?;
    Ok(found.unwrap_or_else(|| ServiceState {
        id,
        ..ServiceState::default()
    }))
}

/// Adds what admins said to a list of parts.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn apply(view: &impl View, parts: &mut [Service]) -> catalogue::Result<()> {
    for part in parts {
        let state = state_of(view, &part.binary, &part.host)?;
        if state.disabled {
            "disabled".clone_into(&mut part.status);
        }
        part.disabled_reason = state.disabled_reason;
        part.frozen = part.frozen.map(|_| state.frozen);
        let changed = (state.changed_us > 0).then(|| volume_time(state.changed_us));
        // Texts of times compare as the times do.
        part.updated_at = part.updated_at.take().max(changed);
    }
    Ok(())
}

/// Whether the volume service of a host takes new volumes.
///
/// # Errors
/// Those of the catalogue.
pub(in crate::cinder) fn is_enabled(view: &impl View, host: &str) -> catalogue::Result<bool> {
    Ok(!state_of(view, VOLUME, host)?.disabled)
}

/// Refuses to delete from, or take snapshots on, a host that is frozen.
///
/// # Errors
/// 400 when it is, and those of the catalogue.
pub(in crate::cinder) fn check_not_frozen(view: &impl View, host: &str) -> Result<(), Fault> {
    match state_of(view, VOLUME, host)?.frozen {
        false => Ok(()),
        true => Err(Fault::bad_request(
            "Invalid input received: Modification operations are not allowed on frozen storage \
             backends.",
        )),
    }
}
