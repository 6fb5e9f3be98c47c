//! What a job that puts an image into a volume was told, and how it is to be done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::content::{Content, Named};
use super::facts::Facts;
use super::masters;
use crate::catalogue::{self, Writer};
use crate::cinder::encryption;
use crate::cinder::records::Volume;
use crate::cinder::work;
use crate::convert::Format;
use crate::jobs::{Job, JobError};
use crate::server::Services;

/// Formats whose bytes are a disk's although nobody says `raw`.
const OTHER_DISKS: [&str; 3] = ["ami", "aki", "ari"];

/// An image that is to be put into a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) image: Uuid,
    pub(super) owner: Option<String>,
    pub(super) disk_format: String,
    /// What the volume will say of the image.
    pub(super) metadata: BTreeMap<String, String>,
    /// The image's bytes.
    pub(super) data: Content,
    pub(super) way: Way,
}

/// How the volume gets the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Way {
    /// No pool was found for the volume.
    Nowhere,
    /// As a clone of a volume of the store in the same pool: the image, or a converted copy.
    Clone(Uuid),
    /// By way of a copy of the disk that is kept, of which the volume is a clone.
    Master(Uuid),
    /// By copying the bytes.
    Copy,
    /// By a conversion into the volume.
    Convert,
}

impl Way {
    /// Whether it takes the same time whatever the size.
    pub(super) fn is_instant(self) -> bool {
        matches!(self, Self::Nowhere | Self::Clone(_))
    }
}

impl Order {
    /// Plans how a volume gets an image that is active.
    pub(super) fn plan(
        services: &Services,
        writer: &Writer,
        volume: &Volume,
        facts: &Facts,
    ) -> catalogue::Result<Option<Self>> {
        let Some(data) = facts.content.clone() else {
            return Ok(None);
        };
        let way = way(services, writer, volume, facts, &data)?;
        Ok(Some(Self {
            image: facts.id,
            owner: facts.owner.clone(),
            disk_format: facts.disk_format.clone(),
            metadata: facts.metadata(),
            data,
            way,
        }))
    }

    /// The job that carries it out: neither image nor copy go before it is done.
    pub(super) fn job(
        &self,
        services: &Services,
        (quick, long): (&str, &str),
        volume: &Volume,
    ) -> Job {
        let kind = if self.way.is_instant() { quick } else { long };
        let (id, project) = (volume.id.to_string(), Some(volume.project_id.as_str()));
        let args = serde_json::json!(self);
        let job = Job::new(kind, &id, project, args, services.now_us()).reading(self.image);
        if !self.way.is_instant() {
            self.data.lend(services, job.id);
        }
        match self.way {
            Way::Clone(master) if Some(master) != self.data.volume() => job.reading(master),
            Way::Master(master) => job.owning(master),
            _ => job,
        }
    }

    /// What the image's bytes are known by.
    pub(super) fn as_named(&self) -> Named<'_> {
        Named {
            id: self.image,
            owner: self.owner.as_deref(),
            disk_format: &self.disk_format,
        }
    }

    /// Whether the image's bytes are a disk's.
    pub(super) fn is_disk(&self) -> bool {
        is_disk(&self.disk_format)
    }

    /// What a job was told.
    pub(super) fn of(job: &Job) -> Result<Self, JobError> {
        work::args(job)
    }
}

fn is_disk(format: &str) -> bool {
    OTHER_DISKS.contains(&format) || Format::of_disk_format(format).is_some_and(Format::is_plain)
}

fn way(
    services: &Services,
    writer: &Writer,
    volume: &Volume,
    facts: &Facts,
    content: &Content,
) -> catalogue::Result<Way> {
    let named = volume.backend.as_deref();
    let Some(backend) = named.and_then(|name| services.backends().get(name)) else {
        return Ok(Way::Nowhere);
    };
    let encrypts = encryption::of_type(writer, volume.volume_type_id)?.is_some();
    let is_disk = is_disk(&facts.disk_format);
    let moved = if is_disk { Way::Copy } else { Way::Convert };
    if encrypts || facts.is_sealed(services) {
        return Ok(moved);
    }
    let near = content.volume_in(services, backend);
    if let Some(near) = near.filter(|_| is_disk) {
        return Ok(Way::Clone(near));
    }
    let Some(kept) = content.kept_as(facts.as_named(), is_disk, backend.name()) else {
        return Ok(moved);
    };
    Ok(match masters::use_one(writer, kept, services.now_us())? {
        true => Way::Clone(kept),
        false => Way::Master(kept),
    })
}
