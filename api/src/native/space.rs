//! `/volumes/{id}/space`: what a volume shares with whom, and what deleting gives back.
//!
//! It names volumes of other projects, so it is for administrators. The engine reads its whole map for
//! it: one such request runs at a time, and the others wait without holding a thread.

use axum::Json;
use axum::extract::{Path, State};
use store::{Disk, Shared, SnapshotCost, Taken, VolumeId};

use super::volumes::readable;
use crate::auth::Caller;
use crate::catalogue::{Reader, View};
use crate::cinder::records::{Snapshot, Volume};
use crate::fault::Fault;
use crate::page::LIMIT_MAX;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::native as wire;

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::VolumeSpace>, Fault> {
    caller.check_own(Rule::NativeGetVolumeSpace)?;
    services
        .explaining(move |services| {
            let volume = readable(services, &caller, &id, Rule::NativeGetVolumeSpace)?;
            let store = services.store_of(volume.backend.as_deref())?;
            let said = store.explain(VolumeId(volume.id))?;
            let told = services.catalogue().read(|reader| shape(reader, &said))?;
            Ok(Json(told))
        })
        .await
}

fn taken(taken: Taken) -> wire::SpaceTaken {
    wire::SpaceTaken {
        plain_bytes: taken.plain_bytes,
        stored_bytes: taken.stored_bytes,
        raw_bytes: taken.raw_bytes,
    }
}

/// The engine's answer with the catalogue's names.
fn shape(reader: &Reader, said: &store::Explanation) -> Result<wire::VolumeSpace, Fault> {
    let snapshots = said.snapshots.iter().map(|cost| snapshot(reader, cost));
    let told = said.shared.iter().take(LIMIT_MAX);
    let shared = told.map(|shared| with(reader, shared));
    Ok(wire::VolumeSpace {
        volume_id: said.id.to_string(),
        as_of_us: said.as_of_us,
        logical_bytes: said.logical_bytes,
        referenced_bytes: said.referenced_bytes,
        unique_bytes: said.unique_bytes,
        holds: taken(said.holds),
        frees: taken(said.frees),
        frees_with_snapshots: taken(said.frees_with_snapshots),
        snapshots: snapshots.collect::<Result<_, Fault>>()?,
        shared: shared.collect::<Result<_, Fault>>()?,
        shared_omitted: said.shared.len().saturating_sub(LIMIT_MAX) as u64,
    })
}

fn snapshot(reader: &Reader, cost: &SnapshotCost) -> Result<wire::SnapshotSpace, Fault> {
    let row = reader.get::<Snapshot>(&cost.id.0)?;
    Ok(wire::SnapshotSpace {
        id: cost.id.to_string(),
        name: row.and_then(|row| row.name).unwrap_or_default(),
        created_us: cost.created_us,
        referenced_bytes: cost.referenced_bytes,
        frees: taken(cost.frees),
    })
}

fn with(reader: &Reader, shared: &Shared) -> Result<wire::SharedSpace, Fault> {
    let (kind, id, row) = match shared.with {
        Disk::Volume(id) => {
            let row = reader.get::<Volume>(&id.0)?;
            ("volume", id.0, row.map(|row| (row.name, row.project_id)))
        }
        Disk::Snapshot(id) => {
            let row = reader.get::<Snapshot>(&id.0)?;
            ("snapshot", id.0, row.map(|row| (row.name, row.project_id)))
        }
    };
    let (name, project_id) = row.unwrap_or_default();
    Ok(wire::SharedSpace {
        kind: kind.to_owned(),
        id: id.to_string(),
        name: name.unwrap_or_default(),
        project_id,
        bytes: shared.bytes,
    })
}
