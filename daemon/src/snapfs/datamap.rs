//! Where a disk has data: what `SEEK_DATA`, `SEEK_HOLE` and `st_blocks` are answered from. Pure.

/// Runs of data of a disk, in order, apart from one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DataMap {
    /// Start and end of each, in bytes.
    runs: Vec<(u64, u64)>,
    data_bytes: u64,
    size_bytes: u64,
}

/// Runs kept of one disk (16 bytes each); of a more scattered disk the rest counts as data.
const RUNS_MAX: usize = 1 << 18;

impl DataMap {
    /// A map that knows nothing yet: a disk of holes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends what follows.
    pub(crate) fn push(&mut self, length: u64, is_data: bool) {
        let start = self.size_bytes;
        self.size_bytes += length;
        if !is_data || length == 0 {
            return;
        }
        self.data_bytes += length;
        let full = self.runs.len() == RUNS_MAX;
        match self.runs.last_mut() {
            Some((_, end)) if *end == start || full => *end = self.size_bytes,
            _ => self.runs.push((start, self.size_bytes)),
        }
    }

    /// How far the map reaches.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Bytes of data in all.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The run that holds `offset`, or the first after it.
    fn run_from(&self, offset: u64) -> Option<(u64, u64)> {
        let index = self.runs.partition_point(|(_, end)| *end <= offset);
        self.runs.get(index).copied()
    }

    /// The first byte of data from `offset` on.
    pub(crate) fn seek_data(&self, offset: u64) -> Option<u64> {
        let (start, _) = self.run_from(offset)?;
        Some(start.max(offset))
    }

    /// The first byte of a hole from `offset` on; the end of the disk counts as one.
    pub(crate) fn seek_hole(&self, offset: u64) -> Option<u64> {
        if offset >= self.size_bytes {
            return None;
        }
        match self.run_from(offset) {
            Some((start, end)) if start <= offset => Some(end),
            _ => Some(offset),
        }
    }

    /// Whether there is no data in the range.
    pub(crate) fn is_hole(&self, offset: u64, length: u64) -> bool {
        let first = self.seek_data(offset);
        first.is_none_or(|data| data >= offset.saturating_add(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::DataMap;

    proptest! {
        #[test]
        fn answers_are_those_of_a_list_of_bytes(
            extents in proptest::collection::vec((0u64..5, any::<bool>()), 0..12),
            from in 0u64..50,
            length in 0u64..10,
        ) {
            let mut map = DataMap::new();
            let mut bytes = Vec::new();
            for (length, data) in extents {
                map.push(length, data);
                bytes.extend(std::iter::repeat_n(data, length as usize));
            }
            let size = bytes.len() as u64;
            prop_assert_eq!(map.size_bytes(), size);
            prop_assert_eq!(map.data_bytes(), bytes.iter().filter(|data| **data).count() as u64);
            let data = (from..size).find(|at| bytes[*at as usize]);
            prop_assert_eq!(map.seek_data(from), data);
            let hole = (from..size).find(|at| !bytes[*at as usize]);
            prop_assert_eq!(map.seek_hole(from), hole.or((from < size).then_some(size)));
            let none = !(from..size.min(from + length)).any(|at| bytes[at as usize]);
            prop_assert_eq!(map.is_hole(from, length), none);
        }
    }
}
