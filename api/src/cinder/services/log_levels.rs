//! `set-log` and `get-log`. All parts are one program with one log: what is set for one is set for
//! all of them.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::body;
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::cinder::operations::services as ops;
use crate::cinder::{accepted, misc, validate};
use crate::fault::Fault;
use crate::log_levels::LogLevel;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::Service;

/// The microversion these calls came with.
const SINCE: u16 = 32;
/// The part that answers these calls; it is on no list of services.
const API: &str = "cinder-api";
pub(in crate::cinder) const BINARIES: [&str; 6] = [
    "cinder-scheduler",
    "cinder-volume",
    "cinder-backup",
    API,
    "",
    "*",
];

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new().on(ops::SET_LOG, set).on(ops::GET_LOG, get)
}

/// Which parts' levels, and of which names.
struct Wanted {
    /// `None` is all.
    binary: Option<String>,
    server: Option<String>,
    prefix: String,
}

impl Wanted {
    fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        let binary = match map.get("binary") {
            None => None,
            Some(Value::String(word)) if BINARIES.contains(&word.as_str()) => {
                Some(word.clone()).filter(|word| !["", "*"].contains(&word.as_str()))
            }
            Some(other) => {
                let known: Vec<String> = BINARIES.iter().map(|word| format!("'{word}'")).collect();
                let shown = validate::repr(other);
                let reason = format!("{shown} is not one of [{}]", known.join(", "));
                return Err(validate::invalid("binary", other, &reason));
            }
        };
        Ok(Self {
            binary,
            server: body::nullable(map, "server")?,
            prefix: body::nullable(map, "prefix")?.unwrap_or_default(),
        })
    }

    fn has(&self, binary: &str) -> bool {
        self.binary.as_ref().is_none_or(|wanted| wanted == binary)
    }

    /// The parts that are up, by binary and host.
    fn parts(&self, services: &Services) -> Vec<(String, String)> {
        let parts = misc::parts_of(services, Microversion::MAX);
        let host_of = |part: &Service| part.host.split('@').next().map(str::to_owned);
        let own = parts.first().and_then(host_of).unwrap_or_default();
        let is_here = |host: &str| self.server.as_deref().is_none_or(|wanted| wanted == host);
        let mut found = Vec::new();
        if self.has(API) && is_here(&own) {
            found.push((API.to_owned(), own));
        }
        let is_wanted =
            |part: &Service| part.state == "up" && self.has(&part.binary) && is_here(&part.host);
        let rest = parts.into_iter().filter(is_wanted);
        found.extend(rest.map(|part| (part.binary, part.host)));
        found
    }
}

async fn set(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    version.require(SINCE)?;
    let map = body::object(&body, &["binary", "server", "prefix", "level"])?;
    let wanted = Wanted::parse(map)?;
    let level = body::nullable(map, "level")?.unwrap_or_default();
    let Some(level) = LogLevel::parse(&level) else {
        return Err(Fault::bad_request(format!(
            "Invalid input received: {level} is not a valid log level."
        )));
    };
    caller.check_own(Rule::ServicesUpdate)?;
    services
        .blocking(move |services| {
            if let Some(logs) = services.logs()
                && !wanted.parts(services).is_empty()
            {
                tracing::warn!(
                    prefix = wanted.prefix,
                    level = level.name(),
                    "log level set"
                );
                logs.set(&wanted.prefix, level);
            }
            Ok(accepted())
        })
        .await
}

async fn get(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    version.require(SINCE)?;
    let map = body::object(&body, &["binary", "server", "prefix"])?;
    let wanted = Wanted::parse(map)?;
    caller.check_own(Rule::ServicesUpdate)?;
    services
        .blocking(move |services| {
            let levels: Map<String, Value> = services
                .logs()
                .map(|logs| logs.levels(&wanted.prefix))
                .unwrap_or_default()
                .into_iter()
                .map(|(name, level)| (name, json!(level.name())))
                .collect();
            let shown = |(binary, host): (String, String)| json!({"binary": binary, "host": host, "levels": levels});
            let parts: Vec<Value> = wanted.parts(services).into_iter().map(shown).collect();
            Ok(Json(json!({ "log_levels": parts })))
        })
        .await
}
