//! The jobs that make an image of a volume: a clone, or a conversion of one.
//!
//! The image of an encrypted volume stays encrypted in the store, with the volume's key, which lives as
//! long as anything in its domain.

use serde::{Deserialize, Serialize};
use store::{Encryption, VolumeId, VolumeSpec};
use uuid::Uuid;

use crate::catalogue::{self, View, Writer};
use crate::cinder::messages::{Action, Detail, Failure, Resource};
use crate::cinder::moving;
use crate::cinder::records::Volume;
use crate::cinder::work::{self, Outcome};
use crate::convert::{Converter, Format};
use crate::glance;
use crate::glance::records::{Image, ImageData};
use crate::jobs::{Handler, Job, JobError, Progress, Registry};
use crate::server::Services;

/// The disk as it is.
pub(super) const UPLOAD_RAW: &str = "volume.upload";
/// The disk in another format.
pub(super) const UPLOAD_AS: &str = "volume.upload_converted";

pub(super) fn register(registry: &mut Registry) {
    registry.add(UPLOAD_RAW, Uploading { is_long: false });
    registry.add(UPLOAD_AS, Uploading { is_long: true });
}

/// What a job was told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) image: Uuid,
    /// Where the bytes go; without their length if that is still to be found.
    pub(super) data: ImageData,
    pub(super) disk_format: String,
}

struct Uploading {
    is_long: bool,
}

impl Handler for Uploading {
    fn is_long(&self) -> bool {
        self.is_long
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let upload = work::args::<Upload>(job)?;
        let volume: Volume = work::row(services, job)?;
        let id = VolumeId(volume.id);
        let store = services.store_of(volume.backend.as_deref())?;
        let found = services
            .catalogue()
            .read(|reader| reader.get::<Image>(&upload.image))?;
        let image = found.ok_or_else(|| JobError("the image is gone".to_owned()))?;
        let source = store.volume_info(id)?;
        if !self.is_long {
            let mut spec = glance::data::spec(services, image.owner.as_deref(), &upload.data);
            if source.encryption != Encryption::None {
                spec.domain = source.domain;
                spec.encryption = source.encryption;
            }
            return Ok(store.clone_volume(VolumeId(upload.data.volume), id, spec)?);
        }
        of_the_moment(services, job, &volume, |moment| {
            let made = convert(services, job, &upload, &image, moment)?;
            note_size(services, upload.image, made)
        })
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Outcome<'_>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        settle_volume(writer, job, result, now_us)?;
        let Ok(mut upload) = work::args::<Upload>(job) else {
            return Ok(());
        };
        let image = writer.get::<Image>(&upload.image)?;
        if result.is_err() {
            // As the real service, which takes an image away that it could not fill.
            if let Some(image) = &image {
                glance::data::forget(writer, image, now_us)?;
            }
            return glance::data::discard(writer, upload.image, &upload.data, now_us);
        }
        if self.is_long {
            upload.data.size_bytes = image.and_then(|image| image.size_bytes).unwrap_or(0);
        }
        glance::data::adopt(writer, upload.image, upload.data, now_us).map(drop)
    }
}

/// Does something with what a volume, perhaps one in use, holds at one moment.
pub(super) fn of_the_moment(
    services: &Services,
    job: &Job,
    volume: &Volume,
    work: impl FnOnce(VolumeId) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let (id, moment) = (
        VolumeId(volume.id),
        VolumeId(Uuid::new_v5(&job.id, b"moment")),
    );
    let store = services.store_of(volume.backend.as_deref())?;
    let spec = VolumeSpec {
        size_bytes: store.volume_info(id)?.size_bytes,
        ..work::spec_of(services, volume)?
    };
    store.clone_volume(moment, id, spec)?;
    let worked = work(moment);
    // A job that will run again goes on with the same content.
    if !services.is_stopping() {
        store.delete_volume(moment)?;
    }
    worked
}

/// Gives a volume the status back that it had before it became an image, or did not.
pub(super) fn settle_volume(
    writer: &Writer,
    job: &Job,
    result: Outcome<'_>,
    now_us: u64,
) -> catalogue::Result<()> {
    let failure = Failure {
        resource: Resource::Volume,
        action: Action::CopyVolumeToImage,
        detail: Detail::UploadFailed,
    };
    work::tell(writer, job, result, failure, now_us)?;
    work::settle::<Volume>(writer, job, now_us, |volume| {
        let before = volume.previous_status.take();
        if volume.status == "uploading" {
            volume.status = before.unwrap_or_else(|| "available".to_owned());
        }
    })
}

/// Writes a disk as an image into what `target_of` makes when told the image's length, which it answers.
pub(super) fn converted(
    services: &Services,
    job: &Job,
    disk_format: &str,
    disk: store::Volume,
    target_of: impl FnOnce(u64) -> Result<store::Volume, JobError>,
) -> Result<u64, JobError> {
    let format = Format::of_disk_format(disk_format);
    let format = format
        .ok_or_else(|| JobError(format!("no images of format {disk_format} are made here")))?;
    let progress = Progress::new(services, job);
    let watch = |done, all| progress.report(done, all);
    let converter = Converter::new(&services.config().scratch);
    Ok(converter.from_volume(disk, format, target_of, &watch)?)
}

/// Writes the image, and answers its length and that of its disk.
fn convert(
    services: &Services,
    job: &Job,
    upload: &Upload,
    image: &Image,
    moment: VolumeId,
) -> Result<(u64, u64), JobError> {
    let store = services.store_of(Some(&upload.data.backend))?;
    let volume = store.volume(moment)?;
    let disk_bytes = volume.size_bytes();
    let target_of = |len| {
        let mut place = upload.data.clone();
        place.size_bytes = len;
        let spec = glance::data::spec(services, image.owner.as_deref(), &place);
        Ok(moving::fresh(store, VolumeId(place.volume), spec)?)
    };
    let len = converted(services, job, &upload.disk_format, volume, target_of)?;
    Ok((len, disk_bytes))
}

/// Writes down what is known of the image now, for the transaction that closes the job.
fn note_size(
    services: &Services,
    image: Uuid,
    (len, disk_bytes): (u64, u64),
) -> Result<(), JobError> {
    services.catalogue().write(|writer| {
        if let Some(mut row) = writer.get::<Image>(&image)? {
            row.size_bytes = Some(len);
            row.virtual_size_bytes = Some(disk_bytes);
            writer.put(&row)?;
        }
        Ok::<_, catalogue::Error>(())
    })?;
    Ok(())
}
