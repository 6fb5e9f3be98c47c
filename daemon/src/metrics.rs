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
    for (index, (name, kind, help, _)) in pool_values(&PoolStats::default()).into_iter().enumerate()
    {
        head(text, name, kind, help);
        for (backend, stats) in backends {
            let (_, _, _, value) = pool_values(stats)[index];
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

/// The numbers of a pool: name, kind, meaning and value.
fn pool_values(pool: &PoolStats) -> [(&'static str, Kind, &'static str, u64); 20] {
    use Kind::{Counter, Gauge};
    [
        (
            "pool_failed",
            Gauge,
            "1 when the pool stopped acknowledging.",
            u64::from(pool.failed),
        ),
        ("pool_volumes", Gauge, "Volumes.", pool.volumes),
        ("pool_snapshots", Gauge, "Snapshots.", pool.snapshots),
        (
            "pool_logical_bytes",
            Gauge,
            "Sizes of all volumes.",
            pool.logical_bytes,
        ),
        (
            "pool_referenced_bytes",
            Gauge,
            "Mapped data.",
            pool.referenced_bytes,
        ),
        (
            "pool_unique_bytes",
            Gauge,
            "Distinct packed data, uncompressed.",
            pool.unique_bytes,
        ),
        (
            "pool_stored_bytes",
            Gauge,
            "Packed data on disk.",
            pool.stored_bytes,
        ),
        (
            "pool_dead_bytes",
            Gauge,
            "Stored data that nothing needs.",
            pool.dead_bytes,
        ),
        (
            "pool_loose_bytes",
            Gauge,
            "Stored data that recompression has not looked at.",
            pool.loose_bytes,
        ),
        (
            "pool_raw_tier_bytes",
            Gauge,
            "Journal not packed yet.",
            pool.raw_tier_bytes,
        ),
        (
            "pool_raw_tier_quota_bytes",
            Gauge,
            "Limit of it.",
            pool.raw_tier_quota_bytes,
        ),
        (
            "pool_metadata_bytes",
            Gauge,
            "Metadata files.",
            pool.metadata_bytes,
        ),
        (
            "pool_free_bytes",
            Gauge,
            "Free space of the file system.",
            pool.free_bytes,
        ),
        (
            "pool_total_bytes",
            Gauge,
            "Size of the file system.",
            pool.total_bytes,
        ),
        (
            "pool_written_bytes_total",
            Counter,
            "Written by hosts.",
            pool.written_bytes,
        ),
        (
            "pool_read_bytes_total",
            Counter,
            "Read by hosts.",
            pool.read_bytes,
        ),
        (
            "pool_write_operations_total",
            Counter,
            "Writes.",
            pool.write_ops,
        ),
        (
            "pool_read_operations_total",
            Counter,
            "Reads.",
            pool.read_ops,
        ),
        ("pool_flushes_total", Counter, "Flushes.", pool.flushes),
        (
            "pool_dedup_hit_bytes_total",
            Counter,
            "Found to be stored already.",
            pool.dedup_hit_bytes,
        ),
    ]
}

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
