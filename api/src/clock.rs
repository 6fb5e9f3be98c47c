//! Wall clock as a value, and the texts OpenStack writes times in.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// Where the services take the time from; tests turn the hands themselves.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The clock of `io`, as the engine uses it.
    pub fn of(io: Arc<dyn store::disk::Io>) -> Self {
        Self(Arc::new(move || io.now_us()))
    }

    /// The system's clock.
    pub fn system() -> Self {
        Self(Arc::new(|| {
            u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
        }))
    }

    /// A clock that shows what `hands` holds.
    pub fn manual(hands: Arc<AtomicU64>) -> Self {
        Self(Arc::new(move || hands.load(Ordering::SeqCst)))
    }

    /// Microseconds since 1970.
    pub fn now_us(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

fn text(us: u64, format: &str) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
    time.strftime(format).to_string()
}

/// `2015-11-29T03:01:44.000000`, as Block Storage writes times.
pub fn volume_time(us: u64) -> String {
    text(us, "%Y-%m-%dT%H:%M:%S.%6f")
}

/// `2015-11-29T03:01:44.000000Z`, as Identity writes times.
pub fn identity_time(us: u64) -> String {
    text(us, "%Y-%m-%dT%H:%M:%S.%6fZ")
}

/// `2015-11-29T03:01:44Z`, as Image writes times.
pub fn image_time(us: u64) -> String {
    text(us, "%Y-%m-%dT%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    use super::{identity_time, volume_time};

    #[test]
    fn times_have_six_digits() {
        assert_eq!(
            volume_time(1_448_766_104_000_001),
            "2015-11-29T03:01:44.000001"
        );
        assert_eq!(identity_time(0), "1970-01-01T00:00:00.000000Z");
        assert!(!volume_time(u64::MAX).is_empty());
    }
}
