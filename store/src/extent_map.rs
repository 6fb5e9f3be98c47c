//! Ordered map from ranges of chunk numbers to addresses.
//!
//! A range is one node however long it is: its data addresses advance chunk by chunk (see
//! [`Address::advance`]), holes and zeroes are constant. Later inserts win over what they overlap.
//! The map knows nothing of volumes, layers or time.

use std::collections::BTreeMap;

use crate::addr::Address;

/// A range of chunks whose addresses follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First chunk number.
    pub(crate) start: u64,
    /// Chunks.
    pub(crate) len: u64,
    /// Address of the first chunk; the others are `first.advance(i)`.
    pub(crate) first: Address,
}

impl Piece {
    /// First chunk number behind the range.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len
    }

    /// The part inside `start..end`, which must overlap the piece.
    fn clipped(&self, start: u64, end: u64) -> Self {
        let from = self.start.max(start);
        Self {
            start: from,
            len: self.end().min(end) - from,
            first: self.first.advance(from - self.start),
        }
    }
}

/// What a range maps to, under its first chunk number.
#[derive(Clone, Copy)]
struct Target {
    len: u64,
    first: Address,
}

/// The map. Equal neighbours made by inserts in rising order are one range.
#[derive(Clone, Default)]
pub(crate) struct ExtentMap {
    ranges: BTreeMap<u64, Target>,
}

impl ExtentMap {
    /// Maps `start..start + len` to `first` and the addresses after it, over what was there.
    pub(crate) fn insert(&mut self, start: u64, len: u64, first: Address) {
        if len == 0 {
            return;
        }
        self.remove(start, len);
        if let Some((&at, before)) = self.ranges.range_mut(..start).next_back()
            && at + before.len == start
            && before.first.advance(before.len) == first
        {
            before.len += len;
            return;
        }
        self.ranges.insert(start, Target { len, first });
    }

    /// Takes `start..start + len` out of the map.
    pub(crate) fn remove(&mut self, start: u64, len: u64) {
        let end = start + len;
        if let Some((&at, before)) = self.ranges.range_mut(..start).next_back()
            && at + before.len > start
        {
            let old = piece(at, *before);
            before.len = start - at;
            self.put_back(old, end);
        }
        while let Some((&at, _)) = self.ranges.range(start..end).next() {
            if let Some(target) = self.ranges.remove(&at) {
                self.put_back(piece(at, target), end);
            }
        }
    }

    /// Keeps what a removed range had from `end` on.
    fn put_back(&mut self, old: Piece, end: u64) {
        if old.end() > end {
            let rest = old.clipped(end, old.end());
            let target = Target {
                len: rest.len,
                first: rest.first,
            };
            self.ranges.insert(rest.start, target);
        }
    }

    /// The address of one chunk, if the map covers it.
    #[cfg(test)]
    pub(crate) fn get(&self, chunk: u64) -> Option<Address> {
        let (&at, target) = self.ranges.range(..=chunk).next_back()?;
        (chunk - at < target.len).then(|| target.first.advance(chunk - at))
    }

    /// The covered parts of `start..start + len`, clipped to it, in order.
    pub(crate) fn pieces(&self, start: u64, len: u64) -> impl Iterator<Item = Piece> {
        let end = start + len;
        let before = self.ranges.range(..start).next_back();
        let inside = self.ranges.range(start..end);
        before
            .into_iter()
            .chain(inside)
            .map(|(&at, &target)| piece(at, target))
            .filter(move |found| found.end() > start && len > 0)
            .map(move |found| found.clipped(start, end))
    }

    /// All ranges in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Piece> {
        self.ranges.iter().map(|(&at, &target)| piece(at, target))
    }

    /// Whether nothing is covered.
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Number of ranges.
    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }
}

fn piece(start: u64, target: Target) -> Piece {
    Piece {
        start,
        len: target.len,
        first: target.first,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{Strategy, prop_oneof};
    use proptest::{collection, prop_assert_eq, proptest};

    use super::{ExtentMap, Piece};
    use crate::addr::{Address, ContainerId};

    fn data(container: u64, slot: u32) -> Address {
        Address::new(ContainerId(container), slot)
    }

    #[test]
    fn sequential_inserts_are_one_range() {
        let mut map = ExtentMap::default();
        for i in 0..64 {
            map.insert(100 + i * 256, 256, data(7, 0).advance(i * 256));
        }
        assert_eq!(map.len(), 1);
        assert_eq!(map.get(100 + 1024), Some(data(8, 0)));
        assert_eq!(map.get(99), None);
    }

    #[test]
    fn an_insert_splits_what_it_hits_inside() {
        let mut map = ExtentMap::default();
        map.insert(0, 10, data(1, 0));
        map.insert(3, 2, Address::HOLE);
        let pieces: Vec<Piece> = map.pieces(1, 8).collect();
        let expected = [
            (1, 2, data(1, 1)),
            (3, 2, Address::HOLE),
            (5, 4, data(1, 5)),
        ];
        assert_eq!(
            pieces,
            expected.map(|(start, len, first)| Piece { start, len, first })
        );
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64, u64, Address),
        Remove(u64, u64),
    }

    fn address() -> impl Strategy<Value = Address> {
        prop_oneof![
            proptest::strategy::Just(Address::HOLE),
            proptest::strategy::Just(Address::ZERO),
            (1u64..3, 0u32..40).prop_map(|(container, slot)| data(container, slot)),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..60, 0u64..20, address()).prop_map(|(s, l, a)| Step::Insert(s, l, a)),
            (0u64..60, 0u64..20).prop_map(|(s, l)| Step::Remove(s, l)),
        ]
    }

    fn apply(model: &mut BTreeMap<u64, Address>, step: &Step) {
        match step {
            Step::Insert(start, len, first) => {
                model.extend((0..*len).map(|i| (start + i, first.advance(i))));
            }
            Step::Remove(start, len) => model.retain(|at, _| *at < *start || *at >= start + len),
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_of_chunks(
            steps in collection::vec(step(), 0..60),
            from in 0u64..80,
            len in 0u64..40,
        ) {
            let mut map = ExtentMap::default();
            let mut model = BTreeMap::new();
            for step in &steps {
                match step {
                    Step::Insert(start, len, first) => map.insert(*start, *len, *first),
                    Step::Remove(start, len) => map.remove(*start, *len),
                }
                apply(&mut model, step);
            }
            for chunk in 0..100 {
                prop_assert_eq!(map.get(chunk), model.get(&chunk).copied());
            }
            let flat = |piece: Piece| (0..piece.len)
                .map(move |i| (piece.start + i, piece.first.advance(i)));
            let all: Vec<_> = map.iter().flat_map(flat).collect();
            prop_assert_eq!(all, model.iter().map(|(c, a)| (*c, *a)).collect::<Vec<_>>());
            let some: Vec<_> = map.pieces(from, len).flat_map(flat).collect();
            let expected: Vec<_> = model.range(from..from + len).map(|(c, a)| (*c, *a)).collect();
            prop_assert_eq!(some, expected);
            prop_assert_eq!(map.is_empty(), model.is_empty());
        }

    }
}
