//! The action `os-retype`: another type for a volume. Where the volume's backend suits the new type
//! the change is done when the call returns; else the volume is moved, if the caller wants that. So
//! it is for a type of other encryption, if only to where it was.

use serde_json::{Map, Value};

use super::quotas::{self, Change};
use super::records::{BY_VOLUME, Snapshot, Volume};
use super::{backends, encryption, moving, types, validate};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;

/// Gives a volume the type that `args` name, or begins to move it.
pub(super) fn retype(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut volume: Volume,
    args: &Map<String, Value>,
) -> Result<(), Fault> {
    let (name, may_move) = parse(args)?;
    caller.check(Rule::VolumeRetype, &volume)?;
    check_state(&volume)?;
    let viewer = (!caller.is_admin).then_some(volume.project_id.as_str());
    let new = types::find_type(writer, viewer, &name)?;
    if new.id == volume.volume_type_id {
        return Err(Fault::bad_request(format!(
            "Invalid input received: New volume_type same as original: {}.",
            new.id
        )));
    }
    let multiattach = types::is_multiattach(&new);
    check_multiattach(caller, &volume, multiattach)?;
    let change = Change {
        volumes: 1,
        ..Change::of_gib(volume.size_gib)
    };
    quotas::check_type(writer, &volume.project_id, new.id, change)?;
    let request = backends::Request {
        volume_type: &new,
        size_gib: 0,
    };
    let here = (volume.backend.as_deref()).and_then(|name| services.backends().get(name));
    let reseals = encryption::differs(writer, volume.volume_type_id, new.id)?;
    if !reseals && here.is_some_and(|here| backends::fits(here, &request)) {
        volume.volume_type_id = new.id;
        volume.multiattach = multiattach;
        volume.updated_us = Some(services.now_us());
        return Ok(writer.put(&volume)?);
    }
    let request = backends::Request {
        size_gib: volume.size_gib,
        ..request
    };
    // Snapshots stay where they are, and a volume with its snapshots.
    let snapshots = Query::by(BY_VOLUME, Key::new().uuid(volume.id));
    let movable = may_move && writer.first::<Snapshot>(&snapshots)?.is_none();
    let target = match movable {
        true => {
            let near = here.filter(|_| reseals).map(|here| here.name());
            backends::choose(services, writer, &request, near)?
        }
        false => None,
    };
    let target = target.map(|backend| backend.name());
    volume.previous_status = Some(std::mem::replace(&mut volume.status, "retyping".to_owned()));
    let args = moving::retyping(&new);
    moving::begin(services, writer, volume, target, args)
}

/// 400 unless a volume in its state can have another type.
fn check_state(volume: &Volume) -> Result<(), Fault> {
    if !["available", "in-use"].contains(&volume.status.as_str()) || volume.is_migrating() {
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
    Ok(())
}

/// Whether the caller may give the volume a type that lets several hosts attach it, or takes that
/// away.
fn check_multiattach(caller: &Caller, volume: &Volume, multiattach: bool) -> Result<(), Fault> {
    if multiattach && !volume.multiattach {
        caller.check(Rule::VolumeMultiattach, volume)?;
    }
    if multiattach != volume.multiattach && volume.status != "available" {
        return Err(Fault::bad_request(
            "Invalid input received: Changing a volume's multiattach capability requires it to be \
             available.",
        ));
    }
    Ok(())
}

/// The type asked for, by name or id, and whether the volume may be moved for it.
fn parse(args: &Map<String, Value>) -> Result<(String, bool), Fault> {
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
    let name = validate::text(args, "new_type")?.ok_or_else(|| {
        let reason = "'new_type' is a required property";
        validate::invalid("os-retype", &Value::Object(args.clone()), reason)
    })?;
    let may_move = args.get("migration_policy").and_then(Value::as_str) == Some("on-demand");
    Ok((name, may_move))
}
