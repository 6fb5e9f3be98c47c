//! A volume's data under another key, or under none, in the pool where it is.
//!
//! What is encrypted is encrypted for life, so that this copies: into a volume beside the old one,
//! of which the volume becomes a clone once the copy is whole. The engine has no renaming; both steps
//! at the end take constant time, and an attempt that was cut short between them is made good by the
//! next.

use store::{Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::copy::copy;
use super::work::fresh;
use crate::jobs::{Job, JobError, Progress};
use crate::server::Services;

/// Makes the data of a volume what `spec` says. Another attempt of the same job goes on where this
/// one was.
pub(super) fn reseal(
    services: &Services,
    job: &Job,
    (store, id): (&Store, VolumeId),
    spec: VolumeSpec,
) -> Result<(), JobError> {
    let beside = VolumeId(Uuid::new_v5(&job.id, b"beside"));
    let is_whole = match store.volume_info(id) {
        Ok(found) => found.domain == spec.domain && found.encryption == spec.encryption,
        Err(_) => replace(store, id, beside)?,
    };
    if !is_whole {
        let copied = fill(services, job, (store, id), (beside, spec));
        if let Err(error) = copied {
            if !error.is_interruption() {
                store.delete_volume(beside)?;
            }
            return Err(error);
        }
        store.delete_volume(id)?;
        replace(store, id, beside)?;
    }
    Ok(store.delete_volume(beside)?)
}

fn fill(
    services: &Services,
    job: &Job,
    (store, id): (&Store, VolumeId),
    (beside, spec): (VolumeId, VolumeSpec),
) -> Result<(), JobError> {
    let source = store.volume(id)?;
    let spec = VolumeSpec {
        size_bytes: source.size_bytes(),
        ..spec
    };
    let target = fresh(store, beside, spec)?;
    copy(&source, &target, &Progress::new(services, job))
}

/// Puts the copy in the place of the volume, which is gone. Until that is done the copy is all there
/// is: a failure does not end the job, which goes on at the next start.
fn replace(store: &Store, id: VolumeId, beside: VolumeId) -> Result<bool, JobError> {
    let found = store.volume_info(beside)?;
    let spec = VolumeSpec {
        size_bytes: found.size_bytes,
        domain: found.domain,
        packing: store::Packing::Background,
        encryption: found.encryption,
    };
    store.clone_volume(id, beside, spec).map_err(|error| {
        tracing::error!(%error, volume = %id, "a retyped volume waits for a restart to be put in place");
        JobError::interrupted()
    })?;
    Ok(true)
}
