//! `/tree`: volumes with their snapshots, as the mount shows them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use store::{SnapshotId, SnapshotInfo, VolumeId};
use uuid::Uuid;

use crate::auth::Caller;
use crate::catalogue::{Query, View};
use crate::cinder::records::{Snapshot, Volume};
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::native as wire;

/// The version of the tree as last told: a fingerprint of it and a rising number.
#[derive(Debug, Default)]
pub(crate) struct TreeVersion(Mutex<Option<(blake3::Hash, u64)>>);

impl TreeVersion {
    /// The number of a tree: that of the last call if it is the same tree, else a higher one. The
    /// first is `now_us`, above those of any earlier run.
    fn number(&self, fingerprint: blake3::Hash, now_us: u64) -> u64 {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match *last {
            Some((same, number)) if same == fingerprint => number,
            Some((_, number)) => now_us.max(number + 1),
            None => now_us,
        };
        *last = Some((fingerprint, number));
        number
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::Tree>, Fault> {
    caller.check_own(Rule::NativeGetTree)?;
    services
        .blocking(|services| {
            let volumes = read(services)?;
            let text = serde_json::to_vec(&volumes).map_err(Fault::internal)?;
            let fingerprint = blake3::hash(&text);
            let generation = services.tree().number(fingerprint, services.now_us());
            Ok(Json(wire::Tree {
                generation,
                volumes,
            }))
        })
        .await
}

/// All that can be opened: rows whose object the engine has, by the sizes it has.
fn read(services: &Services) -> Result<Vec<wire::TreeVolume>, Fault> {
    let (volumes, snapshots) = services.catalogue().read(|reader| {
        let volumes = reader.list::<Volume>(&Query::all())?;
        Ok::<_, Fault>((volumes, reader.list::<Snapshot>(&Query::all())?))
    })?;
    let (mut sizes, mut infos) = (HashMap::new(), Vec::new());
    for backend in services.backends().iter() {
        let name = backend.name();
        let of_volume = |volume: store::VolumeInfo| ((name, volume.id), volume.size_bytes);
        sizes.extend(backend.store().volumes().into_iter().map(of_volume));
        infos.extend(backend.store().snapshots());
    }
    let mut children = by_volume(snapshots, infos);
    let shape = |volume: Volume| {
        // A volume that is being migrated is on two backends; its row says which one counts.
        let backend = services.backends().get(volume.backend.as_deref()?)?;
        let size_bytes = *sizes.get(&(backend.name(), VolumeId(volume.id)))?;
        Some(wire::TreeVolume {
            id: volume.id.to_string(),
            name: volume.name.unwrap_or_default(),
            project_id: volume.project_id,
            size_bytes,
            created_us: volume.created_us,
            snapshots: children.remove(&volume.id).unwrap_or_default(),
        })
    };
    Ok(volumes.into_iter().filter_map(shape).collect())
}

/// The snapshots of each volume, the oldest first.
fn by_volume(
    rows: Vec<Snapshot>,
    infos: Vec<SnapshotInfo>,
) -> BTreeMap<Uuid, Vec<wire::TreeSnapshot>> {
    let infos: HashMap<SnapshotId, SnapshotInfo> =
        infos.into_iter().map(|info| (info.id, info)).collect();
    let mut children: BTreeMap<Uuid, Vec<wire::TreeSnapshot>> = BTreeMap::new();
    for row in rows {
        if let Some(info) = infos.get(&SnapshotId(row.id)) {
            children
                .entry(row.volume_id)
                .or_default()
                .push(wire::TreeSnapshot {
                    id: row.id.to_string(),
                    name: row.name.unwrap_or_default(),
                    size_bytes: info.size_bytes,
                    created_us: info.created_us,
                });
        }
    }
    for snapshots in children.values_mut() {
        snapshots.sort_by(|a, b| (a.created_us, &a.id).cmp(&(b.created_us, &b.id)));
    }
    children
}

#[cfg(test)]
mod tests {
    use super::TreeVersion;

    #[test]
    fn the_number_rises_with_every_change_and_only_then() {
        let version = TreeVersion::default();
        let (one, two) = (blake3::hash(b"one"), blake3::hash(b"two"));
        assert_eq!(version.number(one, 100), 100);
        assert_eq!(version.number(one, 200), 100);
        assert_eq!(version.number(two, 200), 200);
        // The clock may stand still or go back.
        assert_eq!(version.number(one, 50), 201);
    }
}
