//! One column of a roster: a small number for each row instead of its text.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::texts::Texts;

/// Room between the labels of neighbours that are added one behind the other.
const STEP: u64 = 1 << 40;

/// A text that rows have, null too. Numbers come first, as columns of numbers are in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Value {
    number: Option<u64>,
    text: Option<Arc<str>>,
}

struct Entry {
    value: Value,
    /// Of the text among all.
    place: Option<usize>,
    /// Labels have the order of the values.
    label: u64,
    uses: u32,
}

/// The distinct texts of a column. A text is known by its symbol; symbols have no order, their
/// labels do, so that a new text between two others changes nothing but itself.
pub(super) struct Dictionary {
    is_numeric: bool,
    entries: Vec<Entry>,
    by_value: BTreeMap<Value, u32>,
    free: Vec<u32>,
    texts: Texts,
}

impl Dictionary {
    fn new(is_numeric: bool) -> Self {
        Self {
            is_numeric,
            entries: Vec::new(),
            by_value: BTreeMap::new(),
            free: Vec::new(),
            texts: Texts::default(),
        }
    }

    fn value(&self, text: Option<&str>) -> Value {
        let number = text.filter(|_| self.is_numeric);
        Value {
            number: number.and_then(|text| text.parse().ok()),
            text: text.map(Arc::from),
        }
    }

    /// The symbol of a text, if a row has it.
    pub(super) fn find(&self, text: Option<&str>) -> Option<u32> {
        self.by_value.get(&self.value(text)).copied()
    }

    /// The label of a symbol.
    pub(super) fn label(&self, symbol: u32) -> u64 {
        self.entries[symbol as usize].label
    }

    /// The text of a symbol.
    pub(super) fn text(&self, symbol: u32) -> Option<&str> {
        self.entries[symbol as usize].value.text.as_deref()
    }

    /// Which symbols' texts have a part.
    pub(super) fn containing(&self, part: &str) -> Vec<bool> {
        let mut found = vec![false; self.entries.len()];
        self.texts.mark(part, &mut found);
        found
    }

    /// How many symbols there may be.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The symbol of a text that one more row has.
    fn take(&mut self, text: Option<&str>) -> u32 {
        let value = self.value(text);
        if let Some(&symbol) = self.by_value.get(&value) {
            self.entries[symbol as usize].uses += 1;
            return symbol;
        }
        let label = self.label_for(&value);
        let entry = Entry {
            value: value.clone(),
            place: None,
            label: label.unwrap_or_default(),
            uses: 1,
        };
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.entries[symbol as usize] = entry;
                symbol
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.place(symbol);
        self.by_value.insert(value, symbol);
        if label.is_none() {
            self.relabel();
        }
        symbol
    }

    /// A label between those of the neighbours; `None` when there is no room.
    fn label_for(&self, value: &Value) -> Option<u64> {
        let label = |(_, &symbol): (&Value, &u32)| self.label(symbol);
        let below = self.by_value.range(..value).next_back().map(label);
        let above = self.by_value.range(value..).next().map(label);
        match (below, above) {
            (None, None) => Some(1 << 63),
            (Some(below), None) => below.checked_add(STEP),
            (None, Some(above)) => above.checked_sub(STEP),
            (Some(below), Some(above)) => {
                let middle = below + (above - below) / 2;
                (middle > below).then_some(middle)
            }
        }
    }

    /// Spreads the labels evenly.
    fn relabel(&mut self) {
        let count = self.by_value.len() as u64;
        let step = STEP.min(u64::MAX / (count + 2));
        let mut label = (1 << 63) - count / 2 * step;
        for &symbol in self.by_value.values() {
            self.entries[symbol as usize].label = label;
            label += step;
        }
    }

    /// Puts the text of a symbol to the others.
    fn place(&mut self, symbol: u32) {
        let entry = &mut self.entries[symbol as usize];
        let text = entry.value.text.as_deref();
        entry.place = text.map(|text| self.texts.add(symbol, text));
    }

    /// One row less has the symbol.
    fn release(&mut self, symbol: u32) {
        let entry = &mut self.entries[symbol as usize];
        entry.uses -= 1;
        if entry.uses == 0 {
            let value = std::mem::take(&mut entry.value);
            if let Some(place) = entry.place.take() {
                self.texts.remove(place);
            }
            self.by_value.remove(&value);
            self.free.push(symbol);
            if self.texts.is_worn() {
                self.texts = Texts::default();
                (0..self.entries.len() as u32).for_each(|symbol| self.place(symbol));
            }
        }
    }
}

/// What rows have in a column.
pub(super) enum Cells {
    /// Symbols of texts.
    Texts(Vec<u32>, Dictionary),
    /// Microseconds since 1970 and one; 0 is null.
    Times(Vec<u64>),
}

/// A column.
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Whether records have it at all.
    pub(super) exists: bool,
    pub(super) cells: Cells,
}

impl Column {
    pub(super) fn new(name: &'static str, cells: Cells) -> Self {
        Self {
            name,
            exists: false,
            cells,
        }
    }

    /// No cells of texts, or of texts that are numbers.
    pub(super) fn texts(is_numeric: bool) -> Cells {
        Cells::Texts(Vec::new(), Dictionary::new(is_numeric))
    }

    /// Adds the cell of the next row.
    pub(super) fn push(&mut self, text: Option<&str>) {
        match &mut self.cells {
            Cells::Texts(symbols, dictionary) => symbols.push(dictionary.take(text)),
            Cells::Times(times) => {
                let us = text.and_then(|text| {
                    let time: jiff::civil::DateTime = text.parse().ok()?;
                    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
                    u64::try_from(zoned.timestamp().as_microsecond()).ok()
                });
                times.push(us.map_or(0, |us| us.saturating_add(1)));
            }
        }
    }

    /// Drops the cells of rows that are not kept.
    pub(super) fn retain(&mut self, kept: &[bool]) {
        let mut keeps = kept.iter();
        let mut keep = || keeps.next().is_some_and(|keep| *keep);
        match &mut self.cells {
            Cells::Times(times) => times.retain(|_| keep()),
            Cells::Texts(symbols, dictionary) => symbols.retain(|&symbol| {
                let keep = keep();
                if !keep {
                    dictionary.release(symbol);
                }
                keep
            }),
        }
    }

    /// A number with the order of the cells.
    pub(super) fn rank(&self, row: usize) -> u64 {
        match &self.cells {
            Cells::Texts(symbols, dictionary) => dictionary.label(symbols[row]),
            Cells::Times(times) => times[row],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof, proptest};

    use super::{Dictionary, STEP};

    proptest! {
        #[test]
        fn labels_have_the_order_of_the_values(
            texts in proptest::collection::vec(prop_oneof![
                proptest::option::of("[a-c]{0,3}"), any::<u8>().prop_map(|n| Some(n.to_string())),
                Just(None),
            ], 0..60),
            numeric in any::<bool>(), released in any::<u64>(),
        ) {
            let mut dictionary = Dictionary::new(numeric);
            let mut symbols = Vec::new();
            for (at, text) in texts.iter().enumerate() {
                let symbol = dictionary.take(text.as_deref());
                if released >> (at % 64) & 1 == 1 {
                    dictionary.release(symbol);
                } else {
                    symbols.push((dictionary.value(text.as_deref()), symbol));
                }
            }
            for (left, a) in &symbols {
                for (right, b) in &symbols {
                    let labels = dictionary.label(*a).cmp(&dictionary.label(*b));
                    prop_assert!(labels == left.cmp(right), "{left:?} {right:?}");
                }
            }
        }
    }

    #[test]
    fn a_place_that_is_narrowed_down_again_and_again_is_made_room_for() {
        let mut dictionary = Dictionary::new(false);
        dictionary.take(Some("z"));
        let mut text = String::new();
        let mut last = dictionary.take(Some(""));
        for _ in 0..4 * STEP.ilog2() {
            text.push('a');
            let next = dictionary.take(Some(&text));
            assert!(dictionary.label(last) < dictionary.label(next));
            last = next;
        }
        assert!(dictionary.label(last) < dictionary.label(dictionary.find(Some("z")).unwrap()));
    }
}
