//! `/scheduler-stats/get_pools` and `/capabilities/{host}`.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::{capabilities, extra_specs, pool_host};
use crate::auth::Caller;
use crate::cinder::operations::services as ops;
use crate::cinder::records::VolumeType;
use crate::cinder::types;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::{Params, truth};
use crate::policy::Rule;
use crate::server::{Backend, Services};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .on(ops::POOLS, pools)
        .on(ops::CAPABILITIES, show)
}

/// What pools can be filtered by where filters are configured.
const CONFIGURED: [&str; 2] = ["name", "volume_type"];

/// Which pools a list has.
struct Filter {
    name: Option<String>,
    volume_type: Option<VolumeType>,
    /// Capabilities and the texts they must be equal to.
    others: Vec<(String, String)>,
}

impl Filter {
    fn parse(services: &Services, version: Microversion, params: &Params) -> Result<Self, Fault> {
        let mut filter = Self {
            name: None,
            volume_type: None,
            others: Vec::new(),
        };
        if !version.has(28) {
            return Ok(filter);
        }
        let given = || {
            params
                .iter()
                .filter(|(key, _)| !["detail", "all_tenants"].contains(key))
        };
        let unknown = given().map(|(key, _)| key);
        let unknown: Vec<&str> = unknown.filter(|key| !CONFIGURED.contains(key)).collect();
        if version.has(31) && !unknown.is_empty() {
            return Err(Fault::bad_request(format!(
                "Invalid filters {} are found in query options.",
                unknown.join(",")
            )));
        }
        for (key, value) in given() {
            match key {
                "name" => filter.name = Some(value.to_owned()),
                "volume_type" if version.has(35) => {
                    let found = services
                        .catalogue()
                        .read(|reader| types::find_type(reader, None, value))?;
                    filter.volume_type = Some(found);
                }
                "volume_type" => {}
                _ => filter.others.push((key.to_owned(), value.to_owned())),
            }
        }
        Ok(filter)
    }

    fn passes(&self, host: &str, found: &Map<String, Value>) -> bool {
        let specs = self.volume_type.as_ref().map(|found| &found.extra_specs);
        let equal = |(key, wanted): &(String, String)| match found.get(key) {
            Some(Value::Bool(flag)) => truth(wanted) == Some(*flag),
            Some(Value::Number(number)) => wanted.parse().ok() == number.as_f64(),
            Some(Value::String(text)) => text == wanted,
            _ => false,
        };
        self.name.as_ref().is_none_or(|name| name == host)
            && specs.is_none_or(|specs| extra_specs::satisfy(found, specs))
            && self.others.iter().all(equal)
    }
}

/// `detail`, which must be a yes or a no.
fn wants_detail(params: &Params) -> Result<bool, Fault> {
    let Some(text) = params.get("detail") else {
        return Ok(false);
    };
    truth(text).ok_or_else(|| {
        let message = format!("Value '{text}' for 'detail' is not a boolean.");
        Fault::bad_request(message)
    })
}

async fn pools(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::SchedulerStatsGetPools)?;
    let detail = wants_detail(&params)?;
    services
        .blocking(move |services| {
            let filter = Filter::parse(services, version, &params)?;
            let shape = |backend: &Backend| {
                let (name, mut found) = (pool_host(services, backend), capabilities(backend));
                if !filter.passes(&name, &found) {
                    return None;
                }
                let mut entry = json!({ "name": name });
                if detail {
                    found.insert(
                        "timestamp".to_owned(),
                        volume_time(services.now_us()).into(),
                    );
                    entry["capabilities"] = Value::Object(found);
                }
                Some(entry)
            };
            let pools: Vec<Value> = services.backends().iter().filter_map(shape).collect();
            Ok(Json(json!({ "pools": pools })))
        })
        .await
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::Capabilities)?;
    let backends = services.backends();
    let named = |backend: &&Backend| super::service_host(&services, backend) == host;
    let Some(backend) = backends.iter().find(named) else {
        return Err(Fault::not_found(format!("Can't find service: {host}")));
    };
    let flag = |title: &str, description: &str| json!({"title": title, "description": description, "type": "boolean"});
    Ok(Json(json!({
        "namespace": format!("OS::Storage::Capabilities::{host}"),
        "vendor_name": super::VENDOR,
        "volume_backend_name": backend.settings().volume_backend_name,
        "pool_name": backend.pool_name(),
        "driver_version": super::VERSION,
        "storage_protocol": super::PROTOCOL,
        "display_name": null,
        "description": null,
        "visibility": "public",
        "replication_targets": [],
        "properties": {
            "thin_provisioning": flag("Thin Provisioning", "Sets thin provisioning."),
            "compression": flag("Compression", "Enables compression."),
            "qos": flag("QoS", "Enables QoS."),
            "replication_enabled": flag("Replication", "Enables replication."),
        },
    })))
}
