//! What the service tells of itself: zones and services.

use axum::Json;
use axum::extract::State;

use super::backends;
use super::services as service_states;
use crate::auth::Caller;
use crate::cinder::operations::services as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::openapi::Routes;
use crate::page::Params;
use crate::policy::Rule;
use crate::server::{Backend, Services};
use crate::types::cinder::{AvailabilityZone, AvailabilityZones, Service, ServiceList, ZoneState};

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new().on(ops::ZONES, zones).on(ops::LIST, parts)
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

/// The scheduler, a volume service for each backend and, where there is a target, the backup
/// service: this program is all of them.
pub(super) fn parts_of(services: &Services, version: Microversion) -> Vec<Service> {
    let scheduler = Service {
        binary: "cinder-scheduler".to_owned(),
        host: services.config().host.clone(),
        zone: services.config().availability_zone.clone(),
        status: "enabled".to_owned(),
        state: "up".to_owned(),
        updated_at: Some(volume_time(services.now_us())),
        cluster: version.has(7).then_some(None),
        ..Service::default()
    };
    let volume = |backend: &Backend| {
        let failed = backend.store().space().failed;
        let state = if failed { "down" } else { "up" };
        Service {
            binary: "cinder-volume".to_owned(),
            host: backends::service_host(services, backend),
            state: state.to_owned(),
            replication_status: Some(Some("disabled".to_owned())),
            active_backend_id: Some(None),
            frozen: Some(false),
            backend_state: version.has(49).then(|| state.to_owned()),
            ..scheduler.clone()
        }
    };
    let backup = services.config().backup.as_ref().map(|_| Service {
        binary: "cinder-backup".to_owned(),
        ..scheduler.clone()
    });
    let volumes = services.backends().iter().map(volume);
    std::iter::once(scheduler.clone())
        .chain(volumes)
        .chain(backup)
        .collect()
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
