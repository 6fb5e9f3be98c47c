//! The texts of a dictionary one behind the other, so that all that have a part are found in one pass
//! over memory instead of a look at each.

use memchr::memmem;

/// The symbol of what is no longer there.
const GONE: u32 = u32::MAX;
/// Bytes that nobody needs are tolerated up to this, and up to half of all.
const DEAD_MIN: usize = 64 << 10;

/// Where a text begins; it ends where the next begins.
struct Place {
    start: usize,
    symbol: u32,
}

/// Texts, each with its symbol.
#[derive(Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// In the order of the bytes.
    places: Vec<Place>,
    dead_bytes: usize,
}

impl Texts {
    /// Adds a text; the number is for [`Texts::remove`].
    pub(super) fn add(&mut self, symbol: u32, text: &str) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.places.push(Place { start, symbol });
        self.places.len() - 1
    }

    /// Forgets a text.
    pub(super) fn remove(&mut self, place: usize) {
        self.dead_bytes += self.end(place) - self.places[place].start + size_of::<Place>();
        self.places[place].symbol = GONE;
    }

    /// Whether so much is gone that the rest should be added to a new one.
    pub(super) fn is_worn(&self) -> bool {
        let all = self.bytes.len() + self.places.len() * size_of::<Place>();
        self.dead_bytes > DEAD_MIN && self.dead_bytes * 2 > all
    }

    fn end(&self, place: usize) -> usize {
        let next = self.places.get(place + 1);
        next.map_or(self.bytes.len(), |next| next.start)
    }

    /// Marks the symbols of the texts that have a part.
    pub(super) fn mark(&self, part: &str, marks: &mut [bool]) {
        let mut mark = |symbol: u32| {
            if symbol != GONE {
                marks[symbol as usize] = true;
            }
        };
        if part.is_empty() {
            return self.places.iter().for_each(|place| mark(place.symbol));
        }
        let finder = memmem::Finder::new(part);
        let (mut from, mut place) = (0, 0);
        while let Some(hit) = finder.find(&self.bytes[from..]) {
            let hit = from + hit;
            while self.end(place) <= hit {
                place += 1;
            }
            let end = self.end(place);
            // One that reaches into the next text is none.
            from = hit + 1;
            if hit + part.len() <= end {
                mark(self.places[place].symbol);
                from = end;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Texts;

    proptest! {
        #[test]
        fn those_with_the_part_are_marked(
            all in proptest::collection::vec(("[ab]{0,4}", any::<bool>()), 0..40), part in "[ab]{0,3}",
        ) {
            let mut texts = Texts::default();
            for (symbol, (text, _)) in all.iter().enumerate() {
                texts.add(symbol as u32, text);
            }
            for (place, (_, stays)) in all.iter().enumerate() {
                if !stays {
                    texts.remove(place);
                }
            }
            let mut marks = vec![false; all.len()];
            texts.mark(&part, &mut marks);
            let wanted = all.iter().map(|(text, stays)| *stays && text.contains(&part));
            prop_assert_eq!(marks, wanted.collect::<Vec<_>>());
        }
    }
}
