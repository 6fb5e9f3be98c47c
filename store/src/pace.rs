//! When packing may begin.
//!
//! Guests wait for what they ask, and nobody for the packer until the raw tier fills: what is
//! overwritten before it is packed need never be. So packing keeps out of the way of a burst, within
//! bounds: it begins when guests have been quiet for a moment, when a segment has waited for long,
//! or when room is short. When they come back it goes on in a quarter of the time, as does all other
//! work in the background.

use std::time::Duration;

use crate::engine::Engine;
use crate::maintain::Maintenance;

/// Guests that did nothing for so long are quiet.
const QUIET_US: u64 = 1_000_000;
/// How long an ended segment waits at most while guests are busy.
const WAIT_US: u64 = 30_000_000;

/// Work between two looks whether guests are there, at least.
const PIECE_US: u64 = 2_000;
/// Rest after a piece of work beside guests, in times of what it took, and the longest.
const REST_TIMES: u64 = 3;
const REST_US_MAX: u64 = 500_000;

/// What was last seen, and since when it has not changed.
#[derive(Clone, Copy)]
struct Unchanged {
    what: u64,
    since_us: u64,
}

impl Unchanged {
    /// How long it has been as it is now.
    fn for_us(&mut self, what: u64, now_us: u64) -> u64 {
        if self.what != what {
            (self.what, self.since_us) = (what, now_us);
        }
        now_us.saturating_sub(self.since_us)
    }
}

/// How long guests have been quiet, and how long the oldest ended segment has waited.
pub(crate) struct Pace {
    operations: Unchanged,
    oldest: Unchanged,
}

impl Pace {
    pub(crate) fn new(now_us: u64) -> Self {
        let start = Unchanged {
            what: 0,
            since_us: now_us,
        };
        Self {
            operations: start,
            oldest: start,
        }
    }

    fn is_due(&mut self, operations: u64, oldest: Option<u64>, now_us: u64) -> bool {
        let quiet = self.operations.for_us(operations, now_us) >= QUIET_US;
        let Some(oldest) = oldest else { return false };
        self.oldest.for_us(oldest, now_us) >= WAIT_US || quiet
    }
}

/// A piece of work in the background: when it began, and how much guests had done by then.
pub(crate) struct Piece {
    operations: u64,
    began_us: u64,
}

impl Engine {
    /// Begins a piece of work that [`Self::rest_after`] ends.
    pub(crate) fn piece(&self) -> Piece {
        Piece {
            operations: self.operations(),
            began_us: self.io.now_us(),
        }
    }

    /// Rests after a piece of work during which guests asked for something, unless room is short.
    pub(crate) fn rest_after(&self, piece: &mut Piece) {
        let took_us = self.io.now_us().saturating_sub(piece.began_us);
        if took_us < PIECE_US {
            return;
        }
        if self.operations() != piece.operations && !self.raw_tier_is_tight() {
            let rest_us = (took_us * REST_TIMES).min(REST_US_MAX);
            self.threads.rest(Duration::from_micros(rest_us));
        }
        *piece = self.piece();
    }

    /// Whether ended segments should be packed now. To be asked in every turn, as it notes what has
    /// changed since the last.
    pub(crate) fn packing_is_due(&self, maintenance: &mut Maintenance) -> bool {
        let segments = self.journal.ended_segments();
        let oldest = segments.iter().find(|one| !maintenance.is_locked(one));
        let oldest = oldest.map(|segment| segment.header.number);
        let now_us = self.io.now_us();
        let quiet = maintenance.pace.is_due(self.operations(), oldest, now_us);
        oldest.is_some() && (quiet || self.raw_tier_is_tight())
    }

    /// Whether the raw tier is over half of its quota, or the disk has less room left than packing all
    /// of it could take.
    pub(crate) fn raw_tier_is_tight(&self) -> bool {
        self.journal.bytes() > self.raw_quota_bytes / 2 || !self.has_room_to_pack()
    }

    /// Whether the disk has room for packing all of the raw tier, should nothing of it get smaller.
    pub(crate) fn has_room_to_pack(&self) -> bool {
        let bytes = self.journal.bytes();
        self.reserve.check_room(bytes, self.ranges.bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Pace, Piece, REST_US_MAX};
    use crate::disk::sim::SimIo;
    use crate::engine::Engine;
    use crate::model::open;

    /// Times that a pool which did rest would take several deadlines for.
    const RESTS: u32 = 200;
    const DEADLINE: Duration = Duration::from_secs(20);

    /// Ends a piece of work that took a second, beside a guest.
    fn rest_beside_a_guest(engine: &Engine) {
        engine.rest_after(&mut Piece {
            operations: engine.operations() + 1,
            began_us: engine.io.now_us() - 1_000_000,
        });
    }

    #[test]
    fn closing_the_pool_ends_rests_and_those_to_come() {
        let io = SimIo::new(1);
        io.set_now_us(2_000_000);
        let store = open(&io).unwrap();
        let engine = store.engine_for_tests();
        let began = Instant::now();
        rest_beside_a_guest(&engine);
        assert!(began.elapsed() >= Duration::from_micros(REST_US_MAX));
        let (ended, wait) = channel();
        let resting = Arc::clone(&engine);
        thread::spawn(move || {
            resting.threads.rest(Duration::from_secs(3600));
            ended.send(())
        });
        store.close().unwrap();
        wait.recv_timeout(DEADLINE).unwrap();
        let began = Instant::now();
        (0..RESTS).for_each(|_| rest_beside_a_guest(&engine));
        assert!(began.elapsed() < DEADLINE);
    }

    #[test]
    fn packing_waits_for_quiet_but_not_for_ever() {
        let second = 1_000_000;
        let mut pace = Pace::new(0);
        assert!(!pace.is_due(0, None, 100 * second), "nothing to pack");
        for turn in 1..300 {
            let now_us = 200 * second + turn * second / 10;
            let due = pace.is_due(turn, Some(1), now_us);
            assert!(!due, "guests are busy, {turn} tenths of a second");
        }
        assert!(pace.is_due(300, Some(1), 231 * second), "waited long");
        assert!(!pace.is_due(301, Some(2), 231 * second), "the next waits");
        assert!(pace.is_due(301, Some(2), 232 * second), "guests are quiet");
    }
}
