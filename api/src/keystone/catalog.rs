//! The service catalogue as it stands in tokens.

use serde_json::{Value, json};

use super::records::{BY_SERVICE, Base, Endpoint, Service};
use crate::catalogue::{self, Key, Query, View};
use crate::server::Services;

/// An endpoint's URL with its base.
pub(super) fn whole_url(services: &Services, endpoint: &Endpoint) -> String {
    let config = services.config();
    let base = match endpoint.base {
        Base::Absolute => String::new(),
        Base::Identity => config.identity_base(),
        Base::Volume => config.volume_base(),
        Base::Image => config.image_base(),
        Base::Native => config.native_base(),
    };
    format!("{base}{}", endpoint.url)
}

/// An endpoint's URL for a project; `None` when it needs one and there is none.
fn filled_url(services: &Services, endpoint: &Endpoint, project: Option<&str>) -> Option<String> {
    let mut url = whole_url(services, endpoint);
    for name in ["project_id", "tenant_id"] {
        for template in [format!("$({name})s"), format!("%({name})s")] {
            if url.contains(&template) {
                url = url.replace(&template, project?);
            }
        }
    }
    Some(url)
}

/// The `catalog` of a token for a project, or for none.
pub(super) fn catalog(
    services: &Services,
    view: &impl View,
    project: Option<&str>,
) -> catalogue::Result<Vec<Value>> {
    let mut entries = Vec::new();
    for service in view.list::<Service>(&Query::all())? {
        if !service.enabled {
            continue;
        }
        let by_service = Query::by(BY_SERVICE, Key::new().text(&service.id));
        let mut endpoints = Vec::new();
        for endpoint in view.list::<Endpoint>(&by_service)? {
            let url = filled_url(services, &endpoint, project);
            if let Some(url) = url.filter(|_| endpoint.enabled) {
                endpoints.push(json!({
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region": endpoint.region_id,
                    "region_id": endpoint.region_id,
                    "url": url,
                }));
            }
        }
        entries.push(json!({
            "id": service.id,
            "type": service.kind,
            "name": service.name.unwrap_or_default(),
            "endpoints": endpoints,
        }));
    }
    Ok(entries)
}
