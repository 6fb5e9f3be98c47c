//! The bytes of an image: in the store, as those of the built-in Image are, or at the Glance elsewhere.
//!
//! What a volume can be made of without moving a byte, and how the bytes are had where they have to be
//! moved, differs between the two; all else of images does not ask where they are.

use serde::{Deserialize, Serialize};
use store::{Encryption, Store, VolumeId};
use uuid::Uuid;

use super::fetch::{self, Remote};
use super::fill::Target;
use super::masters;
use crate::catalogue::{self, View, Writer};
use crate::cinder::moving;
use crate::convert::Stored;
use crate::glance;
use crate::glance::records::{Image, ImageData};
use crate::jobs::{Job, JobError};
use crate::server::{Backend, Services};

/// Where the bytes are. Both kinds have fields that the other has not, so that jobs tell them apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    /// A volume of the store.
    Stored(ImageData),
    /// At the Glance elsewhere.
    Remote(Remote),
}

/// An image, as far as its bytes are concerned.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: Uuid,
    pub(super) owner: Option<&'a str>,
    pub(super) disk_format: &'a str,
}

impl Content {
    /// The volume of a backend's pool that holds the bytes.
    pub(super) fn volume_in(&self, services: &Services, backend: &Backend) -> Option<Uuid> {
        match self {
            Self::Stored(data) => {
                let own = services.backends().get(&data.backend);
                own.filter(|own| own.name() == backend.name())
                    .map(|_| data.volume)
            }
            Self::Remote(_) => None,
        }
    }

    /// The volume that holds the bytes, in whatever pool.
    pub(super) fn volume(&self) -> Option<Uuid> {
        match self {
            Self::Stored(data) => Some(data.volume),
            Self::Remote(_) => None,
        }
    }

    /// The id of the copy of the disk that is kept in a pool for the next volume; `None` where none is
    /// worth it, or nothing vouches for its being the same the next time.
    pub(super) fn kept_as(&self, image: Named<'_>, is_disk: bool, backend: &str) -> Option<Uuid> {
        match self {
            Self::Stored(_) => (!is_disk).then(|| masters::id_of(image.id, backend)),
            Self::Remote(remote) => remote.kept_as(image, backend),
        }
    }

    /// Whether the image is still there, as far as that is heard of here.
    pub(super) fn lives(&self, writer: &Writer, image: Uuid) -> catalogue::Result<bool> {
        match self {
            Self::Stored(_) => Ok(writer.get::<Image>(&image)?.is_some()),
            // Whether it is, is asked whenever somebody wants it.
            Self::Remote(_) => Ok(true),
        }
    }

    /// Whether the bytes are encrypted in the store.
    pub(super) fn is_sealed(&self, services: &Services) -> bool {
        let Self::Stored(data) = self else {
            return false;
        };
        let store = services.store_of(Some(&data.backend)).ok();
        let info = store.and_then(|store| store.volume_info(VolumeId(data.volume)).ok());
        info.is_some_and(|info| info.encryption != Encryption::None)
    }

    /// Lets a job ask for the bytes as the caller would.
    pub(super) fn lend(&self, services: &Services, job: Uuid) {
        if let Self::Remote(remote) = self {
            remote.lend(services, job);
        }
    }

    /// Copies the bytes, which are a disk's, into a volume that may hold a part of them already.
    pub(super) fn copy(
        &self,
        services: &Services,
        job: &Job,
        image: Named<'_>,
        target: &Target<'_>,
    ) -> Result<(), JobError> {
        let (store, id, spec) = (target.store, target.id, target.spec);
        match self {
            Self::Stored(data) => {
                let source = glance::data::volume_of(services, data)?;
                moving::filled(services, job, store, id, &source, spec)
            }
            Self::Remote(remote) => {
                let volume = moving::fresh(store, id, spec)?;
                fetch::disk(services, job, (image, remote), &volume)
            }
        }
    }

    /// Does something with the bytes as they are in a store; in `store` where they have to be brought
    /// there for it.
    pub(super) fn with_bytes(
        &self,
        services: &Services,
        job: &Job,
        (image, store): (Named<'_>, &Store),
        work: impl FnOnce(Stored) -> Result<(), JobError>,
    ) -> Result<(), JobError> {
        match self {
            Self::Stored(data) => work(Stored {
                volume: glance::data::volume_of(services, data)?,
                len: data.size_bytes,
            }),
            Self::Remote(remote) => fetch::beside(services, job, (image, remote), store, work),
        }
    }

    /// How many bytes there are.
    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Stored(data) => data.size_bytes,
            Self::Remote(remote) => remote.size_bytes,
        }
    }
}
