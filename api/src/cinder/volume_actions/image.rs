//! Actions that have to do with images: what is known of a volume's image, and images made from or
//! put into a volume.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, Done};
use crate::auth::Caller;
use crate::cinder::images::{self, UploadRequest};
use crate::cinder::records::Volume;
use crate::cinder::validate;
use crate::fault::Fault;
use crate::glance::records::Visibility;
use crate::microversion::Microversion;
use crate::policy::Rule;

/// Forms that an upload can ask for.
pub(in crate::cinder) const DISK_FORMATS: [&str; 7] =
    ["raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"];

/// Whether a caller may have an image made.
pub(super) fn check_upload(
    caller: &Caller,
    volume: &Volume,
    request: &UploadRequest,
) -> Result<(), Fault> {
    caller.check(Rule::VolumeActionsUploadImage, volume)?;
    match request.visibility {
        Some(Visibility::Public) => caller.check(Rule::VolumeActionsUploadPublic, volume),
        _ => Ok(()),
    }
}

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

    pub(super) fn reimage(&self, volume: Volume) -> Result<Done, Fault> {
        let map = self.map()?;
        let image = validate::text(map, "image_id")?.unwrap_or_default();
        if Uuid::parse_str(&image).is_err() {
            let given = map.get("image_id").unwrap_or(&Value::Null);
            let reason = format!("{} is not a 'uuid'", validate::repr(given));
            return Err(validate::invalid("image_id", given, &reason));
        }
        let reserved = validate::flag(map, "reimage_reserved")?.unwrap_or(false);
        self.check(Rule::VolumeReimage, &volume)?;
        if reserved {
            self.check(Rule::VolumeReimageReserved, &volume)?;
        }
        let sought = self.ahead.take().sought;
        let facts = sought.find(self.writer, self.caller, &image)?;
        images::reimage(self.services, self.writer, volume, &facts, reserved)?;
        Ok(Done::default())
    }

    pub(super) fn upload_image(&self, volume: Volume) -> Result<Done, Fault> {
        let request = upload_request(self.args, self.version)?;
        check_upload(self.caller, &volume, &request)?;
        let (services, writer) = (self.services, self.writer);
        let asked = (&request, self.ahead.take().destination);
        let told = images::upload(services, writer, self.caller, volume, asked)?;
        Ok(Done {
            accepted: true,
            ..answer(told)
        })
    }
}

/// What an upload asks for.
pub(super) fn upload_request(args: &Value, version: Microversion) -> Result<UploadRequest, Fault> {
    let map = super::map_of(args)?;
    let name = validate::text(map, "image_name")?.ok_or_else(|| {
        let reason = "'image_name' is a required property";
        validate::invalid("os-volume_upload_image", args, reason)
    })?;
    let given = map.get("disk_format").filter(|given| !given.is_null());
    let format = given.map_or(Some("raw"), Value::as_str);
    let format = format.filter(|format| DISK_FORMATS.contains(format));
    let disk_format = format.ok_or_else(|| {
        let names: Vec<String> = DISK_FORMATS.iter().map(|one| format!("'{one}'")).collect();
        let given = given.unwrap_or(&Value::Null);
        let shown = validate::repr(given);
        let reason = format!("{shown} is not one of [{}]", names.join(", "));
        validate::invalid("disk_format", given, &reason)
    })?;
    let container_format = validate::text(map, "container_format")?;
    let since_1 = version.has(1);
    let visibility = map.get("visibility").and_then(Value::as_str);
    let visibility = visibility.map_or(Some(Visibility::Private), Visibility::parse);
    Ok(UploadRequest {
        name,
        disk_format: disk_format.to_owned(),
        container_format: container_format.unwrap_or_else(|| "bare".to_owned()),
        force: validate::flag(map, "force")?.unwrap_or(false),
        visibility: visibility.filter(|_| since_1),
        protected: since_1 && validate::flag(map, "protected")?.unwrap_or(false),
    })
}

fn answer(body: Value) -> Done {
    Done {
        answer: Some(body),
        ..Done::default()
    }
}
