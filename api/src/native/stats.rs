//! `/stats`, `/health` and `/volumes`: the pool at a glance.

use axum::Json;
use axum::extract::State;
use store::PoolStats;
use uuid::Uuid;

use crate::auth::Caller;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::{Backend, Backends, Services};
use crate::types::native as wire;

/// Share of the raw tier's quota, in per cent, from which packing is too slow: writers wait at 100.
const RAW_TIER_WARNING: u64 = 90;
/// Share of the file system, in per cent, below which someone should look: packing needs room to
/// work in.
const FREE_WARNING: u64 = 5;

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::Stats>, Fault> {
    caller.check_own(Rule::NativeGetStats)?;
    services.blocking(|services| Ok(Json(read(services)))).await
}

pub(super) async fn health(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::Health>, Fault> {
    caller.check_own(Rule::NativeGetHealth)?;
    services
        .blocking(|services| Ok(Json(health_of(services.backends()))))
        .await
}

pub(super) async fn volumes(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::VolumeStatsList>, Fault> {
    caller.check_own(Rule::NativeGetAllVolumeStats)?;
    services
        .blocking(|services| {
            let volumes = services.backends().iter().flat_map(volumes_of).collect();
            Ok(Json(wire::VolumeStatsList { volumes }))
        })
        .await
}

/// The statistics of all volumes on a backend.
fn volumes_of(backend: &Backend) -> Vec<wire::VolumeStats> {
    let store = backend.store();
    // A volume may go between the two calls.
    let stats = store.volumes().into_iter().filter_map(|volume| {
        let stats = store.volume_stats(volume.id).ok()?;
        Some(of_volume(volume.id.0, &stats))
    });
    stats.collect()
}

/// The wire form of a volume's statistics.
pub(super) fn of_volume(id: Uuid, stats: &store::VolumeStats) -> wire::VolumeStats {
    wire::VolumeStats {
        id: id.to_string(),
        logical_bytes: stats.logical_bytes,
        referenced_bytes: stats.referenced_bytes,
        written_bytes: stats.written_bytes,
        read_bytes: stats.read_bytes,
        write_ops: stats.write_ops,
        read_ops: stats.read_ops,
    }
}

fn read(services: &Services) -> wire::Stats {
    let pool = services.backends().stats();
    wire::Stats {
        at_us: services.now_us(),
        started_us: services.started_us(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        health: health_of(services.backends()),
        pool: space(&pool),
        host: traffic(&pool),
        volumes: pool.volumes,
        snapshots: pool.snapshots,
        connections: services.exports().connections().len() as u64,
    }
}

fn space(pool: &PoolStats) -> wire::PoolSpace {
    wire::PoolSpace {
        logical_bytes: pool.logical_bytes,
        referenced_bytes: pool.referenced_bytes,
        unique_bytes: pool.unique_bytes,
        stored_bytes: pool.stored_bytes,
        dead_bytes: pool.dead_bytes,
        loose_bytes: pool.loose_bytes,
        raw_tier_bytes: pool.raw_tier_bytes,
        raw_tier_quota_bytes: pool.raw_tier_quota_bytes,
        metadata_bytes: pool.metadata_bytes,
        free_bytes: pool.free_bytes,
        total_bytes: pool.total_bytes,
    }
}

fn traffic(pool: &PoolStats) -> wire::HostTraffic {
    wire::HostTraffic {
        written_bytes: pool.written_bytes,
        read_bytes: pool.read_bytes,
        write_ops: pool.write_ops,
        read_ops: pool.read_ops,
        flushes: pool.flushes,
        dedup_hit_bytes: pool.dedup_hit_bytes,
    }
}

/// `part` of `whole` in per cent; nothing is all of nothing.
fn per_cent(part: u64, whole: u64) -> u64 {
    let share = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// The health of all backends: the worst state, and reasons that say whose they are.
fn health_of(backends: &Backends) -> wire::Health {
    let several = backends.iter().count() > 1;
    let mut all = wire::Health::default();
    for backend in backends.iter() {
        let store = backend.store();
        let mut health = judge(&store.stats(), store.stalled());
        note_scrub(&mut health, &store.scrub_status());
        if rank(health.state) > rank(all.state) {
            all.state = health.state;
        }
        all.reasons
            .extend(health.reasons.into_iter().map(|reason| match several {
                true => format!("{}: {reason}", backend.name()),
                false => reason,
            }));
    }
    all
}

/// Adds what the last round of scrub found, or why it cannot go on.
fn note_scrub(health: &mut wire::Health, scrub: &store::ScrubStatus) {
    let before = health.reasons.len();
    if scrub.damaged > 0 {
        health.reasons.push(format!(
            "Scrub found damage in {} places that could not be repaired; `cinderblock scrub --status` names them.",
            scrub.damaged
        ));
    }
    let stalled = scrub.stalled.as_ref();
    let stalled = stalled.map(|why| format!("Scrub cannot go on: {why}."));
    health.reasons.extend(stalled);
    if health.reasons.len() > before && rank(health.state) < rank(wire::HealthState::Warning) {
        health.state = wire::HealthState::Warning;
    }
}

fn rank(state: wire::HealthState) -> u8 {
    match state {
        wire::HealthState::Ok => 0,
        wire::HealthState::Warning => 1,
        wire::HealthState::Failed => 2,
    }
}

/// What the counters say of a pool's health.
fn judge(pool: &PoolStats, stalled: Option<String>) -> wire::Health {
    let mut reasons = Vec::new();
    reasons.extend(stalled.map(|why| format!("Packing cannot go on: {why}.")));
    let used = per_cent(pool.raw_tier_bytes, pool.raw_tier_quota_bytes);
    if pool.raw_tier_quota_bytes > 0 && used >= RAW_TIER_WARNING {
        reasons.push(format!(
            "The raw tier is {used} % full; writers wait when it is full."
        ));
    }
    if pool.total_bytes > 0 && per_cent(pool.free_bytes, pool.total_bytes) < FREE_WARNING {
        reasons.push(format!(
            "Less than {FREE_WARNING} % of the file system is free."
        ));
    }
    let mut state = match reasons.is_empty() {
        true => wire::HealthState::Ok,
        false => wire::HealthState::Warning,
    };
    if pool.failed {
        state = wire::HealthState::Failed;
        let why = "The pool stopped acknowledging after a failed write or sync; see the log and start the daemon again.";
        reasons.insert(0, why.to_owned());
    }
    wire::Health { state, reasons }
}

#[cfg(test)]
mod tests {
    use store::PoolStats;

    use super::{judge, note_scrub};
    use crate::types::native::HealthState;

    #[test]
    fn damage_that_scrub_found_is_a_warning() {
        let mut health = judge(&PoolStats::default(), None);
        let mut scrub = store::ScrubStatus {
            repaired: 3,
            ..store::ScrubStatus::default()
        };
        note_scrub(&mut health, &scrub);
        assert_eq!((health.state, health.reasons.len()), (HealthState::Ok, 0));
        scrub.damaged = 1;
        note_scrub(&mut health, &scrub);
        assert_eq!(
            (health.state, health.reasons.len()),
            (HealthState::Warning, 1)
        );
    }

    #[test]
    fn the_worst_check_decides() {
        let good = PoolStats {
            raw_tier_bytes: 89,
            raw_tier_quota_bytes: 100,
            free_bytes: 5,
            total_bytes: 100,
            ..PoolStats::default()
        };
        assert_eq!(judge(&good, None).state, HealthState::Ok);
        assert_eq!(judge(&PoolStats::default(), None).state, HealthState::Ok);
        let full = PoolStats {
            raw_tier_bytes: 90,
            free_bytes: 4,
            ..good
        };
        let health = judge(&full, Some("no room".to_owned()));
        assert_eq!(health.state, HealthState::Warning);
        assert_eq!(health.reasons.len(), 3);
        let failed = PoolStats {
            failed: true,
            ..good
        };
        let health = judge(&failed, None);
        assert_eq!(health.state, HealthState::Failed);
        assert_eq!(health.reasons.len(), 1);
    }
}
