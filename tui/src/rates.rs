//! Rates from counters: what happened between two looks, and the last minutes of it.

use std::collections::VecDeque;

use api::types::native::{HostTraffic, Stats};

/// Looks kept: wider than any terminal's sparkline.
const HISTORY_MAX: usize = 300;

/// What happens in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) written_bytes: f64,
    pub(crate) read_bytes: f64,
    pub(crate) write_ops: f64,
    pub(crate) read_ops: f64,
    pub(crate) flushes: f64,
}

/// The last looks, as rates.
#[derive(Debug, Default)]
pub(crate) struct History {
    before: Option<(u64, u64, HostTraffic)>,
    rates: VecDeque<Rates>,
}

impl History {
    /// Takes in a look. After a restart of the daemon the counters begin anew, and so does this.
    pub(crate) fn push(&mut self, stats: &Stats) {
        let now = (stats.started_us, stats.at_us, stats.host);
        if let Some(before) = self.before.replace(now)
            && before.0 == now.0
            && now.1 > before.1
        {
            if self.rates.len() == HISTORY_MAX {
                self.rates.pop_front();
            }
            let seconds = (now.1 - before.1) as f64 / 1e6;
            self.rates.push_back(between(&before.2, &now.2, seconds));
        }
    }

    /// The latest rates.
    pub(crate) fn now(&self) -> Rates {
        self.rates.back().copied().unwrap_or_default()
    }

    /// The newest `count` values of one rate, the newest last.
    pub(crate) fn series(&self, count: usize, rate: impl Fn(&Rates) -> f64) -> Vec<u64> {
        let skip = self.rates.len().saturating_sub(count);
        let rates = self.rates.iter().skip(skip);
        rates.map(|it| rate(it) as u64).collect()
    }
}

fn between(before: &HostTraffic, now: &HostTraffic, seconds: f64) -> Rates {
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    Rates {
        written_bytes: rate(before.written_bytes, now.written_bytes),
        read_bytes: rate(before.read_bytes, now.read_bytes),
        write_ops: rate(before.write_ops, now.write_ops),
        read_ops: rate(before.read_ops, now.read_ops),
        flushes: rate(before.flushes, now.flushes),
    }
}

#[cfg(test)]
mod tests {
    use api::types::native::{HostTraffic, Stats};

    use super::History;

    fn look(started_us: u64, at_s: u64, written_bytes: u64) -> Stats {
        let host = HostTraffic {
            written_bytes,
            ..HostTraffic::default()
        };
        Stats {
            started_us,
            at_us: at_s * 1_000_000,
            host,
            ..Stats::default()
        }
    }

    #[test]
    fn rates_are_per_second_and_survive_a_restart() {
        let mut history = History::default();
        for stats in [
            look(1, 10, 100),
            look(1, 12, 300),
            look(2, 14, 5),
            look(2, 15, 7),
        ] {
            history.push(&stats);
        }
        assert_eq!(history.series(9, |it| it.written_bytes), [100, 2]);
        assert_eq!(history.series(1, |it| it.written_bytes), [2]);
    }
}
