//! `/workers/cleanup`: asking parts to clean up what a crash left.
//!
//! Jobs that a crash cut short are taken up by the next start, so nothing is ever pending; the call
//! has the workers look at their queue at once.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::body;
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::services as ops;
use crate::cinder::{misc, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::Service;

/// The microversion this call came with.
const SINCE: u16 = 24;
const KEYS: [&str; 8] = [
    "cluster_name",
    "disabled",
    "host",
    "is_up",
    "binary",
    "resource_id",
    "resource_type",
    "service_id",
];

/// The routes.
pub(super) fn routes() -> Routes {
    // What it would show, the real service does not have either.
    let absent = async |_: Caller| Fault::version_not_found();
    Routes::new()
        .on(ops::CLEANUP, cleanup)
        .untold(ops::CLEANUP.path, get(absent))
}

/// Which parts are asked.
struct Wanted {
    service_id: Option<u64>,
    cluster: Option<String>,
    host: Option<String>,
    binary: Option<String>,
    is_up: bool,
    disabled: Option<bool>,
}

impl Wanted {
    fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        let wanted = Self {
            service_id: service_id(map)?,
            cluster: body::nullable(map, "cluster_name")?,
            host: body::host(map)?,
            binary: binary(map)?,
            is_up: validate::flag(map, "is_up")?.unwrap_or(false),
            disabled: validate::flag(map, "disabled")?,
        };
        if let Some(kind) = body::nullable(map, "resource_type")? {
            let known = ["volume", "snapshot", "backup"];
            if !known.contains(&kind.to_lowercase().as_str()) {
                return Err(Fault::bad_request(format!(
                    "Invalid input received: Resource type {kind} not valid, must be Backup, \
                     Snapshot or Volume"
                )));
            }
        }
        // Where it is, nobody says: what works on it would, and nothing does.
        if let Some(id) = validate::id(map, "resource_id")?
            && !["service_id", "cluster_name", "host"]
                .iter()
                .any(|key| map.contains_key(*key))
        {
            return Err(Fault::bad_request(format!(
                "Invalid input received: ('There is no resource with UUID %s pending cleanup.', \
                 '{id}')"
            )));
        }
        Ok(wanted)
    }

    fn matches(&self, id: u64, part: &Service) -> bool {
        let disabled = part.status == "disabled";
        self.service_id.is_none_or(|wanted| wanted == id)
            && self.cluster.is_none()
            && self.host.as_ref().is_none_or(|host| *host == part.host)
            && self
                .binary
                .as_ref()
                .is_none_or(|binary| *binary == part.binary)
            && self.is_up == (part.state == "up")
            && self.disabled.is_none_or(|wanted| wanted == disabled)
    }
}

/// The number of a part.
fn service_id(map: &Map<String, Value>) -> Result<Option<u64>, Fault> {
    let value = match map.get("service_id") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) if text.len() <= 11 => text.parse().ok(),
        other => other.as_u64(),
    };
    number.map(Some).ok_or_else(|| {
        let reason = format!("{} does not match '^[0-9]*$'", validate::repr(value));
        validate::invalid("service_id", value, &reason)
    })
}

fn binary(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match map.get("binary") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if ["cinder-volume", "cinder-scheduler"].contains(&&**text) => {
            Ok(Some(text.clone()))
        }
        Some(other) => {
            let shown = validate::repr(other);
            let reason =
                format!("{shown} is not one of ['cinder-volume', 'cinder-scheduler', None]");
            Err(validate::invalid("binary", other, &reason))
        }
    }
}

async fn cleanup(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), Fault> {
    version.require(SINCE)?;
    let nothing = Value::Object(Map::new());
    let map = body::object(if body.is_null() { &nothing } else { &body }, &KEYS)?;
    let wanted = Wanted::parse(map)?;
    caller.check_own(Rule::WorkersCleanup)?;
    services
        .blocking(move |services| {
            let mut parts = misc::parts_of(services, Microversion::MAX);
            services
                .catalogue()
                .read(|reader| super::apply(reader, &mut parts))?;
            let shown = |id: u64, part: &Service| {
                json!({"id": id, "host": part.host, "binary": part.binary, "cluster_name": null})
            };
            let (mut cleaning, mut unavailable) = (Vec::new(), Vec::new());
            for (id, part) in (1..).zip(&parts).filter(|(id, part)| wanted.matches(*id, part)) {
                let list = match part.state.as_str() {
                    "up" => &mut cleaning,
                    _ => &mut unavailable,
                };
                list.push(shown(id, part));
            }
            services.catalogue().signal().raise();
            let answer = json!({"cleaning": cleaning, "unavailable": unavailable});
            Ok((StatusCode::ACCEPTED, Json(answer)))
        })
        .await
}
