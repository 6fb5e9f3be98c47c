//! `/events` and `/jobs`: what happens in the daemon.

use axum::Json;
use axum::extract::{Path, State};
use uuid::Uuid;

use super::{limit, number};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View};
use crate::events::Event;
use crate::fault::Fault;
use crate::jobs::{BY_CREATED, Job, JobState};
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::native as wire;

/// An event as it is told: one without words names its object.
fn event(event: Event) -> wire::Event {
    let message = match event.message.is_empty() {
        true => event.object.clone(),
        false => event.message,
    };
    wire::Event {
        id: event.id,
        at_us: event.at_us,
        kind: event.kind,
        object: event.object,
        project: event.project,
        message,
        request_id: event.request_id,
    }
}

pub(super) async fn events(
    State(services): State<Services>,
    caller: Caller,
    params: Params,
) -> Result<Json<wire::EventList>, Fault> {
    caller.check_own(Rule::NativeGetEvents)?;
    // A short lock over memory: nothing here blocks.
    let found = services
        .events()
        .list(number(&params, "after")?, limit(&params)?);
    let events = found.into_iter().map(event).collect();
    Ok(Json(wire::EventList { events }))
}

fn view(job: Job) -> wire::JobView {
    let state = match job.state {
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
    };
    wire::JobView {
        id: job.id.to_string(),
        kind: job.kind,
        object: job.object,
        project: job.project,
        state: state.to_owned(),
        progress: job.progress,
        created_us: job.created_us,
        updated_us: job.updated_us,
        error: job.error,
    }
}

pub(super) async fn jobs(
    State(services): State<Services>,
    caller: Caller,
    params: Params,
) -> Result<Json<wire::JobList>, Fault> {
    caller.check_own(Rule::NativeGetJobs)?;
    let newest = Query::by(BY_CREATED, Key::new()).limit(limit(&params)?);
    services
        .blocking(move |services| {
            let found = services
                .catalogue()
                .read(|reader| reader.list::<Job>(&newest))?;
            let jobs = found.into_iter().map(view).collect();
            Ok(Json(wire::JobList { jobs }))
        })
        .await
}

pub(super) async fn job(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::JobView>, Fault> {
    caller.check_own(Rule::NativeGetJob)?;
    let unknown = || Fault::not_found(format!("Job {id} could not be found."));
    let parsed = Uuid::parse_str(&id).map_err(|_| unknown())?;
    let found = services
        .blocking(move |services| {
            Ok(services
                .catalogue()
                .read(|reader| reader.get::<Job>(&parsed))?)
        })
        .await?;
    found.map(|job| Json(view(job))).ok_or_else(unknown)
}
