//! Backends as Block Storage shows and chooses them: hosts, capabilities and the scheduler.
//!
//! A row names its backend; everything that is shown of the place of an object (`host`, the id of
//! the volume service) follows from that name and the configuration.

mod extra_specs;
mod pools;
mod scheduler;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::server::{Backend, Services};

pub(super) use pools::routes;
pub(super) use scheduler::{NO_VALID_BACKEND, Request, choose, choose_for_all, fits};

const VENDOR: &str = "cinderblock";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROTOCOL: &str = "nbd";
/// What a backend without a limit says it may be promised: clients calculate with the number.
const UNLIMITED_RATIO: f64 = 1_000_000.0;

/// `host@backend` of a backend.
pub(super) fn service_host(services: &Services, backend: &Backend) -> String {
    format!("{}@{}", services.config().host, backend.name())
}

/// `host@backend` of a row's backend; the bare host for a row that was never placed.
pub(super) fn service_host_of(services: &Services, backend: Option<&str>) -> String {
    let host = &services.config().host;
    let found = backend.and_then(|name| services.backends().get(name));
    match (found, backend) {
        (Some(found), _) => service_host(services, found),
        (None, Some(name)) => format!("{host}@{name}"),
        (None, None) => host.clone(),
    }
}

/// `host@backend#pool` of a backend.
pub(super) fn pool_host(services: &Services, backend: &Backend) -> String {
    format!(
        "{}#{}",
        service_host(services, backend),
        backend.pool_name()
    )
}

/// `host@backend#pool` of a row's backend; without the pool where the configuration has lost it.
pub(super) fn host_of(services: &Services, backend: Option<&str>) -> Option<String> {
    let name = backend?;
    Some(match services.backends().get(name) {
        Some(backend) => pool_host(services, backend),
        None => format!("{}@{name}", services.config().host),
    })
}

/// The backend of a host as clients write it: `host@backend` or `host@backend#pool`.
pub(super) fn by_host<'s>(services: &'s Services, host: &str) -> Option<&'s Backend> {
    let (service, pool) = match host.split_once('#') {
        Some((service, pool)) => (service, Some(pool)),
        None => (host, None),
    };
    services.backends().iter().find(|backend| {
        service_host(services, backend) == service
            && pool.is_none_or(|pool| pool == backend.pool_name())
    })
}

/// The id of the volume service of a row's backend: always the same.
pub(super) fn service_id(services: &Services, backend: Option<&str>) -> Option<String> {
    let hash = blake3::hash(host_of(services, backend)?.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid();
    Some(Uuid::to_string(&id))
}

/// GiB of a number of bytes, with two digits.
#[expect(
    clippy::cast_precision_loss,
    reason = "the answer is in GiB with two digits, of which a double has enough"
)]
fn gib(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1_u32 << 30) * 100.0).round() / 100.0
}

/// What a backend can do and holds, as pools show it and extra specs ask for it.
fn capabilities(backend: &Backend) -> Map<String, Value> {
    let settings = backend.settings();
    let (total_bytes, free_bytes) = backend.capacity();
    let promised_bytes = backend.store().space().logical_bytes;
    let mut all = Map::new();
    let own = settings.capabilities.iter();
    all.extend(own.map(|(key, value)| (key.clone(), Value::from(value.as_str()))));
    let fixed = json!({
        "volume_backend_name": settings.volume_backend_name,
        "vendor_name": VENDOR,
        "driver_version": VERSION,
        "storage_protocol": PROTOCOL,
        "total_capacity_gb": gib(total_bytes),
        "free_capacity_gb": gib(free_bytes),
        // The real service counts what it made, in whole GiB.
        "allocated_capacity_gb": promised_bytes.div_ceil(1 << 30),
        "provisioned_capacity_gb": gib(promised_bytes),
        "max_over_subscription_ratio": settings.max_over_subscription_ratio.unwrap_or(UNLIMITED_RATIO),
        "reserved_percentage": settings.reserved_percentage,
        "thin_provisioning_support": true,
        "thick_provisioning_support": false,
        "sparse_copy_volume": true,
        "compression": true,
        "deduplication": true,
        "online_extend_support": true,
        "multiattach": true,
        "consistent_group_snapshot_enabled": true,
        "QoS_support": true,
        "filter_function": null,
        "goodness_function": null,
    });
    if let Value::Object(fixed) = fixed {
        all.extend(fixed);
    }
    all
}
