//! Whether data is what an image says it is.
//!
//! As the real service does, only what has no container around it is looked at, and raw data may be
//! anything: nothing in the daemon ever takes it for something else.

use super::data;
use super::records::{Image, ImageData};
use crate::convert::{Stored, inspect};
use crate::fault::{Fault, FaultKind};
use crate::server::Services;

/// What an image says of its data.
pub(super) struct Claim {
    disk_format: Option<String>,
    container_format: Option<String>,
}

impl Claim {
    pub(super) fn of(image: &Image) -> Self {
        Self {
            disk_format: image.disk_format.clone(),
            container_format: image.container_format.clone(),
        }
    }

    /// The length of the disk that complete data holds, where the format tells. 415 for data of
    /// another format, and for what would have its reader open something else.
    pub(super) fn check(
        &self,
        services: &Services,
        data: &ImageData,
    ) -> Result<Option<u64>, Fault> {
        let is_bare = self.container_format.as_deref() == Some("bare");
        let Some(format) = self.disk_format.as_deref().filter(|_| is_bare) else {
            return Ok(None);
        };
        if format == "raw" {
            return Ok(Some(data.size_bytes).filter(|size| *size > 0));
        }
        let bytes = Stored {
            volume: data::volume_of(services, data)?,
            len: data.size_bytes,
        };
        match inspect(&bytes, format) {
            Ok(found) => Ok(found.map(|found| found.virtual_size_bytes)),
            Err(refusal) => Err(Fault::new(FaultKind::BadMediaType, refusal.to_string())),
        }
    }
}
