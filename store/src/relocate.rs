//! Moving containers: their slots encoded anew, elsewhere, under the same id and numbers.
//!
//! The order is what keeps every reader right: the new place is durable before the row that names it
//! is committed; the old one is given back only after that, when no read that may have looked it up
//! is under way. A crash in between leaves one of the two without an owner, which opening removes.
//!
//! Every chunk is compared with its fingerprint on the way: what was damaged in memory or by a faulty
//! disk must not get a new checksum. A container with such a chunk stays as and where it is.

use std::sync::Arc;

use crate::addr::{CHUNK_BYTES, ContainerId};
use crate::checkpoint::Stale;
use crate::chunk::fingerprint;
use crate::encryption::Secrets;
use crate::engine::Engine;
use crate::index::{ContainerRow, Location};
use crate::journal::poisoned;
use crate::maintain::Maintenance;
use crate::pack::format::{Directory, SlotBits, is_set};
use crate::pack::reader::Manner;
use crate::pack::writer::{ContainerBuilder, FrameOptions, SealedContainer};
use crate::{Error, ErrorKind, Result};

/// A container's slots in memory.
pub(crate) struct Loaded {
    /// Its row when it was read.
    pub(crate) row: ContainerRow,
    pub(crate) directory: Arc<Directory>,
    plain: Vec<u8>,
    secrets: Secrets,
}

/// A container that has a second place, which no row names yet.
pub(crate) struct Moved {
    pub(crate) id: ContainerId,
    pub(crate) old: ContainerRow,
    pub(crate) new: ContainerRow,
}

impl Engine {
    /// Reads all slots of a container; `None` when it is gone. Takes no lock for longer than a moment.
    ///
    /// # Errors
    /// `Corrupt`; `KeyUnavailable` when it is sealed and its key cannot be had.
    pub(crate) fn load_container(&self, id: ContainerId) -> Result<Option<Loaded>> {
        let _guard = self.epochs.enter();
        let row = self.places.read().expect(poisoned!()).get(id);
        let Some(row) = row else { return Ok(None) };
        // Without its domain nothing refers to it, and the next sweep takes it.
        let Some(secrets) = self.secrets_of_domain(row.domain)? else {
            return Ok(None);
        };
        let place = row.location.local();
        let directory = Arc::new(self.packs.read_directory(place, id)?);
        let mut plain = vec![0; directory.header.slots as usize * CHUNK_BYTES];
        let key = secrets.key.as_deref();
        self.reader
            .read_slots(&directory, place, key, Manner::Passing, 0, &mut plain)?;
        Ok(Some(Loaded {
            row,
            directory,
            plain,
            secrets,
        }))
    }

    /// Encodes the slots in `keep` anew; `None` when there are none.
    ///
    /// # Errors
    /// `Corrupt` when a chunk is not what its fingerprint says, or was not there to begin with;
    /// `Busy` when no id can be taken for sealing.
    pub(crate) fn encode_anew(
        &self,
        loaded: &Loaded,
        keep: &SlotBits,
        options: FrameOptions,
    ) -> Result<Option<SealedContainer>> {
        let header = &loaded.directory.header;
        let key = loaded.secrets.key.clone();
        let anew = match key {
            Some(_) => Some(self.take_container_id()?),
            None => None,
        };
        let mut builder = ContainerBuilder::in_place_of(header, key, anew, options);
        let last = (0..header.slots).rev().find(|slot| is_set(keep, *slot));
        let Some(last) = last else { return Ok(None) };
        for slot in 0..=last {
            if !is_set(keep, slot) {
                builder.push_dead();
                continue;
            }
            let at = slot as usize * CHUNK_BYTES;
            let chunk = &loaded.plain[at..at + CHUNK_BYTES];
            let name = loaded.directory.fingerprints[slot as usize];
            let found = fingerprint(&loaded.secrets.fingerprints, chunk);
            if !loaded.directory.is_live(slot) || found != name {
                let context = format!(
                    "container {}, slot {slot}: fingerprint {found:?}, expected {name:?}",
                    header.id.0
                );
                return Err(Error::new(ErrorKind::Corrupt, context));
            }
            builder.push(name, chunk);
        }
        Ok(builder.finish())
    }

    /// Writes a container to its second place. Not durable before [`Self::commit_moved`].
    pub(crate) fn place_anew(
        &self,
        old: ContainerRow,
        sealed: &SealedContainer,
        live: u32,
    ) -> Result<Moved> {
        let new = ContainerRow {
            location: Location::Local(self.packs.append(sealed)?),
            slots: sealed.slots as u16,
            live: live as u16,
            plain_bytes: sealed.plain_bytes as u32,
            ..old
        };
        let id = sealed.id;
        Ok(Moved { id, old, new })
    }

    /// Makes the second places the only ones, and gives the first ones back. Says how many bytes less
    /// are taken.
    ///
    /// # Errors
    /// The pool stops after any: what the disk or the index holds is then unknown.
    pub(crate) fn commit_moved(
        &self,
        maintenance: &mut Maintenance,
        moved: &[Moved],
    ) -> Result<u64> {
        let rows: Vec<_> = moved.iter().map(|one| (one.id, one.new)).collect();
        let durable = self.packs.sync();
        let committed = durable.and_then(|()| self.commit_rows(maintenance, &rows));
        committed.inspect_err(|_| self.journal.fail())?;
        for one in moved {
            // Its list may name chunks that are gone; the next hook that leads there loads the new one.
            maintenance.dedup.forget_container(one.id);
        }
        self.epochs.wait();
        let mut less = 0;
        for one in moved {
            let (old, new) = (one.old.location, one.new.location);
            match self.packs.free(old.local()) {
                Ok(()) => less += old.len().saturating_sub(new.len()),
                Err(error) => {
                    tracing::warn!(%error, "the old place of a container stays until the next opening");
                }
            }
        }
        Ok(less)
    }

    /// Commits rows of containers, and then lets readers see them.
    pub(crate) fn commit_rows(
        &self,
        maintenance: &Maintenance,
        rows: &[(ContainerId, ContainerRow)],
    ) -> Result<()> {
        let writer = self.index.write()?;
        for (id, row) in rows {
            writer.put_container(*id, row)?;
        }
        // A file may have been begun, and ids have been taken.
        let last_layer = self.state.read().expect(poisoned!()).last_layer();
        let limit = self.put_checkpoint(&writer, maintenance.applied_sequence, last_layer)?;
        self.commit_runs(writer, Stale::None)?;
        self.containers.reserve(limit);
        let mut places = self.places.write().expect(poisoned!());
        for (id, row) in rows {
            places.insert(*id, *row);
        }
        Ok(())
    }

    /// Takes back second places that will not be committed.
    pub(crate) fn give_up_moved(&self, moved: &[Moved]) {
        for one in moved {
            if let Err(error) = self.packs.free(one.new.location.local()) {
                tracing::warn!(%error, "an unused container stays until the next opening");
            }
        }
    }
}

/// Whether an error is about one container, which is then left alone, and others may go on.
pub(crate) fn concerns_one_container(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Corrupt | ErrorKind::KeyUnavailable | ErrorKind::UnsupportedFormat
    )
}

#[cfg(test)]
mod tests;
