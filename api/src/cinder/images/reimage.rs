//! `os-reimage`: another content for a volume, which keeps its id.
//!
//! The new content is complete in the store before the old one goes; both steps at the end take constant
//! time, and an attempt that was cut short between them is made good by the next.

use store::{Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::create::{describe, settle_master};
use super::facts::Facts;
use super::fill::{Target, fill};
use super::order::Order;
use crate::catalogue::{self, Writer};
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::records::Volume;
use crate::cinder::volume_view::attachments_of;
use crate::cinder::work::{self, Outcome};
use crate::fault::Fault;
use crate::jobs::{self, Handler, Job, JobError, Registry};
use crate::server::{Connection, Services};

/// Puts an image into a volume as a clone.
const CLONE: &str = "volume.reimage";
/// Puts an image into a volume by filling it.
const FILL: &str = "volume.reimage_filled";

pub(super) fn register(registry: &mut Registry) {
    registry.add(CLONE, Reimage { is_long: false });
    registry.add(FILL, Reimage { is_long: true });
}

/// Begins to give a volume the content of an image; reserved volumes too if `reserved` says so.
pub(in crate::cinder) fn reimage(
    services: &Services,
    writer: &Writer,
    mut volume: Volume,
    facts: &Facts,
    reserved: bool,
) -> Result<(), Fault> {
    if attachments_of(writer, &volume)?.len() > 1 {
        return Err(Fault::conflict(
            "Cannot re-image a volume which is attached to more than one server.",
        ));
    }
    let (states, named): (&[&str], _) = match reserved {
        true => (
            &["available", "error", "reserved"],
            "available, error, or reserved",
        ),
        false => (&["available", "error"], "available or error"),
    };
    if !states.contains(&volume.status.as_str()) || volume.backend.is_none() {
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be {named}, but current status is {}.",
            volume.id, volume.status
        )));
    }
    facts.check(volume.size_gib)?;
    let order = Order::plan(services, writer, &volume, facts)?;
    let order = order.ok_or_else(|| {
        let message = format!("Invalid input received: Image {} is not active.", facts.id);
        Fault::bad_request(message)
    })?;
    let job = order.job(services, (CLONE, FILL), &volume);
    jobs::enqueue(writer, job)?;
    let before = std::mem::replace(&mut volume.status, "downloading".to_owned());
    volume.previous_status = Some(before);
    volume.updated_us = Some(services.now_us());
    writer.put(&volume)?;
    Ok(())
}

struct Reimage {
    is_long: bool,
}

impl Handler for Reimage {
    fn is_long(&self) -> bool {
        self.is_long
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let volume: Volume = work::row(services, job)?;
        let order = Order::of(job)?;
        let is_open = |one: &Connection| one.object == volume.id && !one.read_only;
        if services.exports().connections().iter().any(is_open) {
            return Err(JobError("somebody is writing to the volume".to_owned()));
        }
        let store = services.store_of(volume.backend.as_deref())?;
        let beside = VolumeId(Uuid::new_v5(&job.id, b"beside"));
        let mut spec = work::spec_of(services, &volume)?;
        // Of an encrypted volume that is gone already, only what stands beside it knows the domain.
        if let Ok(found) = store.volume_info(beside) {
            spec.domain = found.domain;
        }
        let target = Target {
            store,
            id: beside,
            spec,
        };
        let filled = fill(services, job, (&volume, &order), &target);
        let replaced =
            filled.and_then(|filled| replace(store, (VolumeId(volume.id), filled), spec));
        match &replaced {
            Err(error) if error.is_interruption() => {}
            _ => store.delete_volume(beside)?,
        }
        replaced
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let failure = Failure {
            resource: Resource::Volume,
            action: Action::ReimageVolume,
            detail: Detail::Unknown,
        };
        work::tell(writer, job, result, failure, now_us)?;
        let order = Order::of(job).ok();
        let mut backend = None;
        work::settle::<Volume>(writer, job, now_us, |volume| {
            backend.clone_from(&volume.backend);
            let before = volume.previous_status.take();
            let status = match result {
                Ok(()) => before.unwrap_or_else(|| "available".to_owned()),
                Err(_) => "error".to_owned(),
            };
            if volume.status == "downloading" {
                volume.status = status;
            }
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

/// Makes a volume a clone of `from`. Once it is gone, a failure does not end the job, which goes on at
/// the next start.
fn replace(
    store: &Store,
    (id, from): (VolumeId, VolumeId),
    spec: VolumeSpec,
) -> Result<(), JobError> {
    let source = store.volume_info(from)?;
    if source.size_bytes > spec.size_bytes {
        return Err(JobError("the image is larger than the volume".to_owned()));
    }
    store.delete_volume(id)?;
    store.clone_volume(id, from, spec).map_err(|error| {
        tracing::error!(%error, volume = %id, "a volume waits for a restart to get its image");
        JobError::interrupted()
    })
}
