//! The text of `/metrics`, in the format that Prometheus reads.
//!
//! Numbers of the pools and the process as a whole: no names but those of the backends, no ids,
//! nothing of a tenant.

use std::fmt::Write;

use api::server::{Backend, Backends};
use nbd::Counts;
use store::PoolStats;

/// What is measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    /// The pools, by the names of their backends.
    pub(crate) backends: Vec<(String, PoolStats)>,
    /// What NBD connections did since the start.
    pub(crate) nbd: Counts,
    /// NBD connections now.
    pub(crate) nbd_connections: u64,
    /// Seconds since the start.
    pub(crate) uptime_s: u64,
}

/// Kind of a metric, as the format wants it told.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
}

/// The pools of all backends.
pub(crate) fn pools(backends: &Backends) -> Vec<(String, PoolStats)> {
    let of = |backend: &Backend| (backend.name().to_owned(), backend.store().stats());
    backends.iter().map(of).collect()
}

/// The document for a sample.
pub(crate) fn render(sample: &Sample) -> String {
    use Kind::{Counter, Gauge};
    let Sample {
        backends,
        nbd,
        nbd_connections,
        uptime_s,
    } = sample;
    let version = env!("CARGO_PKG_VERSION");
    let mut text = String::with_capacity(8 << 10);
    text.push_str("# HELP cinderblock_build_info The program that runs.\n");
    text.push_str("# TYPE cinderblock_build_info gauge\n");
    // Writing into a String does not fail.
    let _ = writeln!(text, "cinderblock_build_info{{version=\"{version}\"}} 1");
    let lines = [
        ("uptime_seconds", Gauge, "Time since the start.", *uptime_s),
        (
            "nbd_connections",
            Gauge,
            "Open NBD connections.",
            *nbd_connections,
        ),
        (
            "nbd_requests_total",
            Counter,
            "NBD requests.",
            nbd.operations(),
        ),
        (
            "nbd_errors_total",
            Counter,
            "NBD requests answered with an error.",
            nbd.errors,
        ),
        (
            "nbd_read_bytes_total",
            Counter,
            "Sent to NBD clients.",
            nbd.bytes_read,
        ),
        (
            "nbd_written_bytes_total",
            Counter,
            "Received from NBD clients.",
            nbd.bytes_written,
        ),
    ];
    for (name, kind, help, value) in lines {
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "cinderblock_{name} {value}");
    }
    pool_lines(&mut text, backends);
    text
}

/// What there is of every backend, by its name.
fn pool_lines(text: &mut String, backends: &[(String, PoolStats)]) {
    for metric in POOL {
        let name = metric.name;
        head(text, name, metric.kind, metric.help);
        for (backend, stats) in backends {
            let value = (metric.value)(stats);
            let _ = writeln!(text, "cinderblock_{name}{{backend=\"{backend}\"}} {value}");
        }
    }
}

fn head(text: &mut String, name: &str, kind: Kind, help: &str) {
    let kind = match kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    };
    let _ = write!(
        text,
        "# HELP cinderblock_{name} {help}\n# TYPE cinderblock_{name} {kind}\n"
    );
}

/// A number of a pool.
struct PoolMetric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&PoolStats) -> u64,
}

const fn gauge(name: &'static str, help: &'static str, value: fn(&PoolStats) -> u64) -> PoolMetric {
    PoolMetric {
        name,
        kind: Kind::Gauge,
        help,
        value,
    }
}

/// One that starts from zero when the pool is opened.
const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&PoolStats) -> u64,
) -> PoolMetric {
    PoolMetric {
        kind: Kind::Counter,
        ..gauge(name, help, value)
    }
}

/// The numbers of a pool, in the order they are shown in.
const POOL: [PoolMetric; 20] = [
    gauge(
        "pool_failed",
        "1 when the pool stopped acknowledging.",
        |pool| u64::from(pool.failed),
    ),
    gauge("pool_volumes", "Volumes.", |pool| pool.volumes),
    gauge("pool_snapshots", "Snapshots.", |pool| pool.snapshots),
    gauge("pool_logical_bytes", "Sizes of all volumes.", |pool| {
        pool.logical_bytes
    }),
    gauge("pool_referenced_bytes", "Mapped data.", |pool| {
        pool.referenced_bytes
    }),
    gauge(
        "pool_unique_bytes",
        "Distinct packed data, uncompressed.",
        |pool| pool.unique_bytes,
    ),
    gauge("pool_stored_bytes", "Packed data on disk.", |pool| {
        pool.stored_bytes
    }),
    gauge(
        "pool_dead_bytes",
        "Stored data that nothing needs.",
        |pool| pool.dead_bytes,
    ),
    gauge(
        "pool_loose_bytes",
        "Stored data that recompression has not looked at.",
        |pool| pool.loose_bytes,
    ),
    gauge("pool_raw_tier_bytes", "Journal not packed yet.", |pool| {
        pool.raw_tier_bytes
    }),
    gauge("pool_raw_tier_quota_bytes", "Limit of it.", |pool| {
        pool.raw_tier_quota_bytes
    }),
    gauge("pool_metadata_bytes", "Metadata files.", |pool| {
        pool.metadata_bytes
    }),
    gauge(
        "pool_free_bytes",
        "Free space of the file system.",
        |pool| pool.free_bytes,
    ),
    gauge("pool_total_bytes", "Size of the file system.", |pool| {
        pool.total_bytes
    }),
    counter("pool_written_bytes_total", "Written by hosts.", |pool| {
        pool.written_bytes
    }),
    counter("pool_read_bytes_total", "Read by hosts.", |pool| {
        pool.read_bytes
    }),
    counter("pool_write_operations_total", "Writes.", |pool| {
        pool.write_ops
    }),
    counter("pool_read_operations_total", "Reads.", |pool| pool.read_ops),
    counter("pool_flushes_total", "Flushes.", |pool| pool.flushes),
    counter(
        "pool_dedup_hit_bytes_total",
        "Found to be stored already.",
        |pool| pool.dedup_hit_bytes,
    ),
];

#[cfg(test)]
mod tests {
    use store::PoolStats;

    use super::{Sample, render};

    #[test]
    fn every_line_is_help_type_or_value() {
        let stats = PoolStats {
            stored_bytes: 42,
            ..PoolStats::default()
        };
        let text = render(&Sample {
            backends: vec![("a".to_owned(), stats), ("b".to_owned(), stats)],
            ..Sample::default()
        });
        assert!(text.contains("\ncinderblock_pool_stored_bytes{backend=\"b\"} 42\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(
                name.starts_with("cinderblock_") && value.parse::<u64>().is_ok(),
                "{line}"
            );
        }
    }
}
