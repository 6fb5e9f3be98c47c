//! What the service tells of itself: zones, services, pools and capabilities.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::services as service_states;
use crate::auth::Caller;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::Services;
use crate::types::cinder::{
    AvailabilityZone, AvailabilityZones, PoolCapabilities, Service, ServiceList, ZoneState,
};

/// The routes.
pub(super) fn routes() -> Router<Services> {
    Router::new()
        .route("/os-availability-zone", get(zones))
        .route("/os-services", get(parts))
        .route("/scheduler-stats/get_pools", get(pools))
        .route("/capabilities/{host}", get(capabilities))
}

async fn zones(
    State(services): State<Services>,
    _caller: Caller,
) -> Result<Json<AvailabilityZones>, Fault> {
    let available = services
        .blocking(|services| {
            let parts = parts_of(services, Microversion::MAX);
            let mut volumes = parts.iter().filter(|part| part.binary == "cinder-volume");
            services.catalogue().read(|reader| {
                volumes.try_fold(false, |any, part| {
                    Ok(any || service_states::is_enabled(reader, &part.host)?)
                })
            })
        })
        .await?;
    Ok(Json(AvailabilityZones {
        availability_zone_info: vec![AvailabilityZone {
            zone_name: services.config().availability_zone.clone(),
            zone_state: ZoneState { available },
        }],
    }))
}

/// `host@backend` of the configured `host@backend#pool`.
pub(super) fn backend(services: &Services) -> &str {
    let host = services.config().backend_host.as_str();
    host.split_once('#').map_or(host, |(backend, _)| backend)
}

/// The scheduler and the volume service: this program is both.
pub(super) fn parts_of(services: &Services, version: Microversion) -> Vec<Service> {
    let backend = backend(services);
    let failed = services.store().stats().failed;
    let state = if failed { "down" } else { "up" };
    let common = Service {
        binary: "cinder-scheduler".to_owned(),
        host: backend.split('@').next().unwrap_or(backend).to_owned(),
        zone: services.config().availability_zone.clone(),
        status: "enabled".to_owned(),
        state: "up".to_owned(),
        updated_at: Some(volume_time(services.now_us())),
        cluster: version.has(7).then_some(None),
        ..Service::default()
    };
    let volume = Service {
        binary: "cinder-volume".to_owned(),
        host: backend.to_owned(),
        state: state.to_owned(),
        replication_status: Some(Some("disabled".to_owned())),
        active_backend_id: Some(None),
        frozen: Some(false),
        backend_state: version.has(49).then(|| state.to_owned()),
        ..common.clone()
    };
    vec![common, volume]
}

async fn parts(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    params: Params,
) -> Result<Json<ServiceList>, Fault> {
    caller.check_own(Rule::ServicesIndex)?;
    let mut parts = services
        .blocking(move |services| {
            let mut parts = parts_of(services, version);
            let catalogue = services.catalogue();
            catalogue.read(|reader| service_states::apply(reader, &mut parts))?;
            Ok(parts)
        })
        .await?;
    if let Some(binary) = params.get("binary") {
        parts.retain(|part| part.binary == binary);
    }
    if let Some(host) = params.get("host") {
        // A host names its back ends too.
        parts.retain(|part| part.host == host || part.host.split('@').next() == Some(host));
    }
    Ok(Json(ServiceList { services: parts }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the answer is in GiB with two digits, of which a double has enough"
)]
fn gib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1_u32 << 30) * 100.0).round() / 100.0
}

/// What the pool can do and holds.
pub(super) fn pool(services: &Services) -> PoolCapabilities {
    let stats = services.store().stats();
    let name = backend(services);
    PoolCapabilities {
        volume_backend_name: name.split('@').next_back().unwrap_or(name).to_owned(),
        vendor_name: "cinderblock".to_owned(),
        driver_version: env!("CARGO_PKG_VERSION").to_owned(),
        storage_protocol: "nbd".to_owned(),
        total_capacity_gb: json!(gib(stats.total_bytes)),
        free_capacity_gb: json!(gib(stats.free_bytes)),
        allocated_capacity_gb: gib(stats.logical_bytes),
        provisioned_capacity_gb: gib(stats.logical_bytes),
        reserved_percentage: 0,
        thin_provisioning_support: true,
        thick_provisioning_support: false,
        multiattach: true,
        qos_support: true,
        timestamp: volume_time(services.now_us()),
    }
}

async fn pools(
    State(services): State<Services>,
    version: Microversion,
    caller: Caller,
    params: Params,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::SchedulerStatsGetPools)?;
    let detail = match params.get("detail").map(str::to_lowercase).as_deref() {
        None => false,
        Some("1" | "t" | "true" | "on" | "y" | "yes") => true,
        Some("0" | "f" | "false" | "off" | "n" | "no") => false,
        Some(_) => {
            let text = params.get("detail").unwrap_or_default();
            let message = format!("Value '{text}' for 'detail' is not a boolean.");
            return Err(Fault::bad_request(message));
        }
    };
    let name = services.config().backend_host.clone();
    let wanted = params.get("name").filter(|_| version.has(28));
    if wanted.is_some_and(|wanted| wanted != name) {
        return Ok(Json(json!({"pools": []})));
    }
    let mut entry = json!({"name": name});
    if detail {
        let capabilities = services.blocking(|services| Ok(pool(services))).await?;
        entry["capabilities"] = json!(capabilities);
    }
    Ok(Json(json!({"pools": [entry]})))
}

async fn capabilities(
    State(services): State<Services>,
    caller: Caller,
    Path(host): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::Capabilities)?;
    if host != backend(&services) {
        return Err(Fault::not_found(format!(
            "Service cinder-volume could not be found on host {host}."
        )));
    }
    let pool = services.blocking(|services| Ok(pool(services))).await?;
    Ok(Json(json!({
        "namespace": format!("OS::Storage::Capabilities::{host}"),
        "vendor_name": pool.vendor_name,
        "volume_backend_name": pool.volume_backend_name,
        "pool_name": services.config().backend_host.split_once('#').map(|(_, pool)| pool),
        "driver_version": pool.driver_version,
        "storage_protocol": pool.storage_protocol,
        "display_name": null,
        "description": null,
        "visibility": "public",
        "replication_targets": [],
        "properties": {
            "thin_provisioning": {
                "title": "Thin Provisioning",
                "description": "Sets thin provisioning.",
                "type": "boolean",
            },
            "compression": {
                "title": "Compression",
                "description": "Enables compression.",
                "type": "boolean",
            },
            "qos": {"title": "QoS", "description": "Enables QoS.", "type": "boolean"},
            "replication_enabled": {
                "title": "Replication",
                "description": "Enables replication.",
                "type": "boolean",
            },
        },
    })))
}
