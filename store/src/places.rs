//! The packed containers: where each is, and what all of them add up to.

use std::collections::HashMap;

use crate::addr::{CHUNK_BYTES, ContainerId};
use crate::index::ContainerRow;

/// What containers hold, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Distinct data before compression.
    pub(crate) unique: u64,
    /// What it takes on disk.
    pub(crate) stored: u64,
    /// Part of `stored` that the last mark did not meet, by the share of each container.
    pub(crate) dead: u64,
    /// Part of `stored` that recompression has not looked at.
    pub(crate) loose: u64,
}

impl Held {
    /// What one container holds.
    pub(crate) fn of(row: &ContainerRow) -> Self {
        let unique = u64::from(row.plain_bytes);
        let live = u64::from(row.live) * CHUNK_BYTES as u64;
        let stored = row.location.len();
        Self {
            unique,
            stored,
            dead: stored * unique.saturating_sub(live) / unique.max(1),
            loose: if row.tight { 0 } else { stored },
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            unique: self.unique + other.unique,
            stored: self.stored + other.stored,
            dead: self.dead + other.dead,
            loose: self.loose + other.loose,
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            unique: self.unique - other.unique,
            stored: self.stored - other.stored,
            dead: self.dead - other.dead,
            loose: self.loose - other.loose,
        }
    }
}

/// The rows of all packed containers. What they hold is counted along: it is asked for whenever a
/// volume is placed.
#[derive(Default)]
pub(crate) struct Places {
    rows: HashMap<ContainerId, ContainerRow>,
    held: Held,
}

impl Places {
    /// What all containers hold.
    pub(crate) fn held(&self) -> Held {
        self.held
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn get(&self, id: ContainerId) -> Option<ContainerRow> {
        self.rows.get(&id).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ContainerId, ContainerRow)> {
        self.rows.iter().map(|(id, row)| (*id, *row))
    }

    /// Adds a container, or replaces what is known of it.
    pub(crate) fn insert(&mut self, id: ContainerId, row: ContainerRow) {
        self.held = self.held.plus(Held::of(&row));
        if let Some(old) = self.rows.insert(id, row) {
            self.held = self.held.less(Held::of(&old));
        }
    }

    /// Whether what is counted along is what the rows add up to.
    #[cfg(test)]
    pub(crate) fn held_is_right(&self) -> bool {
        let rows = self.rows.values().map(Held::of);
        rows.fold(Held::default(), Held::plus) == self.held
    }

    pub(crate) fn remove(&mut self, id: ContainerId) {
        if let Some(old) = self.rows.remove(&id) {
            self.held = self.held.less(Held::of(&old));
        }
    }
}

impl FromIterator<(ContainerId, ContainerRow)> for Places {
    fn from_iter<I: IntoIterator<Item = (ContainerId, ContainerRow)>>(rows: I) -> Self {
        let mut places = Self::default();
        for (id, row) in rows {
            places.insert(id, row);
        }
        places
    }
}
