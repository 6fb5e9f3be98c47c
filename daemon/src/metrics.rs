//! The text of `/metrics`, in the format that Prometheus reads.
//!
//! Numbers of the pool and the process as a whole: no names, no ids, nothing of a tenant.

use std::fmt::Write;

use nbd::Counts;
use store::PoolStats;

/// What is measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// The pool.
    pub(crate) pool: PoolStats,
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

/// The document for a sample.
pub(crate) fn render(sample: &Sample) -> String {
    use Kind::{Counter, Gauge};
    let Sample {
        pool,
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
        let kind = match kind {
            Gauge => "gauge",
            Counter => "counter",
        };
        let _ = write!(
            text,
            "# HELP cinderblock_{name} {help}\n# TYPE cinderblock_{name} {kind}\n\
             cinderblock_{name} {value}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Sample, render};

    #[test]
    fn every_line_is_help_type_or_value() {
        let mut sample = Sample::default();
        sample.pool.stored_bytes = 42;
        let text = render(&sample);
        assert!(text.contains("\ncinderblock_pool_stored_bytes 42\n"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.split_once(' ').unwrap();
            assert!(
                name.starts_with("cinderblock_") && value.parse::<u64>().is_ok(),
                "{line}"
            );
        }
    }
}
