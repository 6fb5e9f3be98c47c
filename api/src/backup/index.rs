//! The chunks that a backup need not write again.
//!
//! Kept in memory while one backup is written: the newest [`CHUNKS_MAX`] chunks of the packs that
//! manifests of the repository name. What falls out costs space, never data.

use std::collections::HashMap;

use uuid::Uuid;

use super::error::Result;
use super::pack::{self, ChunkRow, PackRow};
use super::reader;
use super::repository::Repository;
use super::seal::Digest;

/// Chunks known at most: 32 GiB of them, about 64 MiB of memory.
const CHUNKS_MAX: usize = 1 << 20;

/// Where a known chunk is.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Place in [`Index::packs`].
    pub(super) pack: u32,
    pub(super) slot: u32,
}

#[derive(Default)]
pub(super) struct Index {
    pub(super) packs: Vec<PackRow>,
    ids: HashMap<Uuid, u32>,
    chunks: HashMap<Digest, Known>,
}

impl Index {
    /// Learns the packs of all backups of a repository, the latest first.
    ///
    /// # Errors
    /// Those of the target and of damaged manifests: a backup beside broken ones would promise to
    /// share chunks that are not there.
    pub(super) fn of(repository: &Repository) -> Result<Self> {
        let manifests = repository.manifests()?;
        let mut index = Self::default();
        for row in manifests.iter().flat_map(|manifest| &manifest.packs) {
            if index.is_full() {
                break;
            }
            if !index.ids.contains_key(&row.id) {
                index.learn(*row, &reader::directory(repository, row)?);
            }
        }
        Ok(index)
    }

    pub(super) fn is_full(&self) -> bool {
        self.chunks.len() >= CHUNKS_MAX
    }

    /// Adds a pack whose object is there.
    pub(super) fn learn(&mut self, row: PackRow, directory: &[ChunkRow]) {
        let pack = self.begin(row.id);
        self.packs[pack as usize] = row;
        for (slot, chunk) in directory.iter().enumerate() {
            self.note(
                chunk.hash,
                Known {
                    pack,
                    slot: slot as u32,
                },
            );
        }
    }

    /// The number of a pack that is still being filled.
    pub(super) fn begin(&mut self, id: Uuid) -> u32 {
        let number = self.packs.len() as u32;
        self.ids.insert(id, number);
        self.packs.push(PackRow {
            id,
            length: 0,
            chunks: 0,
            digest: [0; 32],
        });
        number
    }

    /// Adds a chunk, unless there is no room or it is known.
    pub(super) fn note(&mut self, hash: Digest, known: Known) {
        if !self.is_full() {
            self.chunks.entry(hash).or_insert(known);
        }
    }

    pub(super) fn find(&self, hash: &Digest) -> Option<Known> {
        self.chunks.get(hash).copied()
    }
}

/// Packs of a backup that an attempt before this one has put, in the order of their numbers.
pub(super) fn left_behind(
    repository: &Repository,
    backup: Uuid,
) -> Result<Vec<(PackRow, Vec<ChunkRow>)>> {
    let mut found = Vec::new();
    loop {
        let id = pack_id(backup, found.len() as u32);
        let path = repository.pack(id);
        let Some(bytes) = repository.target.find(&path, pack::PACK_BYTES_MAX)? else {
            return Ok(found);
        };
        found.push(pack::open_whole(path.as_ref(), id, &bytes)?);
    }
}

/// The id of a backup's pack: the same in every attempt.
pub(super) fn pack_id(backup: Uuid, number: u32) -> Uuid {
    Uuid::new_v5(&backup, &number.to_le_bytes())
}
