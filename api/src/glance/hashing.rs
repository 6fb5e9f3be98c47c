//! What the bytes of an image add up to: while they arrive, or by a job where they did not arrive
//! but were there already, as those of a volume.

use md5::{Digest, Md5};
use ring::digest;
use uuid::Uuid;

use super::data;
use super::records::{Hashes, Image};
use crate::catalogue::{self, View, Writer};
use crate::jobs::{self, Handler, Job, JobError, Progress, Registry};
use crate::server::Services;

/// The algorithm of `os_hash_value`.
pub(super) const ALGORITHM: &str = "sha512";

const HASH: &str = "image.hash";
/// Bytes read at a time.
const PIECE_BYTES: u64 = 1 << 20;
/// Pieces after which the job looks whether the image is still wanted.
const LOOK_EVERY: u64 = 256;

/// Both sums of bytes that come in order.
pub(super) struct Hasher {
    md5: Md5,
    sha512: digest::Context,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self {
            md5: Md5::new(),
            sha512: digest::Context::new(&digest::SHA512),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sha512.update(bytes);
    }

    pub(super) fn finish(self) -> Hashes {
        Hashes {
            checksum: hex(&self.md5.finalize()),
            sha512: hex(self.sha512.finish().as_ref()),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(HASH, HashImage);
}

/// Queues the job that adds up the bytes of an active image.
pub(super) fn queue(writer: &Writer, image: &Image, now_us: u64) -> catalogue::Result<()> {
    let (id, owner) = (image.id.to_string(), image.owner.as_deref());
    let job = Job::new(HASH, &id, owner, serde_json::Value::Null, now_us);
    jobs::enqueue(writer, job)
}

struct HashImage;

fn image_of(services: &Services, job: &Job) -> Result<Option<Image>, JobError> {
    let id = Uuid::parse_str(&job.object).unwrap_or_default();
    Ok(services.catalogue().read(|reader| reader.get(&id))?)
}

/// The sums of an image's bytes; `None` when it is not wanted any more.
fn sum(services: &Services, job: &Job) -> Result<Option<Hashes>, JobError> {
    let Some(data) = image_of(services, job)?.and_then(|image| image.data) else {
        return Ok(None);
    };
    let volume = data::volume_of(services, &data)?;
    let progress = Progress::new(services, job);
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; PIECE_BYTES as usize];
    let (mut offset, mut pieces) = (0, 0_u64);
    while offset < data.size_bytes {
        let len = PIECE_BYTES.min(data.size_bytes - offset);
        let piece = &mut buffer[..len as usize];
        volume.read(offset, piece)?;
        hasher.update(piece);
        offset += len;
        pieces += 1;
        progress.report(offset, data.size_bytes)?;
        // The job that removes the bytes waits for this one.
        if pieces.is_multiple_of(LOOK_EVERY) && image_of(services, job)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(hasher.finish()))
}

impl Handler for HashImage {
    fn is_long(&self) -> bool {
        true
    }

    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let Some(hashes) = sum(services, job)? else {
            return Ok(());
        };
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        services.catalogue().write(|writer| {
            // Bytes never change while an image has them, so the sums are right whenever they are.
            if let Some(mut image) = writer.get::<Image>(&id)?.filter(|row| row.data.is_some()) {
                image.hashes = Some(hashes);
                writer.put(&image)?;
            }
            Ok(())
        })
    }

    fn finish(
        &self,
        _: &Writer,
        _: &Job,
        _: Result<(), &JobError>,
        _: u64,
    ) -> catalogue::Result<()> {
        // An image whose bytes cannot be read keeps none of the sums; reading it tells why.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Hasher;

    #[test]
    fn sums_are_those_of_the_published_examples() {
        let mut hasher = Hasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        let hashes = hasher.finish();
        assert_eq!(hashes.checksum, "900150983cd24fb0d6963f7d28e17f72");
        assert!(
            hashes
                .sha512
                .starts_with("ddaf35a193617abacc417349ae204131")
        );
        assert_eq!(hashes.sha512.len(), 128);
    }
}
