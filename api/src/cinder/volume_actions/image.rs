//! Actions that have to do with images: what is known of a volume's image, and images made from or
//! put into a volume, for which there has to be a service that keeps images.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, Done};
use crate::cinder::records::Volume;
use crate::cinder::validate;
use crate::fault::Fault;
use crate::policy::Rule;

/// Forms that an upload can ask for.
pub(in crate::cinder) const DISK_FORMATS: [&str; 7] =
    ["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"];

impl Context<'_> {
    pub(super) fn show_image_metadata(&self, volume: &Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeGetVolumeMetadata, volume)?;
        Ok(answer(json!({"metadata": volume.image_metadata})))
    }

    /// Adds pairs; those that are there stay.
    pub(super) fn set_image_metadata(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeImageMetadataSet, &volume)?;
        let pairs = validate::metadata(self.map()?, "metadata")?.ok_or_else(|| {
            let reason = "'metadata' is a required property";
            validate::invalid("os-set_image_metadata", self.args, reason)
        })?;
        volume.image_metadata.extend(pairs);
        let shown = json!({"metadata": volume.image_metadata});
        self.save(volume)?;
        Ok(answer(shown))
    }

    pub(super) fn unset_image_metadata(&self, mut volume: Volume) -> Result<Done, Fault> {
        self.check(Rule::VolumeImageMetadataRemove, &volume)?;
        let key = validate::text(self.map()?, "key")?.ok_or_else(|| {
            let reason = "'key' is a required property";
            validate::invalid("os-unset_image_metadata", self.args, reason)
        })?;
        if volume.image_metadata.remove(&key).is_none() {
            return Err(Fault::not_found(format!(
                "Glance metadata for volume/snapshot {} cannot be found.",
                volume.id
            )));
        }
        self.save(volume)?;
        Ok(Done {
            plain: true,
            ..Done::default()
        })
    }

    /// There is no service that has images, so none can be found.
    pub(super) fn reimage(&self, volume: &Volume) -> Result<Done, Fault> {
        let map = self.map()?;
        let image = validate::text(map, "image_id")?.unwrap_or_default();
        if Uuid::parse_str(&image).is_err() {
            let given = map.get("image_id").unwrap_or(&Value::Null);
            let reason = format!("{} is not a 'uuid'", validate::repr(given));
            return Err(validate::invalid("image_id", given, &reason));
        }
        let reserved = validate::flag(map, "reimage_reserved")?.unwrap_or(false);
        self.check(Rule::VolumeReimage, volume)?;
        if reserved {
            self.check(Rule::VolumeReimageReserved, volume)?;
        }
        Err(Fault::not_found(format!(
            "Image {image} could not be found."
        )))
    }

    /// Refuses as the real service does when it reaches no service for images.
    pub(super) fn upload_image(&self, volume: &Volume) -> Result<Done, Fault> {
        let map = self.map()?;
        if validate::text(map, "image_name")?.is_none() {
            let reason = "'image_name' is a required property";
            return Err(validate::invalid(
                "os-volume_upload_image",
                self.args,
                reason,
            ));
        }
        if let Some(format) = map.get("disk_format").filter(|given| !given.is_null())
            && !DISK_FORMATS.iter().any(|known| format == known)
        {
            let names: Vec<String> = DISK_FORMATS.iter().map(|one| format!("'{one}'")).collect();
            let shown = validate::repr(format);
            let reason = format!("{shown} is not one of [{}]", names.join(", "));
            return Err(validate::invalid("disk_format", format, &reason));
        }
        validate::flag(map, "force")?;
        self.check(Rule::VolumeActionsUploadImage, volume)?;
        if self.version.has(1) && map.get("visibility").is_some_and(|told| told == "public") {
            self.check(Rule::VolumeActionsUploadPublic, volume)?;
        }
        if !["available", "in-use"].contains(&volume.status.as_str()) {
            return Err(Fault::bad_request(format!(
                "Invalid volume: Volume {} status must be available or in-use, but current status is: {}.",
                volume.id, volume.status
            )));
        }
        Err(Fault::bad_request(
            "Connection to glance failed: no service for images is configured",
        ))
    }
}

fn answer(body: Value) -> Done {
    Done {
        answer: Some(body),
        ..Done::default()
    }
}
