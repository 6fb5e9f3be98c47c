//! The job that brings the bytes of a volume to an image at the Glance elsewhere: as they are, or
//! converted beside. An image that cannot be made is deleted there, as the real service does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Store, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::fetch::{Remote, Sums, glance_of};
use super::uploading::{converted, of_the_moment, settle_volume};
use crate::catalogue::{self, Writer};
use crate::cinder::moving;
use crate::cinder::records::Volume;
use crate::cinder::work::{self, Outcome};
use crate::convert::Stored;
use crate::external::glance::{self, Glance, Image, UserToken};
use crate::glance::data;
use crate::jobs::{Handler, Job, JobError, Progress, Registry};
use crate::server::Services;

/// Brings the bytes.
pub(super) const SEND: &str = "volume.upload_elsewhere";
/// How often Glance is asked whether it has given up an attempt that was cut off, a second apart.
const LOOKS_MAX: usize = 20;

/// What a job was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sending {
    pub(super) image: Uuid,
    pub(super) disk_format: String,
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(SEND, Send);
}

struct Send;

impl Handler for Send {
    fn is_long(&self) -> bool {
        true
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let sending: Sending = work::args(job)?;
        let glance = glance_of(services)?;
        let user = glance.borrowed(job.id);
        let sent = send(services, job, (glance, user.as_ref()), &sending);
        match &sent {
            Err(error) if !error.is_interruption() => {
                discard(services, (glance, user), sending.image);
            }
            _ => {}
        }
        sent
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_volume(writer, job, result, now_us)
    }
}

/// Deletes an image that did not come to be; one that cannot be deleted stays as it is.
fn discard(services: &Services, (glance, user): (&Glance, Option<UserToken>), image: Uuid) {
    let deleted = glance.wait(services, |glance| async move {
        glance.delete(user.as_ref(), image).await
    });
    if let Err(error) = deleted {
        tracing::warn!(%image, %error, "an image without its bytes stays at Glance");
    }
}

fn send(
    services: &Services,
    job: &Job,
    (glance, user): (&Glance, Option<&UserToken>),
    sending: &Sending,
) -> Result<(), JobError> {
    // An attempt before a restart may have come to its end.
    if waiting(services, (glance, user), sending.image)?.is_active() {
        return Ok(());
    }
    let volume: Volume = work::row(services, job)?;
    let store = services.store_of(volume.backend.as_deref())?;
    of_the_moment(services, job, &volume, |moment| {
        let bring = |bytes: &Stored| {
            let target = (glance, user, sending.image);
            bring(services, job, target, bytes)
        };
        if sending.disk_format == "raw" {
            let volume = store.volume(moment)?;
            let len = volume.size_bytes();
            return bring(&Stored { volume, len });
        }
        let format = &sending.disk_format;
        in_format(services, job, (&volume, format), (store, moment), bring)
    })
}

/// The image, which waits for its bytes or has them.
fn waiting(
    services: &Services,
    (glance, user): (&Glance, Option<&UserToken>),
    image: Uuid,
) -> Result<Image, JobError> {
    let user = user.cloned();
    let found = glance.wait(services, |glance| async move {
        let mut found = glance.show(user.as_ref(), image).await?;
        for _ in 0..LOOKS_MAX {
            if found.status != "saving" {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            found = glance.show(user.as_ref(), image).await?;
        }
        Ok(found)
    })?;
    match found.status.as_str() {
        "queued" | "active" => Ok(found),
        other => Err(JobError(format!("the image is {other} already"))),
    }
}

/// Converts a volume into one beside it, does something with that, and removes it.
fn in_format(
    services: &Services,
    job: &Job,
    (volume, format): (&Volume, &str),
    (store, moment): (&Store, VolumeId),
    work: impl FnOnce(&Stored) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let id = VolumeId(Uuid::new_v5(&job.id, b"converted"));
    let owner = Some(volume.project_id.as_str());
    let spec_of = |len| -> VolumeSpec { data::spec_of(services, owner, len) };
    let worked = converted(services, job, format, store.volume(moment)?, |len| {
        Ok(moving::fresh(store, id, spec_of(len))?)
    });
    let worked = worked.and_then(|len| {
        work(&Stored {
            volume: store.volume(id)?,
            len,
        })
    });
    store.delete_volume(id)?;
    worked
}

/// Brings bytes, and sees to it that Glance has the same.
fn bring(
    services: &Services,
    job: &Job,
    (glance, user, image): (&Glance, Option<&UserToken>, Uuid),
    bytes: &Stored,
) -> Result<(), JobError> {
    let progress = Progress::new(services, job);
    let mut sums = Sums::sha512();
    let mut read = |at: u64, piece: &mut [u8]| {
        bytes.volume.read(at, piece)?;
        sums.add(piece);
        progress.report(at, bytes.len)
    };
    let to = (glance, services);
    glance::upload(to, user.cloned(), (image, bytes.len), &mut read)?;
    let asked = user.cloned();
    let made = glance.wait(services, |glance| async move {
        glance.show(asked.as_ref(), image).await
    })?;
    let remote = Remote::told(&made);
    let remote = remote.ok_or_else(|| JobError(format!("the image is {}", made.status)))?;
    sums.check(&remote)
}
