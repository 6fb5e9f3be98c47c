//! `cinderblock status` and `cinderblock reclaim`: the pool at a glance, and giving space back.

use std::time::Duration;

use anyhow::Result;
use api::types::native::{HealthState, Stats};
use serde_json::json;
use tui::units::{bytes, plain, ratio, span};

use super::access::{Access, failed};
use super::table::fields;

/// Packing a full raw tier is bounded by the disk, not by the network.
const RECLAIM_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Which daemon.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
}

/// Prints the status.
pub(crate) fn run(args: &Args) -> Result<()> {
    let stats = args.access.client()?.stats().map_err(failed)?;
    args.access.show(&stats, describe)
}

/// Packs and frees, and prints what came back.
pub(crate) fn reclaim(args: &Args) -> Result<()> {
    let client = args.access.client_within(RECLAIM_TIMEOUT)?;
    let freed = client.reclaim().map_err(failed)?;
    let answer = json!({ "reclaimed_bytes": freed });
    args.access
        .show(&answer, |_| format!("{} given back\n", bytes(freed)))
}

fn describe(stats: &Stats) -> String {
    let state = match stats.health.state {
        HealthState::Ok => "ok",
        HealthState::Warning => "warning",
        HealthState::Failed => "FAILED",
    };
    let mut text = format!(
        "health      {state}; cinderblock {}, up {}\n",
        plain(&stats.version),
        span(stats.at_us.saturating_sub(stats.started_us) / 1_000_000),
    );
    for reason in &stats.health.reasons {
        text.push_str(&format!("            {}\n", plain(reason)));
    }
    text.push_str(&fields(&[(
        "volumes   ",
        format!(
            "{}, {} snapshots, {} connections",
            stats.volumes, stats.snapshots, stats.connections
        ),
    )]));
    text.push('\n');
    text.push_str(&space(stats));
    text
}

fn space(stats: &Stats) -> String {
    let pool = &stats.pool;
    let line = |name: &str, size: u64, note: &str| {
        let line = format!("{name:<10}  {:>10}  {note}", bytes(size));
        format!("{}\n", line.trim_end())
    };
    let quota = format!(
        "waiting to be packed, of {}",
        bytes(pool.raw_tier_quota_bytes)
    );
    let packed = format!(
        "on disk after compression, {} of unique",
        ratio(pool.unique_bytes, pool.stored_bytes)
    );
    [
        line("logical", pool.logical_bytes, "sizes of all volumes"),
        line(
            "referenced",
            pool.referenced_bytes,
            "mapped by volumes and snapshots",
        ),
        line("unique", pool.unique_bytes, "distinct, packed"),
        line("stored", pool.stored_bytes, &packed),
        line("dead", pool.dead_bytes, "part of stored that nothing needs"),
        line(
            "loose",
            pool.loose_bytes,
            "part of stored that recompression has not looked at",
        ),
        line("raw tier", pool.raw_tier_bytes, &quota),
        line("metadata", pool.metadata_bytes, ""),
        line(
            "free",
            pool.free_bytes,
            &format!("of {}", bytes(pool.total_bytes)),
        ),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use api::types::native::{PoolSpace, Stats};

    use super::describe;

    #[test]
    fn the_table_is_aligned() {
        let pool = PoolSpace {
            logical_bytes: 20 << 30,
            unique_bytes: 2 << 30,
            stored_bytes: 1 << 30,
            total_bytes: 100 << 30,
            ..PoolSpace::default()
        };
        let text = describe(&Stats {
            pool,
            ..Stats::default()
        });
        let at = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.find("iB").or(line.find(" B ")).unwrap()
        };
        assert_eq!(at("logical"), at("stored"));
        assert!(text.contains("stored        1.00 GiB  on disk after compression, 2.0× of unique"));
    }
}
