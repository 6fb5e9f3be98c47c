//! Composite index keys whose byte order is the order of their parts.
//!
//! A text is its bytes with 0x00 written as 0x00 0xff, ended by 0x00 0x00, so that no text is a
//! prefix of another's encoding. Numbers are big-endian; descending parts are the complement.

use uuid::Uuid;

/// A key under construction; parts are appended left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// The empty key: a prefix of every other.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a text, ascending.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        for byte in text.bytes() {
            self.0.push(byte);
            if byte == 0 {
                self.0.push(0xff);
            }
        }
        self.0.extend([0, 0]);
        self
    }

    /// Appends a number, ascending.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    /// Appends a number, descending.
    #[must_use]
    pub fn number_desc(self, number: u64) -> Self {
        self.number(!number)
    }

    /// Appends a UUID, ascending.
    #[must_use]
    pub fn uuid(mut self, id: Uuid) -> Self {
        self.0.extend(id.as_bytes());
        self
    }

    /// Appends a UUID, descending.
    #[must_use]
    pub fn uuid_desc(mut self, id: Uuid) -> Self {
        self.0.extend(id.as_bytes().map(|byte| !byte));
        self
    }

    /// Appends yes or no, no first.
    #[must_use]
    pub fn flag(mut self, flag: bool) -> Self {
        self.0.push(u8::from(flag));
        self
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The least byte string above everything that starts with this key; `None` if there is none.
    pub(super) fn prefix_end(&self) -> Option<Vec<u8>> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return Some(end);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Key;

    proptest! {
        #[test]
        fn order_of_keys_is_order_of_parts(
            a in (".{0,6}", any::<u64>()), b in (".{0,6}", any::<u64>()),
        ) {
            let key = |(text, number): &(String, u64)| Key::new().text(text).number_desc(*number);
            let parts = |(text, number): &(String, u64)| (text.clone(), std::cmp::Reverse(*number));
            prop_assert_eq!(key(&a).cmp(&key(&b)), parts(&a).cmp(&parts(&b)));
        }

        #[test]
        fn prefix_range_holds_exactly_the_prefixed(prefix: Vec<u8>, other: Vec<u8>) {
            let key = Key(prefix.clone());
            let end = key.prefix_end();
            let inside = other >= prefix && end.is_none_or(|end| other < end);
            prop_assert_eq!(inside, other.starts_with(&prefix));
        }
    }
}
