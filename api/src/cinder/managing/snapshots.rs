//! Taking over a snapshot of a pool, and letting one go.

use serde_json::{Map, Value, json};
use store::SnapshotId;

use super::reference::{self, Kind};
use super::work::{MANAGE_SNAPSHOT, UNMANAGE_SNAPSHOT};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::cinder::quotas;
use crate::cinder::records::{Object, Snapshot};
use crate::cinder::{validate, volumes};
use crate::fault::Fault;
use crate::jobs::{self, Job};
use crate::policy::Rule;
use crate::server::Services;

/// Adds the row of a snapshot that the pool of its volume has, and queues the work. A reference to
/// nothing makes a snapshot in error.
pub(super) fn manage(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    map: &Map<String, Value>,
) -> Result<Snapshot, Fault> {
    validate::only(
        "snapshot",
        map,
        &["description", "metadata", "name", "ref", "volume_id"],
    )?;
    let Some(volume) = map.get("volume_id").and_then(Value::as_str) else {
        let (whole, reason) = (
            Value::Object(map.clone()),
            "'volume_id' is a required property",
        );
        return Err(validate::invalid("snapshot", &whole, reason));
    };
    let reference = reference::of_body("snapshot", map)?;
    let volume = volumes::find(writer, caller, volume)?;
    caller.check(Rule::SnapshotManage, &volume)?;
    let source = Kind::Snapshot.id_in(&reference);
    let managed = match source {
        Some(id) => writer.get::<Snapshot>(&id)?.is_some(),
        None => false,
    };
    if volume.is_migrating() || managed {
        let what = if managed {
            "snapshot is already managed"
        } else {
            "volume is migrating"
        };
        return Err(Fault::bad_request(format!(
            "Invalid snapshot: Unable to manage existing snapshot. The {what}."
        )));
    }
    let mut snapshot = Snapshot {
        name: validate::text(map, "name")?,
        description: validate::text(map, "description")?,
        metadata: validate::metadata(map, "metadata")?.unwrap_or_default(),
        ..Snapshot::of(&volume, &caller.user_id, services.now_us())
    };
    let store = services.store_of(volume.backend())?;
    if let Some(found) = source.and_then(|id| store.snapshot(SnapshotId(id)).ok()) {
        snapshot.size_gib = found.size_bytes().div_ceil(1 << 30);
    }
    quotas::reserve_of_type(
        writer,
        &volume.project_id,
        volume.volume_type_id,
        snapshot.counts(),
    )?;
    writer.insert(&snapshot)?;
    queue(
        services,
        writer,
        MANAGE_SNAPSHOT,
        &snapshot,
        json!({"source": source}),
    )?;
    Ok(snapshot)
}

fn queue(
    services: &Services,
    writer: &Writer,
    kind: &str,
    snapshot: &Snapshot,
    args: Value,
) -> Result<(), Fault> {
    let (id, project) = (snapshot.id.to_string(), Some(snapshot.project_id.as_str()));
    let job = Job::new(kind, &id, project, args, services.now_us());
    Ok(jobs::enqueue(writer, job.reading(snapshot.volume_id))?)
}

/// Queues the removal of a snapshot's row alone.
pub(in crate::cinder) fn unmanage(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut snapshot: Snapshot,
) -> Result<(), Fault> {
    caller.check(Rule::SnapshotUnmanage, &snapshot)?;
    let free = ["available", "error"].contains(&snapshot.status.as_str());
    if !free || snapshot.group_snapshot_id.is_some() {
        return Err(Fault::bad_request(crate::cinder::snapshots::NOT_DELETABLE));
    }
    snapshot.status = "unmanaging".to_owned();
    snapshot.updated_us = Some(services.now_us());
    writer.put(&snapshot)?;
    queue(services, writer, UNMANAGE_SNAPSHOT, &snapshot, Value::Null)
}
