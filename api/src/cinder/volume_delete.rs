//! `DELETE /volumes/{id}`, and how a volume comes to go.

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::Value;

use super::records::{BY_VOLUME, Snapshot, Volume};
use super::volume_view::attachments_of;
use super::volumes::{enqueue, find};
use super::{backends, services, snapshots, work};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;

pub(super) async fn remove(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    params: Params,
) -> Result<StatusCode, Fault> {
    let cascade = strict_flag(&params, "cascade")?;
    let force = version.has(23) && strict_flag(&params, "force")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let volume = find(writer, &caller, &id)?;
                caller.check(Rule::VolumeDelete, &volume)?;
                if cascade && !caller.is_admin && has_foreign_snapshots(writer, &volume)? {
                    return Err(Fault::bad_request(NOT_DELETABLE));
                }
                if force {
                    caller.check(Rule::VolumeForceDelete, &volume)?;
                }
                delete(services, writer, volume, force, cascade)
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

/// A yes or no; 400 for other words.
pub(super) fn strict_flag(params: &Params, key: &str) -> Result<bool, Fault> {
    let (no, yes) = (params.flag(key, false), params.flag(key, true));
    match (no == yes, params.get(key)) {
        (false, Some(text)) => Err(Fault::bad_request(format!(
            "Value '{text}' for '{key}' is not a boolean."
        ))),
        _ => Ok(no),
    }
}

/// Statuses in which a volume may go.
pub(super) const DELETABLE: [&str; 5] = [
    "available",
    "error",
    "error_restoring",
    "error_extending",
    "error_managing",
];

pub(super) const NOT_DELETABLE: &str = "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer.";

/// Whether snapshots stayed with an earlier owner when the volume was transferred.
fn has_foreign_snapshots(view: &impl View, volume: &Volume) -> Result<bool, Fault> {
    let query = Query::by(BY_VOLUME, Key::new().uuid(volume.id));
    let snapshots: Vec<Snapshot> = view.list(&query)?;
    let foreign = |snapshot: &Snapshot| snapshot.project_id != volume.project_id;
    Ok(snapshots.iter().any(foreign))
}

/// Gives a volume the status deleting and queues the work.
pub(super) fn delete(
    services: &Services,
    writer: &Writer,
    mut volume: Volume,
    force: bool,
    cascade: bool,
) -> Result<(), Fault> {
    let host = backends::service_host_of(services, volume.backend.as_deref());
    services::check_not_frozen(writer, &host)?;
    let query = Query::by(BY_VOLUME, Key::new().uuid(volume.id));
    let snapshots: Vec<Snapshot> = writer.list(&query)?;
    let attached = !attachments_of(writer, &volume)?.is_empty();
    let settled = volume.status != "creating" && snapshots.is_empty() && !attached;
    if volume.backend.is_none() && settled {
        // It was given no place: there are no bytes to wait for, and its type is free at once.
        return Ok(work::forget_volume(writer, volume.id, services.now_us())?);
    }
    let deletable = |snapshot: &Snapshot| {
        snapshot.group_snapshot_id.is_none()
            && (force || ["available", "error", "deleting"].contains(&snapshot.status.as_str()))
    };
    if (!force && !DELETABLE.contains(&volume.status.as_str()))
        || volume.is_migrating()
        || attached
        || volume.group_id.is_some()
        || (!cascade && !snapshots.is_empty())
        || !snapshots.iter().all(deletable)
    {
        return Err(Fault::bad_request(NOT_DELETABLE));
    }
    for snapshot in snapshots {
        // One that is going already may be so by an admin's word alone: twice does no harm.
        snapshots::queue_deletion(services, writer, snapshot)?;
    }
    volume.status = "deleting".to_owned();
    volume.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    enqueue(services, writer, work::DELETE_VOLUME, &volume, Value::Null)
}
