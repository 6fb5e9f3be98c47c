//! The actions `os-migrate_volume`, `os-migrate_volume_completion` and `revert`.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::work::{MIGRATE, REVERT};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::cinder::records::{BY_VOLUME, Snapshot, Volume, VolumeType};
use crate::cinder::{backends, validate, volumes};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::Services;

/// The latest snapshot of a volume.
fn latest(view: &impl View, volume: &Volume) -> Result<Option<Snapshot>, Fault> {
    Ok(view.first(&Query::by(BY_VOLUME, Key::new().uuid(volume.id)))?)
}

/// The host that a body names; since 3.16 it may name a cluster instead, of which there are none.
pub(in crate::cinder) fn host_in(
    map: &Map<String, Value>,
    version: Microversion,
) -> Result<String, Fault> {
    let text = |key: &str| Ok::<_, Fault>(validate::text(map, key)?.filter(|t| !t.is_empty()));
    let cluster = match version.has(16) {
        true => text("cluster")?,
        false => None,
    };
    match (text("host")?, cluster) {
        (Some(host), None) => Ok(host),
        (None, Some(cluster)) => Err(Fault::bad_request(format!(
            "Invalid host: No available service named '{cluster}'"
        ))),
        _ if version.has(16) => Err(Fault::bad_request(
            "Invalid input received: One and only one of cluster and host must be set.",
        )),
        _ => Err(Fault::bad_request(
            "Invalid input received: Host field is missing.",
        )),
    }
}

/// Begins the migration that a body asks for.
pub(in crate::cinder) fn migrate(
    services: &Services,
    writer: &Writer,
    (caller, version): (&Caller, Microversion),
    mut volume: Volume,
    map: &Map<String, Value>,
) -> Result<(), Fault> {
    caller.check(Rule::VolumeAdminActionsMigrateVolume, &volume)?;
    let host = host_in(map, version)?;
    validate::flag(map, "force_host_copy")?;
    let lock = validate::flag(map, "lock_volume")?.unwrap_or(false);
    let Some(target) = backends::by_host(services, &host) else {
        return Err(Fault::bad_request(format!(
            "Invalid host: No available service named '{host}'"
        )));
    };
    let here = (volume.backend.as_deref()).and_then(|name| services.backends().get(name));
    let usable = ["available", "in-use"].contains(&volume.status.as_str())
        && !volume.is_migrating()
        && here.is_some_and(|here| here.name() != target.name())
        && latest(writer, &volume)?.is_none();
    if !usable {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be available or in-use, must not be migrating, have snapshots, be replicated, be part of a group and destination host/cluster must be different than the current one",
            volume.id
        )));
    }
    let volume_type = writer.get::<VolumeType>(&volume.volume_type_id)?;
    let fits = volume_type.is_none_or(|volume_type| {
        let request = backends::Request {
            volume_type: &volume_type,
            size_gib: volume.size_gib,
        };
        backends::fits(target, &request)
    });
    let target = fits.then(|| target.name());
    volume.previous_status = Some(volume.status.clone());
    if lock && volume.status == "available" {
        volume.status = "maintenance".to_owned();
    }
    begin(services, writer, volume, target, json!({}))
}

/// Marks a volume as being moved and queues the work. The caller has set status and previous
/// status. Without a target the job fails, as the scheduler of the real service does.
pub(in crate::cinder) fn begin(
    services: &Services,
    writer: &Writer,
    mut volume: Volume,
    target: Option<&str>,
    mut args: Value,
) -> Result<(), Fault> {
    volume.migration_status = Some("migrating".to_owned());
    volume.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    args["backend"] = json!(target);
    volumes::enqueue(services, writer, MIGRATE, &volume, args)
}

/// Answers `os-migrate_volume_completion`: the daemon completes its own migrations, so the only one
/// that can be completed by hand is none.
pub(in crate::cinder) fn complete(
    writer: &Writer,
    caller: &Caller,
    volume: &Volume,
    map: &Map<String, Value>,
) -> Result<Value, Fault> {
    caller.check(Rule::VolumeAdminActionsMigrateVolumeCompletion, volume)?;
    let Some(new) = validate::text(map, "new_volume")? else {
        let (whole, reason) = (
            Value::Object(map.clone()),
            "'new_volume' is a required property",
        );
        return Err(validate::invalid(
            "os-migrate_volume_completion",
            &whole,
            reason,
        ));
    };
    validate::flag(map, "error")?;
    let new = volumes::find(writer, caller, &new)?;
    let refuse = |what: &str| Err(Fault::bad_request(format!("Invalid volume: {what}")));
    match (&volume.migration_status, &new.migration_status) {
        (None, None) => Ok(json!({"save_volume_id": new.id})),
        (None, Some(_)) => refuse("Source volume not mid-migration."),
        (Some(_), None) => refuse("Destination volume not mid-migration."),
        (Some(_), Some(status)) => refuse(&format!(
            "Destination has migration_status {status}, expected target:{}.",
            volume.id
        )),
    }
}

/// Begins the revert that a body asks for.
pub(in crate::cinder) fn revert(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut volume: Volume,
    map: &Map<String, Value>,
) -> Result<(), Fault> {
    caller.check(Rule::VolumeRevertToSnapshot, &volume)?;
    let wanted = map.get("snapshot_id").and_then(Value::as_str);
    let id = volume.id;
    let Some(mut snapshot) = latest(writer, &volume)? else {
        let message = format!("Volume {id} doesn't have any snapshots.");
        return Err(Fault::bad_request(message));
    };
    let named = wanted.unwrap_or("None");
    if wanted.and_then(|text| Uuid::parse_str(text).ok()) != Some(snapshot.id) {
        return Err(Fault::bad_request(format!(
            "Specified snapshot {named} is None or not the latest one of volume {id}."
        )));
    }
    if volume.size_gib != snapshot.size_gib {
        return Err(Fault::bad_request(format!(
            "Can't revert volume {id} to its latest snapshot {named}. The volume size must be equal to the snapshot size."
        )));
    }
    let refuse = |kind: &str, whose: &str| {
        Fault::conflict(format!(
            "Invalid {kind}: Can't revert volume {id} to its latest snapshot {named}. {whose}'s status must be 'available'."
        ))
    };
    if volume.status != "available" {
        return Err(refuse("volume", "Volume"));
    }
    if snapshot.status != "available" {
        return Err(refuse("snapshot", "Snapshot"));
    }
    volume.status = "reverting".to_owned();
    volume.updated_us = Some(services.now_us());
    snapshot.status = "restoring".to_owned();
    snapshot.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    writer.put(&snapshot)?;
    let args = json!({"snapshot": snapshot.id});
    volumes::enqueue(services, writer, REVERT, &volume, args)
}
