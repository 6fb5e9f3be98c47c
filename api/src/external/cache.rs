//! What the Keystone said of tokens, good and bad, for a bounded time and number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::token::Validated;
use super::{Expired, TOKEN_BYTES_MAX};

/// Answers kept at most; beyond that all are forgotten and asked for again.
const ANSWERS_MAX: usize = 4096;

/// A token without its text: a hash of it, and what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32], Expired);

impl Key {
    /// The key of a token's text; `None` when it cannot be one.
    pub(super) fn of(text: &str, expired: Expired) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= TOKEN_BYTES_MAX;
        fits.then(|| Self(*blake3::hash(text.as_bytes()).as_bytes(), expired))
    }

    pub(super) fn expired(&self) -> Expired {
        self.1
    }
}

struct Answer {
    at_us: u64,
    found: Option<Arc<Validated>>,
}

/// The answers of late.
pub(super) struct Cache {
    lifetime_us: u64,
    answers: HashMap<Key, Answer>,
}

impl Cache {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime_us: u64::try_from(lifetime.as_micros()).unwrap_or(u64::MAX),
            answers: HashMap::new(),
        }
    }

    /// The answer about a token, if there is one that holds.
    pub(super) fn find(&self, key: &Key, now_us: u64) -> Option<Option<Arc<Validated>>> {
        let answer = self.answers.get(key)?;
        // A clock that was set back makes no answer last longer.
        let age_us = now_us.checked_sub(answer.at_us)?;
        (age_us < self.lifetime_us).then(|| answer.found.clone())
    }

    pub(super) fn keep(&mut self, key: Key, found: Option<Arc<Validated>>, now_us: u64) {
        if self.lifetime_us == 0 {
            return;
        }
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.clear();
        }
        let at_us = now_us;
        self.answers.insert(key, Answer { at_us, found });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Expired;
    use super::{ANSWERS_MAX, Cache, Key};

    fn key(text: &str) -> Key {
        Key::of(text, Expired::Refused).unwrap()
    }

    #[test]
    fn answers_hold_for_their_time_only() {
        let mut cache = Cache::new(Duration::from_secs(1));
        cache.keep(key("a"), None, 5_000_000);
        assert!(cache.find(&key("a"), 5_999_999).is_some());
        assert!(cache.find(&key("a"), 6_000_000).is_none());
        assert!(cache.find(&key("a"), 4_999_999).is_none());
        assert!(cache.find(&key("b"), 5_000_000).is_none());
        let mut none = Cache::new(Duration::ZERO);
        none.keep(key("a"), None, 0);
        assert!(none.find(&key("a"), 0).is_none());
    }

    #[test]
    fn there_are_never_too_many() {
        let mut cache = Cache::new(Duration::from_secs(1));
        for number in 0..=ANSWERS_MAX {
            cache.keep(key(&number.to_string()), None, 0);
        }
        assert!(cache.answers.len() <= ANSWERS_MAX);
        assert!(cache.find(&key(&ANSWERS_MAX.to_string()), 0).is_some());
    }

    #[test]
    fn what_cannot_be_a_token_has_no_key() {
        for text in [String::new(), "x".repeat(8193)] {
            assert_eq!(Key::of(&text, Expired::Refused), None);
        }
    }
}
