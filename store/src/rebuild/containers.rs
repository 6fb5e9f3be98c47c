//! Containers: what the dump says of them against what is in the pack files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::addr::{Address, ContainerId};
use crate::disk::Io;
use crate::index::{ContainerRow, Index, IndexRead, Location};
use crate::pack::LocalPlace;
use crate::pack::files::PackSet;
use crate::pack::format::SlotBits;
use crate::{ErrorKind, Result};

/// The containers that are there.
pub(super) struct Packs {
    /// The slots that each has: 128 bytes for 4 MiB of data.
    slots: HashMap<ContainerId, Box<SlotBits>>,
    /// The highest id met anywhere.
    pub(super) highest: u64,
    /// Containers of the dump that are nowhere.
    pub(super) lost: u64,
}

impl Packs {
    /// Whether a chunk is there. One that was dead when its container was rewritten is not.
    pub(super) fn has(&self, address: Address) -> bool {
        let slot = address.slot() as usize;
        let bits = self.slots.get(&address.container());
        let word = bits.and_then(|bits| bits.get(slot / 64));
        word.is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }
}

/// Holds every container row of a new index against the pack files. One whose container lies elsewhere
/// now is changed, one whose container is nowhere is removed.
pub(super) fn check(io: &Arc<dyn Io>, dir: &Path, pool: [u8; 16], index: &Index) -> Result<Packs> {
    let files = PackSet::open(Arc::clone(io), dir.join("pack"), pool, 1)?;
    let rows = index.read()?.containers()?;
    let mut packs = Packs {
        slots: HashMap::new(),
        highest: rows.last().map_or(0, |(id, _)| id.0),
        lost: 0,
    };
    let mut missing: BTreeMap<ContainerId, ContainerRow> = BTreeMap::new();
    let mut known: BTreeMap<u64, Vec<(u64, u32)>> = BTreeMap::new();
    for (id, row) in rows {
        let place = row.location.local();
        match files.read_directory(place, id) {
            Ok(directory) => {
                packs.slots.insert(id, Box::new(directory.live));
                known
                    .entry(place.pack)
                    .or_default()
                    .push((place.offset, place.len));
            }
            Err(error) if error.kind() == ErrorKind::UnsupportedFormat => return Err(error),
            Err(_) => {
                missing.insert(id, row);
            }
        }
    }
    known.values_mut().for_each(|places| places.sort_unstable());
    let found = elsewhere(&files, &known, &mut packs)?;
    let writer = index.write()?;
    for (id, row) in missing {
        let place = found.get(&id).copied();
        let directory = place.and_then(|place| files.read_directory(&place, id).ok());
        match place.zip(directory) {
            Some((place, directory)) if directory.header.domain == row.domain => {
                let location = Location::Local(place);
                let slots = directory.header.slots as u16;
                packs.slots.insert(id, Box::new(directory.live));
                writer.put_container(
                    id,
                    &ContainerRow {
                        location,
                        slots,
                        ..row
                    },
                )?;
            }
            _ => {
                packs.lost += 1;
                writer.delete_container(id)?;
            }
        }
    }
    writer.commit()?;
    Ok(packs)
}

/// Where containers lie that are not where the dump says. The one in the newest file counts: it was
/// written last, and has no more and no other chunks than those before it.
fn elsewhere(
    files: &PackSet,
    known: &BTreeMap<u64, Vec<(u64, u32)>>,
    packs: &mut Packs,
) -> Result<HashMap<ContainerId, LocalPlace>> {
    let mut found = HashMap::new();
    for pack in files.packs()? {
        let places = known.get(&pack).map_or(&[][..], Vec::as_slice);
        let Ok(containers) = files.scan(pack, places) else {
            continue;
        };
        for (id, place) in containers {
            packs.highest = packs.highest.max(id.0);
            found.insert(id, place);
        }
    }
    Ok(found)
}
