//! Changing parts of the service: enabling, disabling, freezing and thawing, and failing over.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::body::{self, Place};
use super::rows::{ServiceState, VOLUME, state_of};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::misc;
use crate::cinder::operations::services as ops;
use crate::cinder::type_calls::empty;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::Service;

/// The microversion since which a body may name a cluster.
const CLUSTERS_SINCE: u16 = 26;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::ENABLE, enable)
        .on(ops::DISABLE, disable)
        .on(ops::DISABLE_WITH_REASON, disable_with_reason)
        .on(ops::FREEZE, freeze)
        .on(ops::THAW, thaw)
        .on(ops::FAILOVER_HOST, failover_host)
        .on(ops::FAILOVER, failover)
}

/// 404 of a part.
pub(in crate::cinder) fn no_service(binary: &str, host: &str) -> Fault {
    Fault::not_found(format!(
        "Service {binary} could not be found on host {host}."
    ))
}

/// The part that a body names: by `binary`, or `service` as it was called before.
struct Named {
    host: String,
    binary: String,
    service: String,
}

impl Named {
    fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        let (binary, service) = (body::text(map, "binary")?, body::text(map, "service")?);
        body::nullable(map, "cluster")?;
        if binary.is_none() && service.is_none() {
            let shown = crate::cinder::validate::repr(&Value::Object(map.clone()));
            return Err(Fault::bad_request(format!(
                "{shown} is not valid under any of the given schemas"
            )));
        }
        let host = body::host(map)?
            .ok_or_else(|| Fault::bad_request("Invalid input received: Host field is missing."))?;
        Ok(Self {
            host,
            binary: binary.unwrap_or_default(),
            service: service.unwrap_or_default(),
        })
    }

    fn key(&self) -> &str {
        match self.binary.as_str() {
            "" => &self.service,
            binary => binary,
        }
    }
}

/// Changes what is kept of the part that a body names, and answers with its new state.
async fn change(
    services: Services,
    named: Named,
    change: impl FnOnce(&mut ServiceState) + Send + 'static,
) -> Result<Value, Fault> {
    services
        .blocking(move |services| {
            let parts = misc::parts_of(services, Microversion::MAX);
            let is_named = |part: &Service| part.binary == named.key() && part.host == named.host;
            if !parts.iter().any(is_named) {
                return Err(no_service(named.key(), &named.host));
            }
            let now_us = services.now_us();
            let state = services.catalogue().write(|writer| {
                let mut state = state_of(writer, named.key(), &named.host)?;
                change(&mut state);
                state.changed_us = now_us;
                writer.put(&state)?;
                Ok::<_, Fault>(state)
            })?;
            Ok(json!({
                "host": named.host,
                "service": named.service,
                "binary": named.binary,
                "status": if state.disabled { "disabled" } else { "enabled" },
                "disabled": state.disabled,
            }))
        })
        .await
}

const KEYS: [&str; 4] = ["binary", "host", "cluster", "service"];

async fn enable(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = body::object(&body, &KEYS)?;
    caller.check_own(Rule::ServicesUpdate)?;
    let named = Named::parse(map)?;
    let answer = change(services, named, |state| {
        state.disabled = false;
        state.disabled_reason = None;
    });
    Ok(Json(answer.await?))
}

async fn disable(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = body::object(&body, &KEYS)?;
    caller.check_own(Rule::ServicesUpdate)?;
    let named = Named::parse(map)?;
    let answer = change(services, named, |state| state.disabled = true);
    Ok(Json(answer.await?))
}

async fn disable_with_reason(
    State(services): State<Services>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let keys = [KEYS.as_slice(), &["disabled_reason"]].concat();
    let map = body::object(&body, &keys)?;
    let reason = body::text(map, "disabled_reason")?;
    if reason.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(Fault::bad_request(
            "Invalid input received: Disabled reason contains invalid characters or is too long.",
        ));
    }
    caller.check_own(Rule::ServicesUpdate)?;
    let named = Named::parse(map)?;
    let kept = reason.clone();
    let answer = change(services, named, |state| {
        state.disabled = true;
        state.disabled_reason = kept.or(state.disabled_reason.take());
    });
    let mut answer = answer.await?;
    answer["disabled_reason"] = json!(reason);
    Ok(Json(answer))
}

/// The hosts of the volume services at a place, or why there are none.
fn hosts_at(services: &Services, place: &Place) -> Result<Vec<Service>, Fault> {
    let (word, name) = match place {
        Place::Host(name) => ("host", name),
        Place::Cluster(name) => {
            return Err(Fault::bad_request(format!(
                "No service found with cluster={name}"
            )));
        }
    };
    let mut parts = misc::parts_of(services, Microversion::MAX);
    // A host names its back ends too.
    let is_there = |host: &str| host == name || host.split('@').next() == Some(name.as_str());
    parts.retain(|part| part.binary == VOLUME && is_there(&part.host));
    match parts.is_empty() {
        false => Ok(parts),
        true => Err(Fault::bad_request(format!(
            "No service found with {word}={name}"
        ))),
    }
}

/// 400 of parts none of which is in the state that a change needs.
fn unchanged(field: &str, hosts: &[Service], expected: &str, up: &str) -> Fault {
    let names: Vec<String> = hosts.iter().map(|one| format!("'{}'", one.host)).collect();
    Fault::bad_request(format!(
        "Invalid input received: No service could be changed: {field} in [{}] must be {expected} \
         {up}to failover.",
        names.join(", ")
    ))
}

/// Freezes or thaws the volume services at a place. A frozen one is disabled as well.
async fn set_frozen(
    services: Services,
    version: Microversion,
    body: Value,
    frozen: bool,
) -> Result<Response, Fault> {
    let place = body::place(
        body::object(&body, &["host", "cluster"])?,
        version.has(CLUSTERS_SINCE),
    )?;
    services
        .blocking(move |services| {
            let hosts = hosts_at(services, &place)?;
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let mut changed = false;
                for host in &hosts {
                    let mut state = state_of(writer, VOLUME, &host.host)?;
                    if state.frozen == frozen {
                        continue;
                    }
                    state.frozen = frozen;
                    state.disabled = frozen;
                    state.disabled_reason = Some(if frozen { "frozen" } else { "" }.to_owned());
                    state.changed_us = now_us;
                    writer.put(&state)?;
                    changed = true;
                }
                let expected = if frozen { "False" } else { "True" };
                match changed {
                    true => Ok(()),
                    false => Err(unchanged("frozen", &hosts, expected, "")),
                }
            })
        })
        .await?;
    Ok(empty(StatusCode::OK))
}

async fn freeze(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    caller.check_own(Rule::ServicesUpdate)?;
    caller.check_own(Rule::VolumeFreezeHost)?;
    set_frozen(services, version, body, true).await
}

async fn thaw(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    caller.check_own(Rule::ServicesUpdate)?;
    caller.check_own(Rule::VolumeThawHost)?;
    set_frozen(services, version, body, false).await
}

async fn failover_host(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    caller.check_own(Rule::ServicesUpdate)?;
    let map = body::object(&body, &["host", "backend_id", "cluster"])?;
    body::nullable(map, "backend_id")?;
    caller.check_own(Rule::VolumeFailoverHost)?;
    let place = body::place(map, version.has(CLUSTERS_SINCE))?;
    services
        .blocking(move |services| {
            // Nothing here replicates, so there is nothing to fail over to.
            let hosts = hosts_at(services, &place)?;
            let expected = "['enabled', 'failed-over']";
            let up = "and must be up ";
            Err(unchanged("replication_status", &hosts, expected, up))
        })
        .await
}

async fn failover(
    services: State<Services>,
    version: Microversion,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, Fault> {
    version.require(CLUSTERS_SINCE)?;
    failover_host(services, version, caller, body).await
}
