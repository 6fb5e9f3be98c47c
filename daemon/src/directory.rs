//! Names of exports, looked up in the catalogue and the pool.

use api::server::Services;
use store::{SnapshotId, VolumeId};
use uuid::Uuid;

use crate::exports::{Attached, Candidate, Directory, Listed};

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

impl Directory for CatalogueDirectory {
    fn attached(&self, _token: &str) -> Option<Attached> {
        None
    }

    fn volumes(&self) -> Vec<Listed> {
        let listed = |volume: store::VolumeInfo| Listed {
            id: volume.id.0,
            name: String::new(),
            project: volume.domain.to_string(),
        };
        self.services
            .store()
            .volumes()
            .into_iter()
            .map(listed)
            .collect()
    }

    fn is_volume(&self, id: Uuid) -> bool {
        self.services.store().volume(VolumeId(id)).is_ok()
    }

    fn is_snapshot(&self, id: Uuid) -> bool {
        self.services.store().snapshot(SnapshotId(id)).is_ok()
    }

    fn volumes_named(&self, _name: &str) -> Vec<Candidate> {
        Vec::new()
    }

    fn projects(&self, _text: &str) -> Vec<String> {
        Vec::new()
    }
}
