//! What the engine makes a volume by: its size, whether it is encrypted, and what it shares chunks with.

use store::{DomainId, Encryption, Packing, SnapshotId, Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::encryption;
use super::records::Volume;
use crate::jobs::JobError;
use crate::server::Services;

const GIB: u64 = 1 << 30;

/// The domain within which a project's equal chunks are shared.
pub(crate) fn domain(services: &Services, project: &str) -> DomainId {
    let scope = if services.config().pool_wide_dedup {
        "pool"
    } else {
        project
    };
    DomainId(Uuid::new_v5(&Uuid::NAMESPACE_OID, scope.as_bytes()))
}

/// What the engine makes a volume by.
pub(super) fn spec_of(services: &Services, volume: &Volume) -> Result<VolumeSpec, JobError> {
    spec_in(services, volume, volume.volume_type_id, |store| {
        encrypted_domain(store, volume)
    })
}

/// What the engine makes a volume by that is to be of a type, and in a domain if that is encrypted.
pub(super) fn spec_in(
    services: &Services,
    volume: &Volume,
    type_id: Uuid,
    encrypted: impl FnOnce(&Store) -> DomainId,
) -> Result<VolumeSpec, JobError> {
    let asked = services
        .catalogue()
        .read(|reader| encryption::of_type(reader, type_id))?;
    let (domain, encryption) = match asked {
        None => (domain(services, &volume.project_id), Encryption::None),
        Some(_) => {
            check_master_key(services)?;
            let store = services.store_of(volume.backend.as_deref())?;
            (encrypted(store), Encryption::DomainKey)
        }
    };
    Ok(VolumeSpec {
        size_bytes: volume.size_gib * GIB,
        domain,
        packing: Packing::Background,
        encryption,
    })
}

/// Makes sure that the master key opens what is encrypted in any pool: a pool without any would make a
/// new one where that of the others is missing.
fn check_master_key(services: &Services) -> Result<(), JobError> {
    let mut backends = services.backends().iter();
    Ok(backends.try_for_each(|backend| backend.store().probe_key())?)
}

/// The domain of an encrypted volume: its own, or that of what it is a clone of. A copy of what lies in
/// another pool has its own.
fn encrypted_domain(store: &Store, volume: &Volume) -> DomainId {
    let snapshot = |id| store.snapshot_info(SnapshotId(id)).map(|info| info.domain);
    let source = |id| store.volume_info(VolumeId(id)).map(|info| info.domain);
    // In a job that runs again the source may be gone already.
    let found =
        source(volume.id).or_else(|missing| match (volume.snapshot_id, volume.source_volid) {
            (Some(id), _) => snapshot(id),
            (None, Some(id)) => source(id),
            (None, None) => Err(missing),
        });
    found.unwrap_or(DomainId(volume.id))
}
