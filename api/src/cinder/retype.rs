//! The action `os-retype`: another type for a volume. All types are of the one pool, so no data
//! moves and the change is done when the call returns.

use serde_json::{Map, Value};

use super::quotas::{self, Change};
use super::records::Volume;
use super::{types, validate};
use crate::auth::Caller;
use crate::catalogue::Writer;
use crate::fault::Fault;
use crate::policy::Rule;

/// The volume with the type that `args` name; the caller saves it.
pub(super) fn retype(
    writer: &Writer,
    caller: &Caller,
    mut volume: Volume,
    args: &Map<String, Value>,
) -> Result<Volume, Fault> {
    let name = parse(args)?;
    caller.check(Rule::VolumeRetype, &volume)?;
    if !["available", "in-use"].contains(&volume.status.as_str()) {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be 'available' or 'in-use' to retype, but is \
             {}.",
            volume.id, volume.status
        )));
    }
    if volume.group_id.is_some() {
        return Err(Fault::bad_request(
            "Invalid volume: Retype needs volume to be in available or in-use state, not be part \
             of an active migration or a consistency group/group, requested type has to be \
             different that the one from the volume, and for in-use volumes front-end qos specs \
             cannot change.",
        ));
    }
    let viewer = (!caller.is_admin).then_some(volume.project_id.as_str());
    let new = types::find_type(writer, viewer, &name)?;
    if new.id == volume.volume_type_id {
        return Err(Fault::bad_request(format!(
            "Invalid input received: New volume_type same as original: {}.",
            new.id
        )));
    }
    let multiattach = types::is_multiattach(&new);
    if multiattach && !volume.multiattach {
        caller.check(Rule::VolumeMultiattach, &volume)?;
    }
    if multiattach != volume.multiattach && volume.status != "available" {
        return Err(Fault::bad_request(
            "Invalid input received: Changing a volume's multiattach capability requires it to be \
             available.",
        ));
    }
    let change = Change {
        volumes: 1,
        ..Change::of_gib(volume.size_gib)
    };
    quotas::check_type(writer, &volume.project_id, new.id, change)?;
    volume.volume_type_id = new.id;
    volume.multiattach = multiattach;
    Ok(volume)
}

/// The type asked for, by name or id.
fn parse(args: &Map<String, Value>) -> Result<String, Fault> {
    const POLICIES: [&str; 2] = ["on-demand", "never"];
    if let Some(policy) = args
        .get("migration_policy")
        .filter(|given| !given.is_null())
        && !POLICIES.iter().any(|known| policy == known)
    {
        let shown = validate::repr(policy);
        let reason = format!("{shown} is not one of ['on-demand', 'never']");
        return Err(validate::invalid("migration_policy", policy, &reason));
    }
    validate::text(args, "new_type")?.ok_or_else(|| {
        let reason = "'new_type' is a required property";
        validate::invalid("os-retype", &Value::Object(args.clone()), reason)
    })
}
