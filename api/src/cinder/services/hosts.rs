//! `/os-hosts`: the older view of the parts, and what projects have on a host.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::Json;
use axum::extract::{Path, State};
use axum::routing::put;
use serde_json::{Value, json};

use super::actions::no_service;
use super::rows::{VOLUME, state_of};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Query, View};
use crate::cinder::operations::services as ops;
use crate::cinder::records::{Snapshot, Volume};
use crate::cinder::{backends, misc, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::Service;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::HOSTS, index)
        .untold("/os-hosts/update", put(nothing))
        .on(ops::HOST, show)
        .on(ops::UPDATE_HOST, update)
}

/// The real service has this path by accident; nothing can be done with it.
async fn nothing(_caller: Caller) -> Fault {
    Fault::malformed()
}

/// The parts that are not disabled.
fn enabled(services: &Services) -> Result<Vec<Service>, Fault> {
    let mut parts = misc::parts_of(services, Microversion::MAX);
    services
        .catalogue()
        .read(|reader| super::apply(reader, &mut parts))?;
    parts.retain(|part| part.status == "enabled");
    Ok(parts)
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::Hosts)?;
    let mut parts = services.blocking(enabled).await?;
    if let Some(zone) = params.get("zone").filter(|zone| !zone.is_empty()) {
        parts.retain(|part| part.zone == zone);
    }
    let shown = |part: &Service| {
        let up = part.state == "up";
        json!({
            "host_name": part.host,
            "service": part.binary,
            "zone": part.zone,
            "service-status": if up { "available" } else { "unavailable" },
            "service-state": part.status,
            "last-update": part.updated_at,
        })
    };
    let hosts: Vec<Value> = parts.iter().map(shown).collect();
    Ok(Json(json!({ "hosts": hosts })))
}

/// What a project has on a host.
#[derive(Clone, Copy, Default)]
struct Share {
    volumes: u64,
    volume_gib: u64,
    snapshots: u64,
    snapshot_gib: u64,
}

impl Share {
    fn add(&mut self, other: Self) {
        self.volumes += other.volumes;
        self.volume_gib += other.volume_gib;
        self.snapshots += other.snapshots;
        self.snapshot_gib += other.snapshot_gib;
    }

    fn view(self, host: &str, project: &str) -> Value {
        json!({"resource": {
            "host": host,
            "project": project,
            "volume_count": self.volumes.to_string(),
            "total_volume_gb": self.volume_gib.to_string(),
            "snapshot_count": self.snapshots.to_string(),
            "total_snapshot_gb": self.snapshot_gib.to_string(),
        }})
    }
}

/// What each project that has volumes on a host has there; counted when asked, which is rare.
fn shares(
    services: &Services,
    view: &impl View,
    host: &str,
) -> Result<BTreeMap<String, Share>, Fault> {
    let is_here = |backend: Option<&str>| backends::service_host_of(services, backend) == host;
    let mut shares: BTreeMap<String, Share> = BTreeMap::new();
    view.walk(&Query::all(), |volume: Volume| {
        if !is_here(volume.backend.as_deref()) {
            return Ok(ControlFlow::Continue(()));
        }
        shares.entry(volume.project_id).or_default().add(Share {
            volumes: 1,
            volume_gib: volume.size_gib,
            ..Share::default()
        });
        Ok(ControlFlow::Continue(()))
    })?;
    view.walk(&Query::all(), |snapshot: Snapshot| {
        if !is_here(snapshot.backend.as_deref()) {
            return Ok(ControlFlow::Continue(()));
        }
        if let Some(share) = shares.get_mut(&snapshot.project_id) {
            share.add(Share {
                snapshots: 1,
                snapshot_gib: snapshot.size_gib,
                ..Share::default()
            });
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(shares)
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::Hosts)?;
    services
        .blocking(move |services| {
            let parts = misc::parts_of(services, Microversion::MAX);
            if !parts
                .iter()
                .any(|part| part.binary == VOLUME && part.host == host)
            {
                return Err(no_service(VOLUME, &host));
            }
            let shares = services
                .catalogue()
                .read(|reader| shares(services, reader, &host))?;
            let mut total = Share::default();
            shares.values().for_each(|share| total.add(*share));
            let mut resources = vec![total.view(&host, "(total)")];
            resources.extend(
                shares
                    .iter()
                    .map(|(project, share)| share.view(&host, project)),
            );
            Ok(Json(json!({ "host": resources })))
        })
        .await
}

/// Whether a value is a word that `status` may have; other spellings of the key are not so strict.
fn is_switch(value: &Value) -> bool {
    ["enable", "disable"].iter().any(|word| value == word)
}

/// The status that a body asks for; key and word in any case.
fn wanted(body: &Value) -> Result<Option<bool>, Fault> {
    let Value::Object(map) = body else {
        let reason = format!("{} is not of type 'object'", validate::repr(body));
        return Err(Fault::bad_request(reason));
    };
    if let Some(word) = map.get("status").filter(|word| !is_switch(word)) {
        let reason = format!(
            "{} is not one of ['enable', 'disable']",
            validate::repr(word)
        );
        return Err(validate::invalid("status", word, &reason));
    }
    let mut status = None;
    for (key, value) in map {
        if key.trim().to_lowercase() != "status" {
            return Err(Fault::bad_request(format!(
                "Invalid update setting: '{key}'"
            )));
        }
        let word = value.as_str().unwrap_or_default();
        status = match word.trim().to_lowercase().as_str() {
            "enable" => Some(true),
            "disable" => Some(false),
            _ => return Err(Fault::bad_request(format!("Invalid status: '{word}'"))),
        };
    }
    Ok(status)
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(host): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    services
        .blocking(move |services| {
            let parts = misc::parts_of(services, Microversion::MAX);
            let here: Vec<&Service> = parts.iter().filter(|part| part.host == host).collect();
            if here.is_empty() {
                return Err(Fault::not_found(format!("Host {host} could not be found.")));
            }
            // Hosts are looked for before all else.
            let enable = wanted(&body)?;
            caller.check_own(Rule::Hosts)?;
            let Some(enable) = enable else {
                return Ok(Json(json!({})));
            };
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                for part in here {
                    let mut state = state_of(writer, &part.binary, &host)?;
                    state.disabled = !enable;
                    state.changed_us = now_us;
                    writer.put(&state)?;
                }
                Ok::<_, Fault>(())
            })?;
            let status = if enable { "enabled" } else { "disabled" };
            Ok(Json(json!({"host": host, "status": status})))
        })
        .await
}
