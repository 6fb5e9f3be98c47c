//! Reading backups: which chunk a unit is, through a chain of increments, and the chunk itself.
//!
//! Every object is checked against the digest by which another object names it, up to the manifest
//! that the catalogue or the export record pins. What fails is an error; nothing is replaced by
//! zeroes.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;

use super::error::{Error, Result};
use super::map::{self, WINDOW_UNITS, ZEROES};
use super::pack::{self, ChunkRow};
use super::repository::{Chain, Link};
use super::seal;

/// Directories kept: those of 1 GiB of packs.
const DIRECTORIES_MAX: usize = 64;
/// Bytes asked for at once.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Where a unit's chunk is: a backup of the chain, a pack of its manifest, a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) link: u32,
    pub(super) pack: u32,
    pub(super) slot: u32,
}

impl Place {
    fn follows(self, before: Self, units: usize) -> bool {
        self.link == before.link
            && self.pack == before.pack
            && u64::from(self.slot) == u64::from(before.slot) + units as u64
    }
}

/// A window of a disk as a chain of backups has it; `None` is zeroes.
pub(super) type Window = Vec<Option<Place>>;

/// Which chunk the units of a window are.
pub(super) fn window(chain: &Chain, window: u32, units: u64) -> Result<Window> {
    let units = units.min(WINDOW_UNITS) as usize;
    let mut places = vec![None; units];
    let mut known = vec![false; units];
    for (number, link) in chain.links.iter().enumerate() {
        let Some(runs) = page(link, window)? else {
            continue;
        };
        for run in runs {
            for index in 0..run.units {
                let unit = (run.first + index) as usize;
                // A backup may be of a longer disk than the one that builds on it.
                if unit >= units || std::mem::replace(&mut known[unit], true) {
                    continue;
                }
                places[unit] = (run.pack != ZEROES).then_some(Place {
                    link: number as u32,
                    pack: run.pack,
                    slot: run.slot.wrapping_add(index),
                });
            }
        }
    }
    Ok(places)
}

fn page(link: &Link, window: u32) -> Result<Option<Vec<map::MapRun>>> {
    let Some(row) = link.manifest.page(window) else {
        return Ok(None);
    };
    let path = link.repository.page(link.manifest.description.id, window);
    let name = path.to_string();
    let bytes = link.repository.target.get(&path, map::PAGE_BYTES_MAX)?;
    if bytes.len() != row.length as usize || seal::digest_of(&bytes) != row.digest {
        return Err(Error::corrupt(name, "it is not the one its manifest names"));
    }
    map::decode(&name, &link.manifest.packs, &bytes).map(Some)
}

/// Units of the disk that follow one another in a pack too, and how many.
pub(super) fn stretch(places: &[Option<Place>]) -> usize {
    let Some(Some(first)) = places.first() else {
        return places.iter().take_while(|place| place.is_none()).count();
    };
    let follows = |(index, place): &(usize, &Option<Place>)| {
        place.is_some_and(|place| place.follows(*first, *index))
    };
    places.iter().enumerate().take_while(follows).count()
}

/// Fetches chunks of a chain.
pub(super) struct ChunkReader<'a> {
    chain: &'a Chain,
    directories: HashMap<(u32, u32), Arc<Vec<ChunkRow>>>,
    /// Keys of `directories`, the oldest first.
    order: VecDeque<(u32, u32)>,
    /// The part of a pack read last: a chunk that repeats itself is asked for many times in a row.
    held: Option<Held>,
}

struct Held {
    of: (u32, u32),
    start: u64,
    bytes: Bytes,
}

impl Held {
    /// A range of the pack, if all of it is here.
    fn part(&self, of: (u32, u32), range: &Range<u64>) -> Option<Bytes> {
        let from = range.start.checked_sub(self.start)? as usize;
        let to = (range.end - self.start) as usize;
        (self.of == of && to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

impl<'a> ChunkReader<'a> {
    pub(super) fn new(chain: &'a Chain) -> Self {
        Self {
            chain,
            directories: HashMap::new(),
            order: VecDeque::new(),
            held: None,
        }
    }

    /// The directory of a pack, from the few that are kept or the target.
    fn directory(&mut self, link: u32, number: u32) -> Result<Arc<Vec<ChunkRow>>> {
        if let Some(found) = self.directories.get(&(link, number)) {
            return Ok(Arc::clone(found));
        }
        let Link {
            repository,
            manifest,
        } = &self.chain.links[link as usize];
        let row = &manifest.packs[number as usize];
        let rows = Arc::new(directory(repository, row)?);
        if self.order.len() == DIRECTORIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.directories.remove(&oldest);
        }
        self.order.push_back((link, number));
        self.directories.insert((link, number), Arc::clone(&rows));
        Ok(rows)
    }

    /// The hash of the chunk at a place.
    pub(super) fn hash(&mut self, place: Place) -> Result<seal::Digest> {
        let rows = self.directory(place.link, place.pack)?;
        Ok(rows[place.slot as usize].hash)
    }

    /// Gives the chunks at `count` slots from a place on to `each`, in order.
    pub(super) fn read(
        &mut self,
        first: Place,
        count: usize,
        each: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let directory = self.directory(first.link, first.pack)?;
        let Link {
            repository,
            manifest,
        } = &self.chain.links[first.link as usize];
        let pack = manifest.packs[first.pack as usize].id;
        let path = repository.pack(pack);
        let start = first.slot as usize;
        let mut rest = &directory[start..start + count];
        let mut slot = first.slot;
        while let [head, ..] = rest {
            let end = head.range().start + READ_BYTES_MAX;
            let fits = |row: &&ChunkRow| row.range().end <= end;
            let (now, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            let span = head.range().start..now[now.len() - 1].range().end;
            let bytes = self.fetch((first.link, first.pack), &path, &span)?;
            for row in now {
                let stored = part(path.as_ref(), &bytes, row, span.start)?;
                let name = path.as_ref();
                each(row.decode(&repository.key, (pack, slot), name, stored)?)?;
                slot += 1;
            }
            rest = later;
        }
        Ok(())
    }

    fn fetch(&mut self, of: (u32, u32), path: &Path, range: &Range<u64>) -> Result<Bytes> {
        let held = self.held.as_ref();
        if let Some(bytes) = held.and_then(|held| held.part(of, range)) {
            return Ok(bytes);
        }
        let target = &self.chain.links[of.0 as usize].repository.target;
        let bytes = target.get_range(path, range.clone())?;
        self.held = Some(Held {
            of,
            start: range.start,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }
}

fn part<'b>(name: &str, bytes: &'b Bytes, row: &ChunkRow, start: u64) -> Result<&'b [u8]> {
    let range = row.range();
    let from = range.start.checked_sub(start);
    let found = from.and_then(|from| bytes.get(from as usize..(range.end - start) as usize));
    found.ok_or_else(|| Error::corrupt(name, "its chunks are not in order"))
}

/// Reads the directory of a pack.
pub(super) fn directory(
    repository: &super::repository::Repository,
    row: &pack::PackRow,
) -> Result<Vec<ChunkRow>> {
    let path = repository.pack(row.id);
    let tail = repository.target.get_range(&path, row.directory_range())?;
    pack::open_directory(path.as_ref(), row, &tail)
}
