//! Names of exports, looked up in the catalogue and the pool.

use api::catalogue::{Query, View};
use api::cinder::{self, IoLimits};
use api::keystone::Project;
use api::server::Services;
use store::{SnapshotId, Store, VolumeId};
use uuid::Uuid;

use crate::exports::{Attached, Candidate, Directory, Listed, Target};

/// The catalogue as a directory of exports.
pub(crate) struct CatalogueDirectory {
    services: Services,
}

impl CatalogueDirectory {
    /// The directory of these services.
    pub(crate) fn new(services: Services) -> Self {
        Self { services }
    }
}

/// What the catalogue answers, or nothing: an export that cannot be looked up is not there.
fn found<T: Default>(answer: api::catalogue::Result<T>) -> T {
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "names of exports cannot be looked up");
        T::default()
    })
}

impl Directory for CatalogueDirectory {
    fn attached(&self, token: &str) -> Option<Attached> {
        let target = found(cinder::resolve_export(self.services.catalogue(), token))?;
        Some(Attached {
            attachment: target.attachment_id,
            volume: target.volume_id,
            read_only: target.read_only,
        })
    }

    fn limits(&self, volume: Uuid) -> IoLimits {
        found(cinder::io_limits(self.services.catalogue(), volume))
    }

    fn volumes(&self) -> Vec<Listed> {
        let listed = |volume: cinder::records::Volume| Listed {
            id: volume.id,
            name: volume.name.unwrap_or_default(),
            project: volume.project_id,
        };
        let volumes = found(cinder::all_volumes(self.services.catalogue()));
        volumes.into_iter().map(listed).collect()
    }

    fn store_of(&self, target: Target) -> Option<Store> {
        let backend = found(match target {
            Target::Volume(id) => cinder::backend_of_volume(self.services.catalogue(), id),
            Target::Snapshot(id) => cinder::backend_of_snapshot(self.services.catalogue(), id),
        })?;
        let store = self.services.store_of(Some(&backend)).ok()?;
        let there = match target {
            Target::Volume(id) => store.volume_info(VolumeId(id)).is_ok(),
            Target::Snapshot(id) => store.snapshot_info(SnapshotId(id)).is_ok(),
        };
        there.then(|| store.clone())
    }

    fn volumes_named(&self, name: &str) -> Vec<Candidate> {
        let candidate = |volume: cinder::records::Volume| Candidate {
            id: volume.id,
            project: volume.project_id,
        };
        let volumes = found(cinder::volumes_named(self.services.catalogue(), name));
        volumes.into_iter().map(candidate).collect()
    }

    fn projects(&self, text: &str) -> Vec<String> {
        let all = self
            .services
            .catalogue()
            .read(|reader| reader.list::<Project>(&Query::all()));
        let projects = found(all).into_iter();
        projects
            .filter(|project| project.id == text || project.name == text)
            .map(|project| project.id)
            .collect()
    }
}
