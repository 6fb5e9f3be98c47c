//! Tokens of callers that jobs go on with: in memory alone, each for one job, for a bounded time and
//! number.

use std::collections::HashMap;

use uuid::Uuid;

use super::UserToken;

/// Tokens kept at most; a job that finds none asks as ourselves.
const LENT_MAX: usize = 4096;
/// Tokens live an hour or a few; one that no job took by then was for a job that never came to be.
const KEPT_US: u64 = 24 * 3600 * 1_000_000;

/// What is lent.
#[derive(Default)]
pub(super) struct Lent(HashMap<Uuid, (UserToken, u64)>);

impl Lent {
    pub(super) fn put(&mut self, job: Uuid, token: UserToken, now_us: u64) {
        if self.0.len() >= LENT_MAX {
            self.0
                .retain(|_, (_, at_us)| now_us.saturating_sub(*at_us) < KEPT_US);
        }
        if self.0.len() < LENT_MAX {
            self.0.insert(job, (token, now_us));
        }
    }

    pub(super) fn take(&mut self, job: Uuid) -> Option<UserToken> {
        self.0.remove(&job).map(|(token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{KEPT_US, LENT_MAX, Lent};
    use crate::external::glance::UserToken;

    #[test]
    fn a_token_is_lent_once_and_there_are_never_too_many() {
        let (mut lent, job) = (Lent::default(), Uuid::new_v4());
        lent.put(job, UserToken::new("a"), 0);
        assert_eq!(lent.take(job).unwrap().text(), "a");
        assert!(lent.take(job).is_none());
        for _ in 0..LENT_MAX {
            lent.put(Uuid::new_v4(), UserToken::new("a"), 0);
        }
        lent.put(job, UserToken::new("b"), KEPT_US - 1);
        assert!(lent.take(job).is_none());
        // What nobody came for makes room.
        lent.put(job, UserToken::new("c"), KEPT_US);
        assert_eq!(lent.0.len(), 1);
        assert_eq!(lent.take(job).unwrap().text(), "c");
    }
}
