//! Compaction: giving back the space of slots that nothing refers to, in containers that others keep.
//!
//! The sweep at the end of a mark plans it: which containers are worth it, and which of their slots
//! live. From then on whoever writes an address into a run sets its bit here as well, so a duplicate
//! that packing finds in such a container between two steps keeps its slot. A step holds
//! `maintenance` from looking at the bits until the row is committed, so no address is handed out in
//! between; afterwards the container's list does not name what was dropped, and an equal chunk is
//! stored again.

use std::collections::HashMap;

use crate::addr::{Address, ContainerId};
use crate::engine::Engine;
use crate::index::ContainerRow;
use crate::maintain::Maintenance;
use crate::pack::format::{SlotBits, set};
use crate::pack::writer::FrameOptions;
use crate::places::Held;
use crate::relocate::{Moved, concerns_one_container};
use crate::{ErrorKind, Result};

/// Containers written anew in one step and one transaction: a quarter of a second or so.
const CONTAINERS_AT_ONCE: usize = 8;
/// From this share of dead bytes on, as one of so many, a container is compacted when space is short
/// or an operator asks: 5 %.
const SHARE_WHEN_ASKED: u64 = 20;
/// What an operator's reclaim may leave of all dead bytes, as one of so many. It promises 5 %; what
/// the metadata of containers and the rounding to blocks take comes on top of this.
const REST_WHEN_ASKED: u64 = 50;

/// How much work dead bytes are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// Containers of which less than half lives.
    #[default]
    Usual,
    /// The disk is filling up: those with 5 % dead.
    Tight,
    /// An operator asks: those, and as many more as it takes to give nearly everything back.
    Asked,
}

/// Containers to be compacted.
#[derive(Default)]
pub(crate) struct Compaction {
    /// Which slots of each live.
    claims: HashMap<ContainerId, SlotBits>,
    /// The container with most to give comes last, and is taken first.
    order: Vec<ContainerId>,
}

impl Compaction {
    /// Chooses among swept containers, whose rows say how many slots live.
    pub(crate) fn plan(
        rows: impl Iterator<Item = (ContainerId, ContainerRow)>,
        bits: &mut HashMap<ContainerId, SlotBits>,
        effort: Effort,
    ) -> Self {
        let mut order: Vec<(u64, ContainerId, ContainerRow)> = rows
            .map(|(id, row)| (Held::of(&row).dead, id, row))
            .filter(|(dead, ..)| *dead > 0)
            .collect();
        order.sort_unstable_by_key(|(dead, id, _)| (*dead, *id));
        let all: u64 = order.iter().map(|(dead, ..)| dead).sum();
        // Those with least to give stay behind, as long as all of them together have little.
        let mut rest = 0;
        order.retain(|(dead, _, row)| {
            let stays = !is_worth_it(row, *dead, effort)
                && (effort < Effort::Asked || (rest + dead) * REST_WHEN_ASKED <= all);
            rest += if stays { *dead } else { 0 };
            !stays
        });
        let order: Vec<ContainerId> = order.into_iter().map(|(_, id, _)| id).collect();
        let claims = order
            .iter()
            .filter_map(|id| bits.remove(id).map(|bits| (*id, bits)));
        Self {
            claims: claims.collect(),
            order,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Keeps a slot that is referred to again.
    pub(crate) fn keep(&mut self, address: Address) {
        if let Some(bits) = self.claims.get_mut(&address.container()) {
            set(bits, address.slot());
        }
    }

    fn first(&self) -> Option<(ContainerId, SlotBits)> {
        let id = *self.order.last()?;
        Some((id, self.claims.get(&id).copied()?))
    }

    fn drop_first(&mut self) {
        if let Some(id) = self.order.pop() {
            self.claims.remove(&id);
        }
    }
}

fn is_worth_it(row: &ContainerRow, dead: u64, effort: Effort) -> bool {
    let stored = row.location.len();
    match effort {
        Effort::Usual => dead * 2 > stored,
        Effort::Tight | Effort::Asked => dead * SHARE_WHEN_ASKED >= stored,
    }
}

impl Engine {
    /// Compacts some containers; says whether there were any.
    ///
    /// # Errors
    /// `NoSpace` when not even one container has room for its second place; nothing has changed then.
    pub(crate) fn compact_step(&self, maintenance: &mut Maintenance) -> Result<bool> {
        self.check_usable()?;
        if maintenance.compaction.is_empty() {
            maintenance.effort = Effort::Usual;
            return Ok(false);
        }
        self.reserve.give_up_if_tight();
        let mut moved = Vec::new();
        for _ in 0..CONTAINERS_AT_ONCE {
            let Some((id, bits)) = maintenance.compaction.first() else {
                break;
            };
            match self.compact(id, &bits) {
                Ok(one) => moved.extend(one),
                Err(error) if error.kind() == ErrorKind::NoSpace && !moved.is_empty() => break,
                Err(error) if concerns_one_container(&error) => {
                    tracing::warn!(%error, "a container is not compacted");
                }
                Err(error) => {
                    self.give_up_moved(&moved);
                    return Err(error);
                }
            }
            maintenance.compaction.drop_first();
        }
        if moved.is_empty() {
            return Ok(true);
        }
        let less = self.commit_moved(maintenance, &moved)?;
        self.note_freed(less);
        Ok(true)
    }

    /// Writes one container without its dead slots; `None` when that gains nothing.
    fn compact(&self, id: ContainerId, keep: &SlotBits) -> Result<Option<Moved>> {
        let Some(loaded) = self.load_container(id)? else {
            return Ok(None);
        };
        let header = &loaded.directory.header;
        let as_before = FrameOptions {
            frame_log2: header.frame_log2,
            codec: header.codec,
        };
        // Space that is short does not wait until it is cold.
        let options = match as_before == FrameOptions::SCATTERED && self.is_tight() {
            true => FrameOptions::default(),
            false => as_before,
        };
        let Some(sealed) = self.encode_anew(&loaded, keep, options)? else {
            return Ok(None);
        };
        let len = sealed.bytes.len() as u64;
        if len >= loaded.row.location.len() {
            return Ok(None);
        }
        self.reserve.check_room_to_free(len)?;
        let live = keep.iter().map(|word| word.count_ones()).sum();
        self.place_anew(loaded.row, &sealed, live).map(Some)
    }
}

#[cfg(test)]
mod tests;
