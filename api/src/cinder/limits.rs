//! `/limits`: what the caller's project may use and does.

use axum::Json;
use axum::extract::State;

use super::quotas;
use crate::auth::Caller;
use crate::cinder::operations::quotas as ops;
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::{AbsoluteLimits, Limits, LimitsBody};

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new().on(ops::LIMITS, show)
}

async fn show(State(services): State<Services>, caller: Caller) -> Result<Json<LimitsBody>, Fault> {
    let project = caller.require_project()?.to_owned();
    let sees_usage = caller.can(Rule::UsedLimits, &project);
    let (limits, usage) = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let limits = quotas::limits_of(reader, &project)?;
                Ok::<_, Fault>((limits, quotas::usage_of(reader, &project)?))
            })
        })
        .await?;
    let limit = |name: &str| limits.get(name).copied().unwrap_or(-1);
    let used = |count: u64| sees_usage.then(|| i64::try_from(count).unwrap_or(i64::MAX));
    let absolute = AbsoluteLimits {
        max_total_volumes: limit("volumes"),
        max_total_volume_gigabytes: limit("gigabytes"),
        max_total_snapshots: limit("snapshots"),
        max_total_backups: limit("backups"),
        max_total_backup_gigabytes: limit("backup_gigabytes"),
        total_volumes_used: used(usage.volumes),
        total_gigabytes_used: used(usage.gigabytes),
        total_snapshots_used: used(usage.snapshots),
        total_backups_used: used(usage.backups),
        total_backup_gigabytes_used: used(usage.backup_gigabytes),
    };
    let rate = Vec::new();
    Ok(Json(LimitsBody {
        limits: Limits { rate, absolute },
    }))
}
