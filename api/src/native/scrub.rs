//! `/scrub`: asking for a round, and how it stands. A round itself goes on in the background.

use axum::Json;
use axum::extract::State;

use crate::auth::Caller;
use crate::fault::Fault;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Backend, Services};
use crate::types::native as wire;

/// Asks for a round on one backend, or on all.
pub(super) async fn start(
    State(services): State<Services>,
    caller: Caller,
    params: Params,
) -> Result<Json<wire::ScrubList>, Fault> {
    caller.check_own(Rule::NativeScrub)?;
    let wanted = params.get("backend").map(str::to_owned);
    services
        .blocking(move |services| {
            let chosen: Vec<&Backend> = services
                .backends()
                .iter()
                .filter(|backend| wanted.as_deref().is_none_or(|name| name == backend.name()))
                .collect();
            if chosen.is_empty() {
                return Err(Fault::bad_request("There is no such backend."));
            }
            for backend in &chosen {
                backend.store().start_scrub();
                let message = format!("scrub of {} asked for", backend.name());
                services.event("pool.scrub", None, "pool", message);
            }
            let pools = chosen.into_iter().map(view).collect();
            Ok(Json(wire::ScrubList { pools }))
        })
        .await
}

/// Shows all backends.
pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
) -> Result<Json<wire::ScrubList>, Fault> {
    caller.check_own(Rule::NativeGetScrub)?;
    services
        .blocking(|services| {
            let pools = services.backends().iter().map(view).collect();
            Ok(Json(wire::ScrubList { pools }))
        })
        .await
}

fn view(backend: &Backend) -> wire::ScrubView {
    let status = backend.store().scrub_status();
    wire::ScrubView {
        backend: backend.name().to_owned(),
        running: status.running,
        begun_us: status.begun_us,
        finished_us: status.finished_us,
        read_bytes: status.verified.bytes,
        damaged: status.damaged,
        repaired: status.repaired,
        rounds: status.rounds,
        findings: status.findings.into_iter().map(finding).collect(),
        stalled: status.stalled,
    }
}

fn finding(damage: store::Damage) -> wire::ScrubFinding {
    let affected = damage.affected.into_iter();
    wire::ScrubFinding {
        message: damage.message,
        affected: affected
            .map(|part| wire::ScrubAffected {
                volume_id: part.volume.to_string(),
                snapshot_id: part.snapshot.map(|id| id.to_string()),
                offset: part.offset,
                len_bytes: part.len,
            })
            .collect(),
        more: damage.more,
        repaired: damage.repaired,
    }
}
