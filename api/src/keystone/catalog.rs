//! The service catalogue as it stands in tokens: the services that Identity knows, and those that the
//! settings list beside them.

use serde_json::{Value, json};

use super::ext;
use super::records::{BY_SERVICE, Base, Endpoint, Service};
use crate::catalogue::{self, Key, Query, View};
use crate::server::{Services, StaticService};

/// Who an endpoint is for, in the order of answers.
pub(super) const INTERFACES: [&str; 3] = ["public", "internal", "admin"];

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

/// A URL for a project; `None` when it needs one and there is none.
fn filled(mut url: String, project: Option<&str>) -> Option<String> {
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
    let shown = ext::shown_to(view, project)?;
    let mut entries = Vec::new();
    for service in view.list::<Service>(&Query::all())? {
        if !service.enabled {
            continue;
        }
        let by_service = Query::by(BY_SERVICE, Key::new().text(&service.id));
        let mut endpoints = Vec::new();
        for endpoint in view.list::<Endpoint>(&by_service)? {
            let hidden = shown
                .as_ref()
                .is_some_and(|ids| !ids.contains(&endpoint.id));
            let url = filled(whole_url(services, &endpoint), project);
            if let Some(url) = url.filter(|_| endpoint.enabled && !hidden) {
                endpoints.push(json!({
                    "id": endpoint.id,
                    "interface": endpoint.interface,
                    "region": endpoint.region_id,
                    "region_id": endpoint.region_id,
                    "url": url,
                }));
            }
        }
        if shown.is_some() && endpoints.is_empty() {
            continue;
        }
        entries.push(json!({
            "id": service.id,
            "type": service.kind,
            "name": service.name.unwrap_or_default(),
            "endpoints": endpoints,
        }));
    }
    let (listed, region) = (&services.config().catalog, &services.config().region);
    // Nobody can give these to a project, so one that has its own is not shown them.
    let listed = listed.iter().filter(|_| shown.is_none());
    entries.extend(listed.map(|service| listed_entry(service, region, project)));
    Ok(entries)
}

/// An entry of the settings. Its ids are made of what it says, so that they stay as they are.
fn listed_entry(service: &StaticService, region: &str, project: Option<&str>) -> Value {
    let endpoint = |interface: &&str| {
        let url = filled(service.url.clone(), project)?;
        Some(json!({
            "id": id_of(service, interface),
            "interface": interface,
            "region": region,
            "region_id": region,
            "url": url,
        }))
    };
    json!({
        "id": id_of(service, ""),
        "type": service.kind,
        "name": service.name,
        "endpoints": INTERFACES.iter().filter_map(endpoint).collect::<Vec<Value>>(),
    })
}

fn id_of(service: &StaticService, interface: &str) -> String {
    let told = format!("{}\n{}\n{interface}", service.kind, service.name);
    let mut id = blake3::hash(told.as_bytes()).to_hex().to_string();
    id.truncate(32);
    id
}

#[cfg(test)]
mod tests {
    use super::listed_entry;
    use crate::server::StaticService;

    #[test]
    fn listed_services_are_for_the_project_and_keep_their_ids() {
        let service = StaticService {
            kind: "object-store".to_owned(),
            name: "swift".to_owned(),
            url: "http://o/AUTH_$(project_id)s".to_owned(),
        };
        let entry = listed_entry(&service, "here", Some("p"));
        assert_eq!(entry["type"], "object-store");
        let endpoints = entry["endpoints"].as_array().unwrap();
        assert_eq!(endpoints.len(), 3);
        assert!(
            endpoints
                .iter()
                .all(|one| one["url"] == "http://o/AUTH_p" && one["region"] == "here")
        );
        assert_ne!(endpoints[0]["id"], endpoints[1]["id"]);
        assert_eq!(entry["id"].as_str().unwrap().len(), 32);
        assert_eq!(entry, listed_entry(&service, "here", Some("p")));
        // A URL that needs a project is left out without one.
        let entry = listed_entry(&service, "here", None);
        assert_eq!(entry["endpoints"].as_array().unwrap().len(), 0);
    }
}
