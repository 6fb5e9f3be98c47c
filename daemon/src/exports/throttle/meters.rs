//! Token buckets: what may pass now, and how long the rest must wait. Pure; time comes in.
//!
//! A bucket fills at its rate up to its capacity. A request passes when no bucket it counts in is
//! empty, and is then taken out of all of them, whatever its size: a large request leaves a debt
//! that later ones wait out. The long-term rate is therefore exact for any size of request.
//!
//! A limit with a burst has two buckets: one that fills at the limit and holds a second of the
//! burst, and one that holds the burst itself to its own rate.

use std::time::Duration;

use api::cinder::{IoLimits, Rate};

/// Tokens are counted in millionths, so that a microsecond's worth of any rate is a whole number.
const SCALE: i128 = 1_000_000;
/// What a bucket without a burst holds: a tenth of a second of its rate, as hypervisors do.
const DEFAULT_SHARE: u64 = 10;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the client.
    Read,
    /// To the volume.
    Write,
}

/// A request to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    pub(super) direction: Direction,
    /// Bytes that travel; none for zeroing and trimming.
    pub(super) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Requests,
    Bytes,
}

#[derive(Debug)]
struct Bucket {
    per_s: u64,
    capacity: i128,
    level: i128,
    at_us: u64,
}

impl Bucket {
    fn full(per_s: u64, capacity: u64, now_us: u64) -> Self {
        let capacity = i128::from(capacity.max(1)) * SCALE;
        Self {
            per_s,
            capacity,
            level: capacity,
            at_us: now_us,
        }
    }

    fn fill(&mut self, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.at_us);
        let more = i128::from(self.per_s) * i128::from(passed_us);
        self.level = (self.level + more).min(self.capacity);
        self.at_us = self.at_us.max(now_us);
    }

    /// Microseconds until something is in it.
    fn wait_us(&self) -> u64 {
        if self.level > 0 {
            return 0;
        }
        let wait = -self.level / i128::from(self.per_s.max(1)) + 1;
        u64::try_from(wait).unwrap_or(u64::MAX)
    }
}

/// One limit: what counts in it, and its buckets.
#[derive(Debug)]
struct Meter {
    /// `None` counts both ways.
    direction: Option<Direction>,
    unit: Unit,
    buckets: Vec<Bucket>,
}

impl Meter {
    fn new(direction: Option<Direction>, unit: Unit, rate: Rate, now_us: u64) -> Self {
        let (per_s, burst) = (rate.per_s, rate.burst_per_s);
        let buckets = match burst.filter(|burst| *burst > per_s) {
            None => vec![Bucket::full(per_s, per_s / DEFAULT_SHARE, now_us)],
            Some(burst) => vec![
                Bucket::full(per_s, burst, now_us),
                Bucket::full(burst, burst / DEFAULT_SHARE, now_us),
            ],
        };
        Self {
            direction,
            unit,
            buckets,
        }
    }

    /// What an operation takes out of it.
    fn cost(&self, operation: Operation) -> i128 {
        if self.direction.is_some_and(|own| own != operation.direction) {
            return 0;
        }
        match self.unit {
            Unit::Requests => SCALE,
            Unit::Bytes => i128::from(operation.bytes) * SCALE,
        }
    }
}

/// All limits of a volume.
#[derive(Debug, Default)]
pub(super) struct Meters {
    limits: IoLimits,
    meters: Vec<Meter>,
}

impl Meters {
    /// Takes other limits; equal ones change nothing, so that reading them again gives no burst.
    pub(super) fn set(&mut self, limits: IoLimits, now_us: u64) {
        if self.limits == limits {
            return;
        }
        let (read, write) = (Some(Direction::Read), Some(Direction::Write));
        self.meters = [
            (None, Unit::Requests, limits.total_iops),
            (read, Unit::Requests, limits.read_iops),
            (write, Unit::Requests, limits.write_iops),
            (None, Unit::Bytes, limits.total_bytes),
            (read, Unit::Bytes, limits.read_bytes),
            (write, Unit::Bytes, limits.write_bytes),
        ]
        .into_iter()
        .filter_map(|(direction, unit, rate)| Some(Meter::new(direction, unit, rate?, now_us)))
        .collect();
        self.limits = limits;
    }

    /// Counts an operation, or says how long it must wait.
    pub(super) fn take(&mut self, operation: Operation, now_us: u64) -> Result<(), Duration> {
        let mut wait_us = 0;
        for meter in &mut self.meters {
            let counts = meter.cost(operation) > 0;
            for bucket in &mut meter.buckets {
                bucket.fill(now_us);
                if counts {
                    wait_us = wait_us.max(bucket.wait_us());
                }
            }
        }
        if wait_us > 0 {
            return Err(Duration::from_micros(wait_us));
        }
        for meter in &mut self.meters {
            let cost = meter.cost(operation);
            for bucket in &mut meter.buckets {
                bucket.level -= cost;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use api::cinder::{IoLimits, Rate};
    use proptest::prelude::{prop_assert, proptest};

    use super::{Direction, Meters, Operation};

    const SECOND_US: u64 = 1_000_000;

    fn rate(per_s: u64) -> Option<Rate> {
        Some(Rate {
            per_s,
            burst_per_s: None,
        })
    }

    fn meters(limits: IoLimits) -> Meters {
        let mut meters = Meters::default();
        meters.set(limits, 0);
        meters
    }

    fn read(bytes: u64) -> Operation {
        Operation {
            direction: Direction::Read,
            bytes,
        }
    }

    fn write(bytes: u64) -> Operation {
        Operation {
            direction: Direction::Write,
            bytes,
        }
    }

    /// How many of these operations pass until the fake clock shows `until_us`, one after another.
    fn passed(meters: &mut Meters, operation: Operation, from_us: u64, until_us: u64) -> u64 {
        let (mut now_us, mut count) = (from_us, 0);
        while now_us < until_us {
            match meters.take(operation, now_us) {
                Ok(()) => count += 1,
                Err(wait) => now_us += u64::try_from(wait.as_micros()).unwrap(),
            }
        }
        count
    }

    #[test]
    fn a_rate_holds_over_time_whatever_the_size_of_requests() {
        let limits = IoLimits {
            read_iops: rate(100),
            write_bytes: rate(1 << 20),
            ..IoLimits::default()
        };
        let mut meters = meters(limits);
        // A tenth of a second's worth is there at the beginning.
        assert_eq!(passed(&mut meters, read(4096), 0, 10 * SECOND_US), 1010);
        for size in [4096, 65_536, 8 << 20] {
            let mut meters = self::meters(limits);
            let bytes = passed(&mut meters, write(size), 0, 100 * SECOND_US) * size;
            let allowed = 100 << 20;
            assert!(
                bytes >= allowed && bytes <= allowed + (1 << 20) / 10 + size,
                "{size} {bytes}"
            );
        }
    }

    #[test]
    fn directions_count_apart_and_totals_count_both() {
        let limits = IoLimits {
            read_iops: rate(10),
            ..IoLimits::default()
        };
        let mut only_reads = meters(limits);
        assert!(only_reads.take(read(1), 0).is_ok());
        assert!(only_reads.take(read(1), 0).is_err());
        assert!((0..1000).all(|_| only_reads.take(write(1), 0).is_ok()));
        let limits = IoLimits {
            total_iops: rate(10),
            ..IoLimits::default()
        };
        let mut both = meters(limits);
        assert!(both.take(read(1), 0).is_ok());
        assert!(both.take(write(1), 0).is_err());
        assert!(both.take(write(1), SECOND_US / 10).is_ok());
    }

    #[test]
    fn a_burst_lasts_a_second_at_its_own_rate() {
        let limits = IoLimits {
            total_iops: Some(Rate {
                per_s: 100,
                burst_per_s: Some(1000),
            }),
            ..IoLimits::default()
        };
        let mut meters = meters(limits);
        let first = passed(&mut meters, read(0), 0, SECOND_US);
        assert!((1000..=1100).contains(&first), "{first}");
        let later = passed(&mut meters, read(0), 2 * SECOND_US, 12 * SECOND_US);
        assert!((1000..=1100).contains(&later), "{later}");
        // After a rest the burst is there again.
        let again = passed(&mut meters, read(0), 30 * SECOND_US, 31 * SECOND_US);
        assert!((1000..=1100).contains(&again), "{again}");
    }

    #[test]
    fn the_same_limits_again_give_nothing_and_none_hold_nothing() {
        let limits = IoLimits {
            total_iops: rate(10),
            ..IoLimits::default()
        };
        let mut meters = meters(limits);
        meters.take(read(1), 0).unwrap();
        meters.set(limits, 0);
        assert!(meters.take(read(1), 0).is_err());
        meters.set(IoLimits::default(), 0);
        assert!((0..1000).all(|_| meters.take(read(1 << 30), 0).is_ok()));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_its_due(
            per_s in 1_u64..100_000,
            sizes in proptest::collection::vec(1_u64..200_000, 1..50),
            gaps in proptest::collection::vec(0_u64..300_000, 1..50),
        ) {
            let limits = IoLimits { total_bytes: rate(per_s), ..IoLimits::default() };
            let mut meters = meters(limits);
            let (mut now_us, mut taken) = (0_u64, 0_u64);
            for (size, gap) in sizes.iter().zip(gaps) {
                now_us += gap;
                while let Err(wait) = meters.take(read(*size), now_us) {
                    now_us += u64::try_from(wait.as_micros()).unwrap();
                }
                // What was there at first, what has come since, and the debt of the last request.
                let due = per_s / 10 + 1 + per_s * now_us / SECOND_US;
                prop_assert!(taken <= due, "{taken} {due}");
                taken += size;
            }
        }
    }
}
