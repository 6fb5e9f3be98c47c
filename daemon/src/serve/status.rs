//! `/healthz` and `/metrics`.

use std::sync::Arc;
use std::time::Instant;

use api::auth;
use api::fault::Fault;
use api::policy::Rule;
use api::server::Services;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use nbd::Connections;
use serde_json::json;

use crate::metrics::{self, Sample};

/// What the two look at.
#[derive(Clone)]
pub(super) struct Status {
    pub(super) services: Services,
    pub(super) nbd: Arc<Connections>,
    pub(super) started: Instant,
}

/// For the main listener: health for all, metrics for administrators.
pub(super) fn public(status: &Status) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics_for_admins))
        .with_state(status.clone())
}

/// For a loopback listener of its own: both without a token.
pub(super) fn private(status: &Status) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .with_state(status.clone())
}

/// 200 while the pool acknowledges, 503 when it has stopped to.
async fn health(State(status): State<Status>) -> Result<Response, Fault> {
    let pool = status
        .services
        .blocking(|services| Ok(services.backends().stats()))
        .await?;
    Ok(if pool.failed {
        let reason = "the pool stopped after a failed write; see the log and start again";
        let body = json!({"status": "failed", "reason": reason});
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    } else {
        Json(json!({"status": "ok"})).into_response()
    })
}

async fn metrics_for_admins(
    State(status): State<Status>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let caller = auth::authenticate(&status.services, &headers).await?;
    caller.check_own(Rule::MetricsGet)?;
    metrics(State(status)).await
}

async fn metrics(State(status): State<Status>) -> Result<Response, Fault> {
    let Status {
        services,
        nbd,
        started,
    } = status;
    let text = services
        .blocking(move |services| {
            Ok(metrics::render(&Sample {
                backends: metrics::pools(services.backends()),
                nbd: nbd.totals(),
                nbd_connections: nbd.list().len() as u64,
                uptime_s: started.elapsed().as_secs(),
            }))
        })
        .await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, text).into_response())
}
