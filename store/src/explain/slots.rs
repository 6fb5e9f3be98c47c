//! What is known of each chunk under examination: two bytes a slot, for a bounded range of containers.

use std::collections::{BTreeMap, HashMap};

use super::plan::Case;
use crate::addr::{Address, CONTAINER_SLOTS, ContainerId};

/// Set of a slot that the volume itself maps.
const SEEN: u16 = 1 << 15;

/// The deletions that free a chunk, as a number: those that take every run which names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Class(u16);

impl Class {
    /// No run has been met yet that names the chunk.
    pub(super) const UNMET: Self = Self(0);
    /// No deletion frees it.
    pub(super) const KEPT: Self = Self(1);
}

/// Sets of deletions under numbers.
pub(super) struct Classes {
    sets: Vec<Vec<Case>>,
    numbers: HashMap<Vec<Case>, Class>,
    common: HashMap<(Class, Class), Class>,
}

impl Classes {
    pub(super) fn new() -> Self {
        Self {
            sets: vec![Vec::new(), Vec::new()],
            numbers: HashMap::from([(Vec::new(), Class::KEPT)]),
            common: HashMap::new(),
        }
    }

    /// The number of a sorted set. When numbers run out, further sets count as freed by nothing.
    pub(super) fn number(&mut self, set: Vec<Case>) -> Class {
        if let Some(known) = self.numbers.get(&set) {
            return *known;
        }
        let Some(number) = u16::try_from(self.sets.len())
            .ok()
            .filter(|next| *next < SEEN)
        else {
            return Class::KEPT;
        };
        self.sets.push(set.clone());
        self.numbers.insert(set, Class(number));
        Class(number)
    }

    /// The deletions of a class.
    pub(super) fn set(&self, class: Class) -> &[Case] {
        self.sets
            .get(usize::from(class.0))
            .map_or(&[], Vec::as_slice)
    }

    /// The deletions that are in both.
    fn both(&mut self, a: Class, b: Class) -> Class {
        if a == b || a == Class::UNMET {
            return b;
        }
        if a == Class::KEPT || b == Class::KEPT {
            return Class::KEPT;
        }
        if let Some(known) = self.common.get(&(a, b)) {
            return *known;
        }
        let in_b = |case: &&Case| self.set(b).contains(case);
        let set = self.set(a).iter().filter(in_b).copied().collect();
        let class = self.number(set);
        self.common.insert((a, b), class);
        class
    }
}

/// The slots of one container.
pub(super) struct ContainerSlots(Box<[u16; CONTAINER_SLOTS as usize]>);

impl ContainerSlots {
    /// The slots that some deletion frees or the volume maps: number, class, and whether mapped.
    pub(super) fn concerned(&self) -> impl Iterator<Item = (u32, Class, bool)> {
        let slots = (0..).zip(self.0.iter());
        let told = slots.map(|(slot, bits)| (slot, Class(bits & !SEEN), bits & SEEN != 0));
        told.filter(|(_, class, seen)| *seen || *class > Class::KEPT)
    }

    /// Slots that a run names.
    pub(super) fn met(&self) -> u32 {
        self.0.iter().filter(|bits| **bits & !SEEN != 0).count() as u32
    }
}

/// The containers under examination: as many as memory allows, from one id on.
pub(super) struct Slots {
    containers: BTreeMap<ContainerId, ContainerSlots>,
    /// Ids below were examined before; ids from `until` on come later.
    from: ContainerId,
    until: Option<ContainerId>,
    cap: usize,
    pub(super) classes: Classes,
}

impl Slots {
    /// Room for `cap` containers.
    pub(super) fn new(cap: usize) -> Self {
        Self {
            containers: BTreeMap::new(),
            from: ContainerId(0),
            until: None,
            cap,
            classes: Classes::new(),
        }
    }

    /// Goes on with the containers that there was no room for; says whether there are any.
    pub(super) fn next_range(&mut self) -> bool {
        self.containers.clear();
        let Some(until) = self.until.take() else {
            return false;
        };
        self.from = until;
        true
    }

    /// Puts a chunk's container under examination if it is its turn.
    pub(super) fn admit(&mut self, address: Address) {
        let id = address.container();
        let is_next = id >= self.from && self.until.is_none_or(|until| id < until);
        if !is_next || self.containers.contains_key(&id) {
            return;
        }
        let unmet = ContainerSlots(Box::new([0; CONTAINER_SLOTS as usize]));
        self.containers.insert(id, unmet);
        if self.containers.len() > self.cap
            && let Some((last, _)) = self.containers.pop_last()
        {
            self.until = Some(last);
        }
    }

    fn slot(&mut self, address: Address) -> Option<&mut u16> {
        let container = self.containers.get_mut(&address.container())?;
        container.0.get_mut(address.slot() as usize)
    }

    /// Notes that the volume maps a chunk.
    pub(super) fn see(&mut self, address: Address) {
        self.admit(address);
        if let Some(bits) = self.slot(address) {
            *bits |= SEEN;
        }
    }

    /// Whether the volume maps a chunk under examination.
    pub(super) fn is_seen(&mut self, address: Address) -> bool {
        self.slot(address).is_some_and(|bits| *bits & SEEN != 0)
    }

    /// Notes that a run of a class names a chunk.
    pub(super) fn meet(&mut self, address: Address, class: Class) {
        let Some(bits) = self.slot(address).copied() else {
            return;
        };
        let class = self.classes.both(Class(bits & !SEEN), class);
        if let Some(slot) = self.slot(address) {
            *slot = bits & SEEN | class.0;
        }
    }

    /// What is known of the containers under examination.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ContainerId, &ContainerSlots)> {
        self.containers.iter().map(|(id, slots)| (*id, slots))
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Slots};
    use crate::addr::{Address, ContainerId};

    fn chunk(container: u64, slot: u32) -> Address {
        Address::new(ContainerId(container), slot)
    }

    #[test]
    fn a_chunk_is_freed_by_what_takes_all_its_runs() {
        let mut slots = Slots::new(8);
        let one = slots.classes.number(vec![1, 2]);
        let other = slots.classes.number(vec![1, 3]);
        for slot in 0..3 {
            slots.see(chunk(1, slot));
            slots.meet(chunk(1, slot), one);
        }
        slots.meet(chunk(1, 1), other);
        slots.meet(chunk(1, 2), Class::KEPT);
        let (_, container) = slots.iter().next().unwrap();
        let sets: Vec<_> = container
            .concerned()
            .map(|(_, class, _)| slots.classes.set(class).to_vec())
            .collect();
        assert_eq!(sets, [vec![1, 2], vec![1], vec![]]);
        assert_eq!(container.met(), 3);
    }

    #[test]
    fn what_there_is_no_room_for_comes_in_later_ranges() {
        let mut slots = Slots::new(2);
        let ids = [5, 1, 9, 3, 7];
        let mut examined = Vec::new();
        loop {
            ids.iter().for_each(|id| slots.see(chunk(*id, 0)));
            examined.extend(slots.iter().map(|(id, _)| id.0));
            if !slots.next_range() {
                break;
            }
        }
        assert_eq!(examined, [1, 3, 5, 7, 9]);
    }
}
