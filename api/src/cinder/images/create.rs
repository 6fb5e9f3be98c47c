//! New volumes with the content of an image.

use store::VolumeId;

use super::facts::Facts;
use super::fill::{Target, fill, nowhere, tell_downloading};
use super::masters;
use super::order::{Order, Way};
use crate::catalogue::{self, Writer};
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::records::Volume;
use crate::cinder::work::{self, Outcome};
use crate::fault::Fault;
use crate::jobs::{Handler, Job, JobError, Registry};
use crate::server::Services;

/// Creates a volume as a clone of an image.
const CLONE: &str = "volume.clone_image";
/// Creates a volume and fills it.
const FILL: &str = "volume.fill_from_image";

pub(super) fn register(registry: &mut Registry) {
    registry.add(CLONE, Create { is_long: false });
    registry.add(FILL, Create { is_long: true });
}

/// The job that fills a new volume, whose row is there, with an image.
pub(in crate::cinder) fn create_job(
    services: &Services,
    writer: &Writer,
    volume: &Volume,
    facts: &Facts,
) -> Result<Job, Fault> {
    let order = Order::plan(services, writer, volume, facts)?;
    let order = order.ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid input received: Image {} is not active.",
            facts.id
        ))
    })?;
    Ok(order.job(services, (CLONE, FILL), volume))
}

/// What the row says of the image once it is in the volume.
pub(super) fn describe(volume: &mut Volume, order: &Order) {
    volume.bootable = true;
    volume.image_metadata.clone_from(&order.metadata);
}

/// Keeps or throws away the copy that a job made.
pub(super) fn settle_master(
    writer: &Writer,
    (order, backend): (&Order, Option<&str>),
    result: Outcome<'_>,
    now_us: u64,
) -> catalogue::Result<()> {
    let (Way::Master(master), Some(backend)) = (order.way, backend) else {
        return Ok(());
    };
    match result.is_ok() && order.data.lives(writer, order.image)? {
        true => masters::keep(writer, (master, order.image), backend, now_us),
        // Nobody may have made one meanwhile, as this job owned its id; the removal looks again.
        false => masters::discard(writer, master, backend, now_us),
    }
}

struct Create {
    is_long: bool,
}

impl Handler for Create {
    fn is_long(&self) -> bool {
        self.is_long
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = work::row(services, job)?;
        let order = Order::of(job)?;
        if self.is_long {
            tell_downloading(services, job)?;
        }
        let id = VolumeId(volume.id);
        if order.way == Way::Nowhere {
            return Err(nowhere());
        }
        let spec = work::spec_of(services, &volume)?;
        let store = services.store_of(volume.backend.as_deref())?;
        let target = Target { store, id, spec };
        let filled = fill(services, job, (&volume, &order), &target)?;
        if filled != id {
            store.clone_volume(id, filled, spec)?;
        }
        Ok(())
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let order = Order::of(job).ok();
        let is_placed = order.as_ref().is_none_or(|order| order.way != Way::Nowhere);
        let (action, detail) = match is_placed {
            true => (Action::CreateVolume, Detail::CreateFailed),
            false => (Action::ScheduleVolume, Detail::NoBackend),
        };
        let failure = Failure {
            resource: Resource::Volume,
            action,
            detail,
        };
        work::tell(writer, job, result, failure, now_us)?;
        let mut backend = None;
        work::settle::<Volume>(writer, job, now_us, |volume| {
            backend.clone_from(&volume.backend);
            if volume.status == "downloading" {
                volume.status = "creating".to_owned();
            }
            work::made(volume, result);
            if let (Ok(()), Some(order)) = (result, &order) {
                describe(volume, order);
            }
        })?;
        match &order {
            Some(order) => settle_master(writer, (order, backend.as_deref()), result, now_us),
            None => Ok(()),
        }
    }
}
