//! The bytes of images in the store: where they are, and how they come and go.
//!
//! A volume of the store that holds an image's bytes is named by the image, by an upload that is
//! under way, or by an unfinished job: never by nothing. Whoever stops naming one queues the job
//! that removes it, in the same transaction.

use serde_json::{Value, json};
use store::{Encryption, Packing, VolumeId, VolumeSpec};
use uuid::Uuid;

use super::hashing;
use super::records::{Image, ImageData, Member, Status, Upload, members_of, rounded};
use crate::catalogue::{self, Query, View, Writer};
use crate::cinder::{images, shared_domain};
use crate::jobs::{self, Handler, Job, JobError, Registry};
use crate::server::Services;

/// Removes a volume of the store; the job's object is the image it was of.
const DISCARD: &str = "image.discard";

/// What equal chunks of images without an owner are looked for in.
const NOBODY: &str = "";

pub(super) fn register(registry: &mut Registry) {
    registry.add(DISCARD, Discard);
}

/// The bytes, for reading.
///
/// # Errors
/// `NotFound` when they are gone, and those of [`Services::store_of`].
pub(crate) fn volume_of(services: &Services, data: &ImageData) -> store::Result<store::Volume> {
    let store = services.store_of(Some(&data.backend))?;
    store.volume(VolumeId(data.volume))
}

/// What the store's volume of an image is made by: as volumes of the owner that are not encrypted.
pub(crate) fn spec(services: &Services, owner: Option<&str>, data: &ImageData) -> VolumeSpec {
    spec_of(services, owner, data.size_bytes)
}

/// The same for so many bytes of an image.
pub(crate) fn spec_of(services: &Services, owner: Option<&str>, size_bytes: u64) -> VolumeSpec {
    VolumeSpec {
        size_bytes: rounded(size_bytes),
        domain: shared_domain(services, owner.unwrap_or(NOBODY)),
        packing: Packing::Background,
        encryption: Encryption::None,
    }
}

/// Makes an image of complete bytes whose sums are not known: it becomes active, and a job adds
/// them up. `false` when the image has gone or is no longer waiting; the bytes go as well then.
///
/// # Errors
/// Those of the catalogue.
pub(crate) fn adopt(
    writer: &Writer,
    image: Uuid,
    data: ImageData,
    now_us: u64,
) -> catalogue::Result<bool> {
    let waiting = |image: &Image| matches!(image.status, Status::Queued | Status::Saving);
    let Some(mut row) = writer.get::<Image>(&image)?.filter(waiting) else {
        discard(writer, image, &data, now_us)?;
        return Ok(false);
    };
    row.status = Status::Active;
    row.size_bytes = Some(data.size_bytes);
    row.hashes = None;
    row.data = Some(data);
    row.updated_us = now_us;
    writer.put(&row)?;
    hashing::queue(writer, &row, now_us)?;
    Ok(true)
}

/// Makes an image queued again if it still waits for data.
pub(super) fn requeue(writer: &Writer, image: Uuid, now_us: u64) -> catalogue::Result<()> {
    let waiting = |status| matches!(status, Status::Saving | Status::Uploading);
    match writer.get::<Image>(&image)? {
        Some(mut row) if waiting(row.status) && row.staged.is_none() => {
            row.reset(now_us);
            writer.put(&row)
        }
        Some(_) | None => Ok(()),
    }
}

/// Queues the job that removes the bytes of an image; jobs that read the image go first.
///
/// # Errors
/// Those of the catalogue.
pub(crate) fn discard(
    writer: &Writer,
    image: Uuid,
    data: &ImageData,
    now_us: u64,
) -> catalogue::Result<()> {
    discard_volume(writer, image, &data.backend, data.volume, now_us)
}

fn discard_volume(
    writer: &Writer,
    image: Uuid,
    backend: &str,
    volume: Uuid,
    now_us: u64,
) -> catalogue::Result<()> {
    let args = json!({"backend": backend, "volume": volume});
    let job = Job::new(DISCARD, &image.to_string(), None, args, now_us);
    jobs::enqueue(writer, job)
}

/// Removes an image with all that hangs on it.
pub(crate) fn forget(writer: &Writer, image: &Image, now_us: u64) -> catalogue::Result<()> {
    images::forget(writer, image.id, now_us)?;
    for member in members_of(writer, image.id)? {
        writer.delete::<Member>(&member.key)?;
    }
    let staged = image.staged.as_ref().map(|staged| &staged.data);
    for data in image.data.iter().chain(staged) {
        discard(writer, image.id, data, now_us)?;
    }
    writer.delete::<Image>(&image.id)?;
    Ok(())
}

/// Ends an upload whose bytes are not wanted.
pub(super) fn drop_upload(writer: &Writer, volume: Uuid, now_us: u64) -> catalogue::Result<()> {
    let Some(upload) = writer.delete::<Upload>(&volume)? else {
        return Ok(());
    };
    requeue(writer, upload.image, now_us)?;
    discard_volume(writer, upload.image, &upload.backend, upload.volume, now_us)
}

/// Ends the uploads that an earlier run of the daemon left.
///
/// # Errors
/// Those of the catalogue.
pub(super) fn drop_uploads(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    for upload in writer.list::<Upload>(&Query::all())? {
        drop_upload(writer, upload.volume, now_us)?;
    }
    Ok(())
}

struct Discard;

impl Handler for Discard {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let text = |key: &str| job.args.get(key).and_then(Value::as_str);
        let volume = text("volume").and_then(|text| Uuid::parse_str(text).ok());
        let (Some(backend), Some(volume)) = (text("backend"), volume) else {
            return Err(JobError("the job names no volume".to_owned()));
        };
        let store = services.store_of(Some(backend))?;
        Ok(store.delete_volume(VolumeId(volume))?)
    }

    fn finish(
        &self,
        _: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        _: u64,
    ) -> catalogue::Result<()> {
        // The row that named the volume went when the job was queued.
        if let Err(error) = result {
            tracing::warn!(image = job.object, %error, "the bytes of an image could not be removed");
        }
        Ok(())
    }
}
