//! What Block Storage has to know of an image, and whether a volume can be made of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use uuid::Uuid;

use super::content::{Content, Named};
use super::fetch::Remote;
use super::sought::{ambiguous, unknown, unnamed};
use crate::auth::Caller;
use crate::catalogue::{Query, View};
use crate::cinder::encryption;
use crate::cinder::records::VolumeType;
use crate::external::glance;
use crate::external::glance::UserToken;
use crate::fault::Fault;
use crate::glance::records::{Image, Status, find_visible};
use crate::server::Services;

const GIB: u64 = 1 << 30;
/// The property of an image that was made of an encrypted volume.
pub(super) const KEY_PROPERTY: &str = "cinder_encryption_key_id";
/// The property that names the type of volumes that ask for none.
const TYPE_PROPERTY: &str = "cinder_img_volume_type";

/// An image, as far as a volume is concerned.
#[derive(Clone, Debug)]
pub(in crate::cinder) struct Facts {
    pub(super) id: Uuid,
    name: Option<String>,
    pub(super) owner: Option<String>,
    is_active: bool,
    size_bytes: u64,
    virtual_size_bytes: Option<u64>,
    min_disk_gib: i64,
    min_ram_mib: i64,
    pub(super) disk_format: String,
    container_format: String,
    checksum: Option<String>,
    properties: BTreeMap<String, String>,
    pub(super) content: Option<Content>,
}

impl From<Image> for Facts {
    fn from(image: Image) -> Self {
        Self {
            id: image.id,
            name: image.name,
            owner: image.owner,
            is_active: image.status == Status::Active,
            size_bytes: image.size_bytes.unwrap_or(0),
            virtual_size_bytes: image.virtual_size_bytes,
            min_disk_gib: image.min_disk,
            min_ram_mib: image.min_ram,
            disk_format: image.disk_format.unwrap_or_default(),
            container_format: image.container_format.unwrap_or_default(),
            checksum: image.hashes.map(|hashes| hashes.checksum),
            properties: image.properties,
            content: image.data.map(Content::Stored),
        }
    }
}

impl Facts {
    /// An image of the Glance elsewhere, as it told the bearer of a token.
    pub(super) fn elsewhere(image: glance::Image, token: &UserToken) -> Self {
        Self {
            is_active: image.is_active(),
            size_bytes: image.size.unwrap_or(0),
            virtual_size_bytes: image.virtual_size,
            min_disk_gib: image.min_disk_gib(),
            min_ram_mib: image.min_ram_mib(),
            properties: image.properties(),
            content: Remote::of(&image, token).map(Content::Remote),
            id: image.id,
            name: image.name,
            owner: image.owner,
            disk_format: image.disk_format.unwrap_or_default(),
            container_format: image.container_format.unwrap_or_default(),
            checksum: image.checksum,
        }
    }

    /// What its bytes are known by.
    pub(super) fn as_named(&self) -> Named<'_> {
        Named {
            id: self.id,
            owner: self.owner.as_deref(),
            disk_format: &self.disk_format,
        }
    }

    /// The image that a request for a volume names: an id, the end of an address, or a name.
    ///
    /// # Errors
    /// 400 when the caller sees none, 409 when the name fits several.
    pub(in crate::cinder) fn named(
        view: &impl View,
        caller: &Caller,
        reference: &str,
    ) -> Result<Self, Fault> {
        let id = reference.rsplit('/').next().unwrap_or(reference);
        if let Ok(found) = find_visible(view, caller, id) {
            return Ok(found.into());
        }
        let mut ids = Vec::new();
        view.walk(&Query::all(), |image: Image| {
            if image.name.as_deref() == Some(reference) {
                ids.push(image.id);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let found = ids
            .iter()
            .filter_map(|id| find_visible(view, caller, &id.to_string()).ok());
        let mut found = found.take(2);
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only.into()),
            (Some(_), Some(_)) => Err(ambiguous(reference)),
            (None, _) => Err(unnamed()),
        }
    }

    /// The image of an id.
    ///
    /// # Errors
    /// 404 when the caller sees none.
    pub(in crate::cinder) fn of_id(
        view: &impl View,
        caller: &Caller,
        id: &str,
    ) -> Result<Self, Fault> {
        let found = find_visible(view, caller, id);
        found.map(Self::from).map_err(|_| unknown(id))
    }

    /// Whether a volume of a size can be made of it.
    ///
    /// # Errors
    /// 400.
    pub(in crate::cinder) fn check(&self, size_gib: u64) -> Result<(), Fault> {
        let invalid = |why: String| Fault::bad_request(format!("Invalid input received: {why}"));
        if !self.is_active {
            return Err(invalid(format!("Image {} is not active.", self.id)));
        }
        if self.is_foreign() {
            return Err(invalid(format!(
                "Image {} is encrypted with a key that is not here.",
                self.id
            )));
        }
        let needed = self.size_bytes.div_ceil(GIB);
        if needed > size_gib {
            return Err(invalid(format!(
                "Size of specified image {needed}GB is larger than volume size {size_gib}GB."
            )));
        }
        if u64::try_from(self.min_disk_gib).is_ok_and(|least| size_gib < least) {
            return Err(invalid(format!(
                "Volume size {size_gib}GB cannot be smaller than the image minDisk size {}GB.",
                self.min_disk_gib
            )));
        }
        match self.virtual_size_bytes {
            Some(size) => check_fits(size, size_gib).map_err(|why| {
                Fault::bad_request(format!("Image {} is unacceptable: {why}", self.id))
            }),
            None => Ok(()),
        }
    }

    /// The type that volumes get which ask for none.
    pub(in crate::cinder) fn volume_type(&self) -> Option<&str> {
        self.properties.get(TYPE_PROPERTY).map(String::as_str)
    }

    /// Refuses a type that does not encrypt for an image that is encrypted.
    ///
    /// # Errors
    /// 400.
    pub(in crate::cinder) fn check_type(
        &self,
        services: &Services,
        view: &impl View,
        volume_type: &VolumeType,
    ) -> Result<(), Fault> {
        let encrypts = encryption::of_type(view, volume_type.id)?.is_some();
        if encrypts || !self.is_sealed(services) {
            return Ok(());
        }
        Err(Fault::bad_request(format!(
            "Invalid input received: Invalid volume_type provided: {} (the image is encrypted, and the \
             requested type does not encrypt).",
            volume_type.id
        )))
    }

    /// Whether its bytes are encrypted in the store, as those of images made of encrypted volumes.
    pub(in crate::cinder) fn is_sealed(&self, services: &Services) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|content| content.is_sealed(services))
    }

    /// Whether its bytes were encrypted by another Block Storage, which keeps the key.
    fn is_foreign(&self) -> bool {
        matches!(self.content, Some(Content::Remote(_)))
            && self.properties.contains_key(KEY_PROPERTY)
    }

    /// What a volume made of it says of it. The image's own facts win over properties of their names.
    pub(super) fn metadata(&self) -> BTreeMap<String, String> {
        let mut pairs = self.properties.clone();
        // No signature is ever looked at.
        pairs.insert("signature_verified".to_owned(), "False".to_owned());
        for (key, value) in [
            ("image_id", Some(self.id.to_string())),
            (
                "image_name",
                self.name.clone().filter(|name| !name.is_empty()),
            ),
            ("checksum", self.checksum.clone()),
            ("container_format", Some(self.container_format.clone())),
            ("disk_format", Some(self.disk_format.clone())),
            ("min_disk", Some(self.min_disk_gib.to_string())),
            ("min_ram", Some(self.min_ram_mib.to_string())),
            ("size", Some(self.size_bytes.to_string())),
        ] {
            if let Some(value) = value {
                pairs.insert(key.to_owned(), value);
            }
        }
        pairs
    }
}

/// Whether a disk fits a volume; the text is part of an error.
pub(super) fn check_fits(size_bytes: u64, size_gib: u64) -> Result<(), String> {
    let needed = size_bytes.div_ceil(GIB);
    match needed > size_gib {
        true => Err(format!(
            "Image virtual size is {needed}GB and doesn't fit in a volume of size {size_gib}GB."
        )),
        false => Ok(()),
    }
}
