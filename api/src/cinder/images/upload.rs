//! `os-volume_upload_image`: an image made of a volume.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::destination::Destination;
use super::facts::KEY_PROPERTY;
use super::sending::SEND;
use super::uploading::{UPLOAD_AS, UPLOAD_RAW, Upload};
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::cinder::encryption;
use crate::cinder::records::{Volume, VolumeType};
use crate::clock::volume_time;
use crate::external::glance::Draft;
use crate::fault::Fault;
use crate::glance::records::{Image, ImageData, Status, Visibility};
use crate::jobs::{self, Job};
use crate::server::Services;

const GIB: u64 = 1 << 30;
/// What images say of themselves otherwise, and never as properties.
const CORE: [&str; 9] = [
    "checksum",
    "container_format",
    "disk_format",
    "image_name",
    "image_id",
    "min_disk",
    "min_ram",
    "name",
    "size",
];
/// Beginnings of properties that describe one image, and not what is made of it.
const OWN: [&str; 3] = ["os_glance", "img_signature", "signature_verified"];

/// What is asked for.
pub(in crate::cinder) struct Request {
    pub(in crate::cinder) name: String,
    pub(in crate::cinder) disk_format: String,
    pub(in crate::cinder) container_format: String,
    /// Whether a volume in use is taken too.
    pub(in crate::cinder) force: bool,
    /// Since 3.1.
    pub(in crate::cinder) visibility: Option<Visibility>,
    pub(in crate::cinder) protected: bool,
}

/// What makes a volume fit to become an image.
pub(super) struct Source {
    backend: String,
    encrypts: bool,
}

/// Checks that a volume can become the image that is asked for.
pub(super) fn check(view: &impl View, volume: &Volume, request: &Request) -> Result<Source, Fault> {
    let is_plain = request.disk_format == "raw" && request.container_format == "bare";
    let encrypts = encryption::of_type(view, volume.volume_type_id)?.is_some();
    if encrypts && !is_plain {
        return Err(Fault::bad_request(
            "An encrypted volume uploaded as an image must use 'raw' disk_format and 'bare' container_format, which are the defaults for these options.",
        ));
    }
    let backend = check_status(volume, request.force)?;
    Ok(Source { backend, encrypts })
}

/// Begins to make an image of a volume, and answers what the caller is told.
pub(in crate::cinder) fn upload(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut volume: Volume,
    (request, destination): (&Request, Destination),
) -> Result<Value, Fault> {
    let source = check(writer, &volume, request)?;
    let now_us = services.now_us();
    let made = match destination {
        Destination::Here => here(writer, caller, &volume, (request, &source), now_us)?,
        Destination::Elsewhere(made) => {
            let (id, project) = (volume.id.to_string(), Some(volume.project_id.as_str()));
            let job = Job::new(SEND, &id, project, made.order(), now_us);
            made.lend(job.id);
            jobs::enqueue(writer, job)?;
            made.told()
        }
    };
    let shown_at = volume.updated_us.or(Some(now_us));
    let before = std::mem::replace(&mut volume.status, "uploading".to_owned());
    volume.previous_status = Some(before);
    volume.updated_us = Some(now_us);
    writer.put(&volume)?;
    let volume_type = writer.get::<VolumeType>(&volume.volume_type_id)?;
    Ok(json!({"os-volume_upload_image": {
        "id": volume.id,
        "updated_at": shown_at.map(volume_time),
        "status": volume.status,
        "display_description": volume.description,
        "size": volume.size_gib,
        "volume_type": volume_type.as_ref().map(type_view),
        "image_id": made.id,
        "container_format": request.container_format,
        "disk_format": request.disk_format,
        "image_name": request.name,
        "protected": made.protected,
        "visibility": made.visibility,
    }}))
}

/// An image that has begun to be, as far as the answer tells of it.
pub(super) struct Begun {
    pub(super) id: Uuid,
    pub(super) protected: bool,
    pub(super) visibility: String,
}

/// Begins an image of the built-in Image.
fn here(
    writer: &Writer,
    caller: &Caller,
    volume: &Volume,
    (request, source): (&Request, &Source),
    now_us: u64,
) -> Result<Begun, Fault> {
    let is_raw = request.disk_format == "raw";
    let image = image_of(caller, volume, request, source.encrypts, now_us);
    let size_bytes = if is_raw { volume.size_gib * GIB } else { 0 };
    let upload = Upload {
        image: image.id,
        data: ImageData::fresh(image.id, &source.backend, size_bytes),
        disk_format: request.disk_format.clone(),
    };
    let kind = if is_raw { UPLOAD_RAW } else { UPLOAD_AS };
    let (id, project) = (volume.id.to_string(), Some(volume.project_id.as_str()));
    let job = Job::new(kind, &id, project, json!(upload), now_us).owning(image.id);
    jobs::enqueue(writer, job)?;
    writer.insert(&image)?;
    Ok(Begun {
        id: image.id,
        protected: image.protected,
        visibility: image.visibility.word().to_owned(),
    })
}

/// What an image elsewhere is told to be, of a volume that can become one.
pub(super) fn draft(view: &impl View, volume: &Volume, request: &Request) -> Result<Draft, Fault> {
    if check(view, volume, request)?.encrypts {
        // What is read of it is plain, and would lie so in a storage that is not this one.
        return Err(Fault::bad_request(format!(
            "Invalid volume: Volume {} is encrypted, and an image elsewhere would not be.",
            volume.id
        )));
    }
    Ok(Draft {
        name: request.name.clone(),
        disk_format: request.disk_format.clone(),
        container_format: request.container_format.clone(),
        visibility: request.visibility.map(Visibility::word),
        protected: request.protected,
        properties: properties(volume),
    })
}

/// What an image of a volume takes over from the image that the volume was made of.
fn properties(volume: &Volume) -> BTreeMap<String, String> {
    let is_custom = |key: &str| !CORE.contains(&key) && !OWN.iter().any(|own| key.starts_with(own));
    let pairs = volume.image_metadata.iter();
    pairs
        .filter(|(key, _)| is_custom(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The backend of a volume that is in a state to be read.
fn check_status(volume: &Volume, force: bool) -> Result<String, Fault> {
    let (states, named): (&[&str], _) = match force {
        true => (&["available", "in-use"], "available or in-use"),
        false => (&["available"], "available"),
    };
    let backend = volume.backend.clone();
    let backend = backend.filter(|_| states.contains(&volume.status.as_str()));
    backend.ok_or_else(|| {
        Fault::bad_request(format!(
            "Invalid volume: Volume {} status must be {named}",
            volume.id
        ))
    })
}

fn image_of(
    caller: &Caller,
    volume: &Volume,
    request: &Request,
    encrypts: bool,
    now_us: u64,
) -> Image {
    let mut image = Image::new(caller.project_id(), now_us);
    image.name = Some(request.name.clone());
    image.status = Status::Saving;
    image.disk_format = Some(request.disk_format.clone());
    image.container_format = Some(request.container_format.clone());
    image.visibility = request.visibility.unwrap_or(Visibility::Shared);
    image.protected = request.protected;
    image.virtual_size_bytes = (request.disk_format == "raw").then_some(volume.size_gib * GIB);
    image.properties = properties(volume);
    if encrypts {
        let key = encryption::key_id(volume.id).to_string();
        image.properties.insert(KEY_PROPERTY.to_owned(), key);
        let policy = "cinder_encryption_key_deletion_policy".to_owned();
        image
            .properties
            .insert(policy, "on_image_deletion".to_owned());
    }
    image
}

/// A type as this answer shows it.
fn type_view(found: &VolumeType) -> Value {
    json!({
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "is_public": found.is_public,
        "extra_specs": found.extra_specs,
        "qos_specs_id": found.qos_specs_id,
        "created_at": volume_time(found.created_us),
        "updated_at": found.updated_us.map(volume_time),
        "deleted": false,
        "deleted_at": null,
    })
}
