//! A brake on guessing passwords.
//!
//! Failures are counted for a user from an address, for a user from anywhere and for an address
//! whoever is tried, so that neither many addresses nor many names get a guesser further. What is
//! remembered is bounded, and no flood of names keeps others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Length of a window in which failures are counted.
const WINDOW_US: u64 = 60_000_000;
/// Failures of a user from one address before more are refused: more than a person mistypes.
const PAIR_MAX: u32 = 10;
/// Failures of a user from anywhere: a day of this is less than a million guesses.
const USER_MAX: u32 = 100;
/// Failures from an address whoever is tried: many people may share one.
const ADDRESS_MAX: u32 = 200;
/// Windows remembered; when full, finished ones go, else the oldest tenth.
const WINDOWS_MAX: usize = 10_000;

/// The name of a window: a hash, for names come from outside and may be long.
type Name = [u8; 32];

/// Failed logins of late.
#[derive(Debug, Default)]
pub(crate) struct LoginLimiter {
    windows: Mutex<HashMap<Name, Window>>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since_us: u64,
    failures: u32,
}

/// Whether an attempt is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Heard,
    /// It fails whatever the password: the user is locked for now.
    Locked,
    /// It is not even looked at: the address has failed too often.
    Refused,
}

fn name(parts: [&str; 3]) -> Name {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

/// An address as it is counted: all of an IPv6 network of one customer are one.
pub(crate) fn counted(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}")
        }
    }
}

/// What an attempt counts for, with the most failures of each.
fn counts(user: &str, address: &str) -> [(Name, u32); 3] {
    [
        (name(["address", address, ""]), ADDRESS_MAX),
        (name(["pair", user, address]), PAIR_MAX),
        (name(["user", user, ""]), USER_MAX),
    ]
}

impl LoginLimiter {
    /// Whether an attempt is heard.
    pub(crate) fn verdict(&self, user: &str, address: &str, now_us: u64) -> Verdict {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts(user, address).map(|(name, most)| {
            let window = windows.get(&name);
            window.is_some_and(|window| window.is_live(now_us) && window.failures >= most)
        });
        match full {
            [true, ..] => Verdict::Refused,
            [false, false, false] => Verdict::Heard,
            [false, ..] => Verdict::Locked,
        }
    }

    /// Counts a failed attempt; whether it is the one that locks the user.
    pub(crate) fn failed(&self, user: &str, address: &str, now_us: u64) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut locks = false;
        for (at, (name, most)) in counts(user, address).into_iter().enumerate() {
            make_room(&mut windows, &name, now_us);
            let window = windows.entry(name).or_insert(Window::new(now_us));
            if !window.is_live(now_us) {
                *window = Window::new(now_us);
            }
            window.failures = window.failures.saturating_add(1);
            locks |= at > 0 && window.failures == most;
        }
        locks
    }

    /// Forgets what a user failed at from an address.
    pub(crate) fn succeeded(&self, user: &str, address: &str) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        windows.remove(&name(["pair", user, address]));
    }
}

fn make_room(windows: &mut HashMap<Name, Window>, name: &Name, now_us: u64) {
    if windows.len() < WINDOWS_MAX || windows.contains_key(name) {
        return;
    }
    windows.retain(|_, window| window.is_live(now_us));
    if windows.len() >= WINDOWS_MAX {
        // A tenth at a time, so that a flood is not a walk through all for each name.
        let mut begun: Vec<u64> = windows.values().map(|window| window.since_us).collect();
        let (_, cut, _) = begun.select_nth_unstable(WINDOWS_MAX / 10);
        windows.retain(|_, window| window.since_us > *cut);
    }
}

impl Window {
    fn new(now_us: u64) -> Self {
        Self {
            since_us: now_us,
            failures: 0,
        }
    }

    fn is_live(&self, now_us: u64) -> bool {
        now_us.saturating_sub(self.since_us) < WINDOW_US
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ADDRESS_MAX, LoginLimiter, PAIR_MAX, USER_MAX, Verdict, WINDOW_US, WINDOWS_MAX, counted,
    };

    #[test]
    fn a_user_is_locked_at_an_address_until_the_window_has_passed() {
        let limiter = LoginLimiter::default();
        for failure in 1..=PAIR_MAX {
            assert_eq!(limiter.verdict("u", "a", 1), Verdict::Heard);
            assert_eq!(limiter.failed("u", "a", 1), failure == PAIR_MAX);
        }
        assert_eq!(limiter.verdict("u", "a", 2), Verdict::Locked);
        assert_eq!(limiter.verdict("u", "b", 2), Verdict::Heard);
        assert_eq!(limiter.verdict("v", "a", 2), Verdict::Heard);
        assert_eq!(limiter.verdict("u", "a", 1 + WINDOW_US), Verdict::Heard);
    }

    #[test]
    fn many_addresses_and_many_names_get_no_further() {
        let limiter = LoginLimiter::default();
        for at in 0..USER_MAX {
            limiter.failed("u", &format!("a{at}"), 1);
        }
        assert_eq!(limiter.verdict("u", "another", 1), Verdict::Locked);
        for at in 0..ADDRESS_MAX {
            limiter.failed(&format!("v{at}"), "a", 1);
        }
        assert_eq!(limiter.verdict("another", "a", 1), Verdict::Refused);
        assert_eq!(limiter.verdict("another", "b", 1), Verdict::Heard);
    }

    #[test]
    fn a_flood_of_names_takes_no_more_memory_and_locks_nobody_out() {
        let limiter = LoginLimiter::default();
        for at in 0..WINDOWS_MAX {
            limiter.failed(&format!("u{at}"), &format!("a{at}"), at as u64);
        }
        let windows = limiter.windows.lock().unwrap().len();
        assert!(windows <= WINDOWS_MAX, "{windows}");
        assert_eq!(limiter.verdict("new", "new", 1), Verdict::Heard);
    }

    #[test]
    fn a_success_forgets_the_failures_of_the_pair() {
        let limiter = LoginLimiter::default();
        for _ in 1..PAIR_MAX {
            limiter.failed("u", "a", 1);
        }
        limiter.succeeded("u", "a");
        limiter.failed("u", "a", 1);
        assert_eq!(limiter.verdict("u", "a", 1), Verdict::Heard);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let text = |address: &str| counted(address.parse().unwrap());
        assert_eq!(text("2001:db8::1"), text("2001:db8:0:0:ffff::2"));
        assert_ne!(text("2001:db8::1"), text("2001:db8:0:1::1"));
        assert_eq!(text("::ffff:10.0.0.1"), "10.0.0.1");
    }
}
