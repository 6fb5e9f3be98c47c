//! Replication of groups.
//!
//! No backend replicates, so that no group is ever on one whose types ask for it: every action
//! ends in the refusal that the real service gives, which says what is missing.

use serde_json::Value;
use uuid::Uuid;

use super::{Group, bodies};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::cinder::group_types::GroupType;
use crate::cinder::records::VolumeType;
use crate::cinder::validate;
use crate::fault::Fault;
use crate::policy::Rule;

/// What a type must say to be replicated.
const ENABLED: &str = "<is> True";

/// One of the actions.
#[derive(Clone, Copy)]
pub(super) enum Action {
    Enable,
    Disable,
    FailOver,
    ListTargets,
}

impl Action {
    pub(super) fn parse(name: &str, body: &Value) -> Result<Self, Fault> {
        let map = validate::wrapped(body, name)?;
        bodies::alone(body, name)?;
        Ok(match name {
            "enable_replication" => Self::Enable,
            "disable_replication" => Self::Disable,
            "failover_replication" => {
                const ATTACHED: &str = "allow_attached_volume";
                const TARGET: &str = "secondary_backend_id";
                validate::only(name, map, &[ATTACHED, TARGET])?;
                validate::flag(map, ATTACHED)?;
                validate::text(map, TARGET)?;
                Self::FailOver
            }
            _ => Self::ListTargets,
        })
    }

    fn rule(self) -> Rule {
        match self {
            Self::Enable => Rule::GroupEnableReplication,
            Self::Disable => Rule::GroupDisableReplication,
            Self::FailOver => Rule::GroupFailoverReplication,
            Self::ListTargets => Rule::GroupListReplicationTargets,
        }
    }

    /// Refuses, saying why.
    pub(super) fn perform(
        self,
        view: &impl View,
        caller: &Caller,
        group: &Group,
    ) -> Result<(), Fault> {
        caller.check(self.rule(), group)?;
        check_types(view, group)?;
        let id = group.id;
        Err(super::invalid(match group.status.as_str() {
            "available" => format!("The backend of group {id} does not replicate."),
            other => {
                format!("Group {id} status must be ['available'], but current status is: {other}.")
            }
        }))
    }
}

/// Refuses groups whose types do not ask for replication.
fn check_types(view: &impl View, group: &Group) -> Result<(), Fault> {
    let group_type = view.get::<GroupType>(&group.group_type_id)?;
    let is_replicated = group_type.is_some_and(|found| {
        [
            "consistent_group_replication_enabled",
            "group_replication_enabled",
        ]
        .iter()
        .any(|key| found.group_specs.get(*key).cloned().flatten().as_deref() == Some(ENABLED))
    });
    if !is_replicated {
        return Err(Fault::bad_request(format!(
            "Invalid group type: Group {} is not a replication group type.",
            group.id
        )));
    }
    for id in &group.volume_type_ids {
        if !is_replicated_type(view, id)? {
            return Err(Fault::bad_request(format!(
                "Invalid volume type: Volume type {id} does not have 'replication_enabled' spec \
                 key set to '{ENABLED}'."
            )));
        }
    }
    Ok(())
}

fn is_replicated_type(view: &impl View, id: &Uuid) -> Result<bool, Fault> {
    let found = view.get::<VolumeType>(id)?;
    let spec = found.and_then(|found| found.extra_specs.get("replication_enabled").cloned());
    Ok(spec.flatten().as_deref() == Some(ENABLED))
}
