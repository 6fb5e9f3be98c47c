//! A brake on guessing passwords.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Failures per user and address within a window before further attempts are refused unheard.
const FAILURES_MAX: u32 = 10;
/// Length of a window.
const WINDOW_US: u64 = 60_000_000;
/// Pairs remembered; when full, finished windows are dropped, and if none is, new pairs are refused.
const PAIRS_MAX: usize = 10_000;

/// Failed logins by user and address.
#[derive(Debug, Default)]
pub(crate) struct LoginLimiter {
    windows: Mutex<HashMap<(String, String), Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since_us: u64,
    failures: u32,
}

impl LoginLimiter {
    /// Whether an attempt may be made.
    pub(crate) fn permits(&self, user: &str, address: &str, now_us: u64) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let live = |window: &Window| now_us.saturating_sub(window.since_us) < WINDOW_US;
        match windows.get(&(user.to_owned(), address.to_owned())) {
            Some(window) => !live(window) || window.failures < FAILURES_MAX,
            None => {
                if windows.len() >= PAIRS_MAX {
                    windows.retain(|_, window| live(window));
                }
                windows.len() < PAIRS_MAX
            }
        }
    }

    /// Counts a failed attempt.
    pub(crate) fn failed(&self, user: &str, address: &str, now_us: u64) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Window {
            since_us: now_us,
            failures: 0,
        };
        let pair = (user.to_owned(), address.to_owned());
        let window = windows.entry(pair).or_insert(fresh);
        if now_us.saturating_sub(window.since_us) >= WINDOW_US {
            *window = fresh;
        }
        window.failures += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILURES_MAX, LoginLimiter, WINDOW_US};

    #[test]
    fn too_many_failures_wait_for_the_window_to_pass() {
        let limiter = LoginLimiter::default();
        for _ in 0..FAILURES_MAX {
            assert!(limiter.permits("u", "a", 1));
            limiter.failed("u", "a", 1);
        }
        assert!(!limiter.permits("u", "a", 2));
        assert!(limiter.permits("u", "b", 2));
        assert!(limiter.permits("v", "a", 2));
        assert!(limiter.permits("u", "a", 1 + WINDOW_US));
    }
}
