//! Volumes made of images, and images made of volumes.
//!
//! An image's bytes are a volume of the store, or at a Glance elsewhere ([`content`]). Where they are the disk, lie in the pool of the new
//! volume and neither is encrypted, the volume is a clone of them, in constant time. Everything else is a
//! job with progress: copying into another pool or into an encrypted volume, and conversion. What a
//! conversion gave is kept per pool ([`masters`]), so that the next volume of the image is a clone again.
//!
//! Jobs may run more than once: clones are idempotent, copies go on where they were, conversions start
//! over.

mod content;
mod create;
mod destination;
mod facts;
mod fetch;
mod fill;
mod masters;
mod order;
mod reimage;
mod sending;
mod sought;
#[cfg(test)]
mod tests;
mod upload;
mod uploading;

pub(super) use create::create_job;
pub(super) use destination::Destination;
pub(super) use facts::Facts;
pub(crate) use masters::forget;
pub(super) use reimage::reimage;
pub(super) use sought::Sought;
pub(super) use upload::{Request as UploadRequest, upload};

use crate::jobs::Registry;

/// Registers the handlers.
pub(super) fn register(registry: &mut Registry) {
    create::register(registry);
    reimage::register(registry);
    sending::register(registry);
    uploading::register(registry);
    masters::register(registry);
}
