//! Accepting a transfer: the volume, its snapshots and what they count for change hands at once.

use serde_json::{Map, Value};

use super::rows::{Transfer, find_any};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::quotas::{self, Change};
use crate::cinder::records::{BY_VOLUME, Object, Snapshot, Volume};
use crate::cinder::validate;
use crate::cinder::volume_view::{attachments_of, no_volume};
use crate::fault::Fault;

/// The key in a body; a number counts as its digits.
pub(super) fn key_of(body: &Value) -> Result<String, Fault> {
    let map: &Map<String, Value> = validate::wrapped(body, "accept")?;
    validate::only("accept", map, &["auth_key"])?;
    match map.get("auth_key") {
        Some(Value::String(key)) => Ok(key.clone()),
        Some(Value::Number(key)) if key.is_i64() || key.is_u64() => Ok(key.to_string()),
        Some(other) => {
            let shown = validate::repr(other);
            let reason = format!("{shown} is not of type 'string', 'integer'");
            Err(validate::invalid("auth_key", other, &reason))
        }
        None => {
            let reason = "'auth_key' is a required property";
            Err(validate::invalid(
                "accept",
                &Value::Object(map.clone()),
                reason,
            ))
        }
    }
}

/// Gives the volume of a transfer to the caller's project; the transfer is gone then.
pub(super) fn accept(
    writer: &Writer,
    caller: &Caller,
    id: &str,
    key: &str,
    now_us: u64,
) -> Result<Transfer, Fault> {
    let project = caller.require_project()?;
    let transfer = find_any(writer, id)?;
    if !transfer.lock.opens(key) {
        return Err(Fault::bad_request(format!(
            "Invalid auth key: Attempt to transfer {id} with invalid auth key."
        )));
    }
    let volume = writer.get::<Volume>(&transfer.volume_id)?;
    let mut volume = volume.ok_or_else(|| no_volume(&transfer.volume_id.to_string()))?;
    if volume.status != "awaiting-transfer" {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} is in status {} and awaits no transfer.",
            volume.id, volume.status
        )));
    }
    if volume.group_id.is_some() {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} must not be part of a consistency group.",
            volume.id
        )));
    }
    let snapshots = match transfer.no_snapshots {
        true => Vec::new(),
        false => writer.list(&Query::by(BY_VOLUME, Key::new().uuid(volume.id)))?,
    };
    quotas::check_volume_size(writer, project, volume.size_gib)?;
    move_use(writer, &volume, &snapshots, project)?;
    for mut snapshot in snapshots {
        project.clone_into(&mut snapshot.project_id);
        snapshot.user_id.clone_from(&caller.user_id);
        snapshot.touch(now_us);
        writer.put(&snapshot)?;
    }
    for mut attachment in attachments_of(writer, &volume)? {
        project.clone_into(&mut attachment.project_id);
        writer.put(&attachment)?;
    }
    project.clone_into(&mut volume.project_id);
    volume.user_id.clone_from(&caller.user_id);
    "available".clone_into(&mut volume.status);
    volume.touch(now_us);
    writer.put(&volume)?;
    writer.delete::<Transfer>(&transfer.id)?;
    Ok(transfer)
}

/// Takes quota of the receiver, volume first, and gives the donor's back.
fn move_use(
    writer: &Writer,
    volume: &Volume,
    snapshots: &[Snapshot],
    receiver: &str,
) -> Result<(), Fault> {
    let taken = Change {
        snapshots: i64::try_from(snapshots.len()).unwrap_or(i64::MAX),
        ..Change::of_gib(snapshots.iter().map(|one| one.size_gib).sum())
    };
    for change in [volume.counts(), taken] {
        // Given back before it is taken: a project may take back what it offered, and keeps the
        // room for it.
        quotas::release(writer, &volume.project_id, change)?;
        quotas::reserve_of_type(writer, receiver, volume.volume_type_id, change)?;
    }
    Ok(())
}
