//! Copies of images' disks, kept in each pool that volumes were made in: converted ones, and those of
//! images that are elsewhere.
//!
//! A copy is a volume of the store that no row of Block Storage names. Its row exists while it is whole;
//! a job that makes one owns its id, so that two never do. It goes with the image, as far as that is
//! heard of here, or when it was not used for longer than all others of its pool. Volumes made of it stay
//! whole, as clones do.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::VolumeId;
use uuid::Uuid;

use crate::catalogue::{self, Index, Key, Query, Record, View, Writer};
use crate::jobs::{self, Handler, Job, JobError, Registry};
use crate::server::Services;

/// Copies kept in a pool. What volumes made of them share costs nothing; what they alone hold is given
/// up for newer ones.
const MASTERS_MAX: usize = 32;
/// Copies of an image.
const BY_IMAGE: Index = Index("image");
/// Copies in a pool, those not used for longest first.
const BY_USE: Index = Index("use");
/// Removes the copy that is the job's object.
const DISCARD: &str = "image.master.discard";

/// A copy of an image's disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Master {
    /// Also the volume's in the store.
    id: Uuid,
    image: Uuid,
    backend: String,
    /// When a volume was made of it last, microseconds since 1970.
    used_us: u64,
}

impl Record for Master {
    const TABLE: &'static str = "image_masters";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        vec![
            (BY_IMAGE, Key::new().uuid(self.image)),
            (BY_USE, Key::new().text(&self.backend).number(self.used_us)),
        ]
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add(DISCARD, Discard);
}

/// The id of the converted copy of an image in a pool.
pub(super) fn id_of(image: Uuid, backend: &str) -> Uuid {
    Uuid::new_v5(&image, format!("converted for {backend}").as_bytes())
}

/// Whether a copy is there; it counts as used then.
pub(super) fn use_one(writer: &Writer, id: Uuid, now_us: u64) -> catalogue::Result<bool> {
    let Some(mut found) = writer.get::<Master>(&id)? else {
        return Ok(false);
    };
    found.used_us = now_us;
    writer.put(&found)?;
    Ok(true)
}

/// Whether a copy is there.
pub(super) fn is_whole(services: &Services, id: Uuid) -> catalogue::Result<bool> {
    let found = services
        .catalogue()
        .read(|reader| reader.get::<Master>(&id))?;
    Ok(found.is_some())
}

/// Keeps a copy that was just made, and gives up what is too much.
pub(super) fn keep(
    writer: &Writer,
    (id, image): (Uuid, Uuid),
    backend: &str,
    now_us: u64,
) -> catalogue::Result<()> {
    writer.put(&Master {
        id,
        image,
        backend: backend.to_owned(),
        used_us: now_us,
    })?;
    let mut all = writer.list::<Master>(&Query::by(BY_USE, Key::new().text(backend)))?;
    let surplus = all.len().saturating_sub(MASTERS_MAX);
    for old in all.drain(..surplus) {
        drop_one(writer, &old, now_us)?;
    }
    Ok(())
}

/// Gives up the copies of an image that goes.
///
/// # Errors
/// Those of the catalogue.
pub(crate) fn forget(writer: &Writer, image: Uuid, now_us: u64) -> catalogue::Result<()> {
    let of_image = Query::by(BY_IMAGE, Key::new().uuid(image));
    for copy in writer.list::<Master>(&of_image)? {
        drop_one(writer, &copy, now_us)?;
    }
    Ok(())
}

fn drop_one(writer: &Writer, copy: &Master, now_us: u64) -> catalogue::Result<()> {
    writer.delete::<Master>(&copy.id)?;
    discard(writer, copy.id, &copy.backend, now_us)
}

/// Queues the removal of a copy without a row.
pub(super) fn discard(
    writer: &Writer,
    id: Uuid,
    backend: &str,
    now_us: u64,
) -> catalogue::Result<()> {
    let args = json!({ "backend": backend });
    jobs::enqueue(
        writer,
        Job::new(DISCARD, &id.to_string(), None, args, now_us),
    )
}

struct Discard;

impl Handler for Discard {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let id = Uuid::parse_str(&job.object).unwrap_or_default();
        // Another volume may have needed it again before this job's turn came.
        if is_whole(services, id)? {
            return Ok(());
        }
        let backend = job.args.get("backend").and_then(Value::as_str);
        Ok(services.store_of(backend)?.delete_volume(VolumeId(id))?)
    }

    fn finish(
        &self,
        _: &Writer,
        _: &Job,
        _: Result<(), &JobError>,
        _: u64,
    ) -> catalogue::Result<()> {
        Ok(())
    }
}
