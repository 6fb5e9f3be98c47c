//! Getting an image's disk into the store, where it is not there already.

use store::{Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::facts::check_fits;
use super::masters;
use super::order::{Order, Way};
use crate::catalogue::{self, View};
use crate::cinder::backends::NO_VALID_BACKEND;
use crate::cinder::moving;
use crate::cinder::records::Volume;
use crate::cinder::work;
use crate::convert::Converter;
use crate::glance;
use crate::jobs::{Job, JobError, Progress};
use crate::server::Services;

/// What is being filled: an object of a pool, which is or will be the volume's.
pub(super) struct Target<'a> {
    pub(super) store: &'a Store,
    pub(super) id: VolumeId,
    pub(super) spec: VolumeSpec,
}

/// Sees to it that there is a volume of the store with the image's disk, and answers which: the target,
/// or a copy that the target can become a clone of.
pub(super) fn fill(
    services: &Services,
    job: &Job,
    (volume, order): (&Volume, &Order),
    target: &Target<'_>,
) -> Result<VolumeId, JobError> {
    match order.way {
        Way::Nowhere => Err(nowhere()),
        Way::Clone(source) => Ok(VolumeId(source)),
        Way::Copy => {
            order.data.copy(services, job, order.as_named(), target)?;
            Ok(target.id)
        }
        Way::Convert => {
            convert(services, job, (volume, order), target.store, |_| {
                moving::fresh(target.store, target.id, target.spec)
            })?;
            Ok(target.id)
        }
        Way::Master(master) => {
            make_master(services, job, (volume, order), (target.store, master))?;
            Ok(VolumeId(master))
        }
    }
}

/// Why nothing is filled that has no place.
pub(super) fn nowhere() -> JobError {
    JobError(NO_VALID_BACKEND.to_owned())
}

fn make_master(
    services: &Services,
    job: &Job,
    (volume, order): (&Volume, &Order),
    (store, master): (&Store, Uuid),
) -> Result<(), JobError> {
    // The job before this one may have made it.
    if masters::is_whole(services, master)? {
        return Ok(());
    }
    let owner = order.owner.as_deref();
    let spec_of = |size_bytes| glance::data::spec_of(services, owner, size_bytes);
    let id = VolumeId(master);
    if order.is_disk() {
        let spec = spec_of(order.data.size_bytes());
        let target = Target { store, id, spec };
        return order.data.copy(services, job, order.as_named(), &target);
    }
    convert(services, job, (volume, order), store, |size| {
        moving::fresh(store, id, spec_of(size))
    })
}

fn convert(
    services: &Services,
    job: &Job,
    (volume, order): (&Volume, &Order),
    store: &Store,
    target_of: impl FnOnce(u64) -> store::Result<store::Volume>,
) -> Result<(), JobError> {
    let converter = Converter::new(&services.config().scratch);
    let progress = Progress::new(services, job);
    let target_of = |size| {
        check_fits(size, volume.size_gib)
            .map_err(|why| JobError(format!("Image {} is unacceptable: {why}", order.image)))?;
        Ok(target_of(size)?)
    };
    let watch = |done, all| progress.report(done, all);
    let image = (order.as_named(), store);
    order.data.with_bytes(services, job, image, |bytes| {
        converter.to_volume(bytes, &order.disk_format, target_of, &watch)?;
        Ok(())
    })
}

/// Tells those who look that the volume is being filled.
pub(super) fn tell_downloading(services: &Services, job: &Job) -> Result<(), JobError> {
    let id = work::object(job)?;
    services.catalogue().write(|writer| {
        if let Some(mut volume) = writer.get::<Volume>(&id)?
            && volume.status == "creating"
        {
            volume.status = "downloading".to_owned();
            writer.put(&volume)?;
        }
        Ok::<_, catalogue::Error>(())
    })?;
    Ok(())
}
