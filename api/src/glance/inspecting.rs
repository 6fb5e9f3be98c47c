//! Whether data is what an image says it is.

use super::records::{Image, ImageData};
use crate::fault::Fault;
use crate::server::Services;

/// What an image says of its data.
pub(super) struct Claim {
    disk_format: Option<String>,
}

impl Claim {
    pub(super) fn of(image: &Image) -> Self {
        Self {
            disk_format: image.disk_format.clone(),
        }
    }

    /// The length of the disk that the data holds, where the format tells.
    pub(super) fn check(
        &self,
        _services: &Services,
        data: &ImageData,
    ) -> Result<Option<u64>, Fault> {
        let is_disk = self.disk_format.as_deref() == Some("raw");
        Ok(is_disk.then_some(data.size_bytes).filter(|size| *size > 0))
    }
}
