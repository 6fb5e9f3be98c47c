//! The bytes of an image at the Glance elsewhere, on their way into the store.
//!
//! They are counted and added up as they come: what is not what Glance said of the image is no image.
//! A job that runs again begins anew.

use md5::{Digest, Md5};
use ring::digest;
use serde::{Deserialize, Serialize};
use store::{Durability, Store, Volume, VolumeId};
use uuid::Uuid;

use super::content::Named;
use crate::cinder::moving;
use crate::convert::{self, Stored, inspect};
use crate::external::glance::{Download, Glance, Image, UserToken};
use crate::glance::data;
use crate::glance::runs;
use crate::jobs::{Job, JobError, Progress};
use crate::server::Services;

/// Volumes are whole sectors.
const SECTOR_BYTES: usize = 512;

/// What Glance says of an image's bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remote {
    pub(super) size_bytes: u64,
    /// MD5, in hexadecimal digits.
    md5: Option<String>,
    /// Name of another algorithm, and what it gives.
    strong: Option<(String, String)>,
    /// Of the caller who asked for the image; it is in no job.
    #[serde(skip)]
    token: Option<UserToken>,
}

impl Remote {
    /// The bytes of an image that has some, for the bearer of a token.
    pub(super) fn of(image: &Image, token: &UserToken) -> Option<Self> {
        Some(Self {
            token: Some(token.clone()),
            ..Self::told(image)?
        })
    }

    /// The bytes of an image that has some.
    pub(super) fn told(image: &Image) -> Option<Self> {
        let strong = image.os_hash_algo.clone().zip(image.os_hash_value.clone());
        Some(Self {
            size_bytes: image.size.filter(|_| image.is_active())?,
            md5: image.checksum.clone(),
            strong: strong.filter(|(algorithm, _)| algorithm_of(algorithm).is_some()),
            token: None,
        })
    }

    pub(super) fn lend(&self, services: &Services, job: Uuid) {
        if let (Some(glance), Some(token)) = (&services.config().glance, &self.token) {
            glance.lend(job, token);
        }
    }

    /// The id of a copy. An id of Glance's may mean another image once the first was purged, so that
    /// the copy is named by what a strong sum says of the bytes, and by what they are taken for.
    pub(super) fn kept_as(&self, image: Named<'_>, backend: &str) -> Option<Uuid> {
        let (algorithm, sum) = self.strong.as_ref()?;
        let (format, size) = (image.disk_format, self.size_bytes);
        let name = format!("{format} {size} {algorithm} {sum} for {backend}");
        Some(Uuid::new_v5(&image.id, name.as_bytes()))
    }
}

/// An algorithm with its name at Glance.
type Algorithm = (&'static str, &'static digest::Algorithm);

fn algorithm_of(name: &str) -> Option<Algorithm> {
    match name {
        "sha256" => Some(("sha256", &digest::SHA256)),
        "sha384" => Some(("sha384", &digest::SHA384)),
        "sha512" => Some(("sha512", &digest::SHA512)),
        _ => None,
    }
}

/// What bytes add up to so far.
pub(super) struct Sums {
    count: u64,
    md5: Md5,
    strong: Option<(&'static str, digest::Context)>,
}

impl Sums {
    /// Of bytes that Glance says something of.
    fn of(remote: &Remote) -> Self {
        let strong = remote.strong.as_ref();
        Self::with(strong.and_then(|(algorithm, _)| algorithm_of(algorithm)))
    }

    /// Of bytes that Glance will say something of: most use this algorithm.
    pub(super) fn sha512() -> Self {
        Self::with(algorithm_of("sha512"))
    }

    fn with(strong: Option<Algorithm>) -> Self {
        Self {
            count: 0,
            md5: Md5::new(),
            strong: strong.map(|(name, kind)| (name, digest::Context::new(kind))),
        }
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        self.count += piece.len() as u64;
        self.md5.update(piece);
        if let Some((_, strong)) = &mut self.strong {
            strong.update(piece);
        }
    }

    /// Whether they are all the bytes of an image.
    pub(super) fn check(self, remote: &Remote) -> Result<(), JobError> {
        let (count, size) = (self.count, remote.size_bytes);
        if count != size {
            let message = format!("the image has {size} bytes, and not {count}");
            return Err(JobError(message));
        }
        let md5 = remote.md5.as_ref();
        let md5_fits = md5.is_none_or(|sum| is_sum(sum, &self.md5.finalize()));
        let strong_fits = match (&remote.strong, self.strong) {
            (Some((told, sum)), Some((name, found))) if told == name => {
                is_sum(sum, found.finish().as_ref())
            }
            _ => true,
        };
        match md5_fits && strong_fits {
            true => Ok(()),
            false => Err(JobError(
                "the image is not what its checksum says".to_owned(),
            )),
        }
    }
}

fn is_sum(told: &str, found: &[u8]) -> bool {
    let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
    told.eq_ignore_ascii_case(&found)
}

/// The Glance that jobs were queued for.
pub(super) fn glance_of(services: &Services) -> Result<&Glance, JobError> {
    let glance = services.config().glance.as_ref();
    glance.ok_or_else(|| JobError("the image is at a Glance, and there is none now".to_owned()))
}

/// Brings the bytes of an image into a volume that is large enough; durable on return.
fn into(
    services: &Services,
    job: &Job,
    (image, remote): (Uuid, &Remote),
    volume: &Volume,
) -> Result<(), JobError> {
    if volume.size_bytes() < remote.size_bytes {
        return Err(JobError("the image is larger than the volume".to_owned()));
    }
    // Zeroes are not written, and what came of an attempt before this one nobody has vouched for.
    volume.trim(0, volume.size_bytes(), Durability::Buffered)?;
    let (glance, progress) = (glance_of(services)?, Progress::new(services, job));
    let user = glance.borrowed(job.id);
    let mut source = Download::begin(glance, services, user, (image, remote.size_bytes))?;
    let mut sums = Sums::of(remote);
    while let Some(mut piece) = source.next()? {
        let at = sums.count;
        sums.add(&piece);
        // What came too much is no part of the image, and must not be written beyond its end.
        if sums.count > remote.size_bytes {
            break;
        }
        piece.resize(piece.len().next_multiple_of(SECTOR_BYTES), 0);
        for (start, run) in runs(&piece) {
            volume.write(at + start as u64, run, Durability::Buffered)?;
        }
        progress.report(sums.count, remote.size_bytes)?;
    }
    sums.check(remote)?;
    Ok(volume.flush()?)
}

/// The same for bytes that are a disk's, unless they only say so.
pub(super) fn disk(
    services: &Services,
    job: &Job,
    (image, remote): (Named<'_>, &Remote),
    volume: &Volume,
) -> Result<(), JobError> {
    into(services, job, (image.id, remote), volume)?;
    let bytes = Stored {
        volume: volume.clone(),
        len: remote.size_bytes,
    };
    // Whoever probes what a volume holds would open something else than its bytes.
    inspect(&bytes, image.disk_format).map_err(convert::Error::from)?;
    Ok(())
}

/// Does something with the bytes of an image, which are in a volume of `store` meanwhile.
pub(super) fn beside(
    services: &Services,
    job: &Job,
    (image, remote): (Named<'_>, &Remote),
    store: &Store,
    work: impl FnOnce(Stored) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let id = VolumeId(Uuid::new_v5(&job.id, b"fetched"));
    let spec = data::spec_of(services, image.owner, remote.size_bytes);
    let volume = moving::fresh(store, id, spec)?;
    let worked = into(services, job, (image.id, remote), &volume).and_then(|()| {
        work(Stored {
            volume,
            len: remote.size_bytes,
        })
    });
    store.delete_volume(id)?;
    worked
}

#[cfg(test)]
mod tests {
    use super::{Remote, Sums};

    fn remote(size_bytes: u64, md5: &str, strong: Option<(&str, &str)>) -> Remote {
        Remote {
            size_bytes,
            md5: Some(md5.to_owned()),
            strong: strong.map(|(algorithm, sum)| (algorithm.to_owned(), sum.to_owned())),
            token: None,
        }
    }

    #[test]
    fn bytes_are_those_of_the_image() {
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let sha256 = "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        let fits = |remote: Remote| {
            let mut sums = Sums::of(&remote);
            sums.add(b"a");
            sums.add(b"bc");
            sums.check(&remote).is_ok()
        };
        assert!(fits(remote(3, md5, None)));
        assert!(fits(remote(3, md5, Some(("sha256", sha256)))));
        assert!(!fits(remote(4, md5, None)));
        assert!(!fits(remote(3, &md5.replace('9', "8"), None)));
        let other = sha256.replace('B', "C");
        assert!(!fits(remote(3, md5, Some(("sha256", &other)))));
    }
}
