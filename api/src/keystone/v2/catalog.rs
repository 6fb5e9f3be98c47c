//! The service catalogue as v2.0 shows it: the addresses of a service in a region are one entry.

use serde_json::{Value, json};

use super::xml::Element;

/// Which interface is called what.
const URLS: [(&str, &str); 3] = [
    ("admin", "adminURL"),
    ("internal", "internalURL"),
    ("public", "publicURL"),
];

/// The addresses of a service in a region.
struct Addresses {
    id: String,
    region: Option<String>,
    /// By names of [`URLS`], in their order.
    urls: Vec<(&'static str, String)>,
}

/// A service.
pub(super) struct ServiceEntry {
    kind: String,
    name: String,
    regions: Vec<Addresses>,
}

impl ServiceEntry {
    /// The services of a catalogue of v3. One without addresses is of no use to a client that looks
    /// for the first, and left out.
    pub(super) fn of_v3(catalog: &[Value]) -> Vec<Self> {
        let entries = catalog.iter().map(|service| Self {
            kind: text(service, "type"),
            name: text(service, "name"),
            regions: regions(service),
        });
        entries.filter(|entry| !entry.regions.is_empty()).collect()
    }

    pub(super) fn json(&self) -> Value {
        let endpoints: Vec<Value> = self.regions.iter().map(Addresses::json).collect();
        json!({
            "endpoints": endpoints,
            "endpoints_links": [],
            "type": self.kind,
            "name": self.name,
        })
    }

    pub(super) fn xml(&self) -> Element {
        Element::new("service")
            .with("type", self.kind.as_str())
            .with("name", self.name.as_str())
            .holding([Element::new("endpoints_links")])
            .holding(self.regions.iter().map(Addresses::xml))
    }

    /// Its addresses on their own, with whose they are.
    pub(super) fn endpoints_json(&self) -> impl Iterator<Item = Value> {
        self.regions.iter().map(|addresses| {
            let mut endpoint = addresses.json();
            endpoint["type"] = json!(self.kind);
            endpoint["name"] = json!(self.name);
            endpoint
        })
    }

    /// As [`Self::endpoints_json`].
    pub(super) fn endpoints_xml(&self) -> impl Iterator<Item = Element> {
        self.regions.iter().map(|addresses| {
            let endpoint = addresses.xml().with("type", self.kind.as_str());
            endpoint.with("name", self.name.as_str())
        })
    }
}

impl Addresses {
    fn json(&self) -> Value {
        let mut endpoint = json!({"region": self.region, "id": self.id});
        for (name, url) in &self.urls {
            endpoint[*name] = json!(url);
        }
        endpoint
    }

    fn xml(&self) -> Element {
        let mut endpoint = Element::new("endpoint").with("id", self.id.as_str());
        if let Some(region) = &self.region {
            endpoint = endpoint.with("region", region.as_str());
        }
        let urls = self.urls.iter();
        urls.fold(endpoint, |endpoint, (name, url)| {
            endpoint.with(name, url.as_str())
        })
    }
}

fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

/// A service's endpoints by region, each region where its first endpoint is.
fn regions(service: &Value) -> Vec<Addresses> {
    let mut regions: Vec<Addresses> = Vec::new();
    for endpoint in service["endpoints"].as_array().into_iter().flatten() {
        let interface = endpoint["interface"].as_str();
        let Some((_, name)) = URLS.iter().find(|(known, _)| interface == Some(known)) else {
            continue;
        };
        let region = endpoint["region_id"].as_str().map(str::to_owned);
        let url = (*name, text(endpoint, "url"));
        match regions.iter_mut().find(|known| known.region == region) {
            // A second address for the same has no place in v2.0.
            Some(known) if known.urls.iter().any(|(taken, _)| taken == name) => {}
            Some(known) => known.urls.push(url),
            None => regions.push(Addresses {
                id: text(endpoint, "id"),
                region,
                urls: vec![url],
            }),
        }
    }
    regions.iter_mut().for_each(|region| region.urls.sort());
    regions
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ServiceEntry;

    #[test]
    fn a_region_has_one_entry() {
        let endpoint = |id: &str, interface: &str, region: Option<&str>| {
            let url = format!("http://{interface}/{id}");
            json!({"id": id, "interface": interface, "region_id": region, "url": url})
        };
        let endpoints = [
            endpoint("1", "public", Some("a")),
            endpoint("2", "admin", Some("a")),
            endpoint("3", "public", None),
            endpoint("4", "public", Some("a")),
            endpoint("5", "odd", Some("b")),
        ];
        let catalog = [
            json!({"type": "volume", "name": "cinder", "endpoints": endpoints}),
            json!({"type": "none", "name": "none", "endpoints": []}),
        ];
        let services = ServiceEntry::of_v3(&catalog);
        assert_eq!(services.len(), 1);
        let wanted = json!({
            "endpoints": [
                {"region": "a", "id": "1", "adminURL": "http://admin/2", "publicURL": "http://public/1"},
                {"region": null, "id": "3", "publicURL": "http://public/3"},
            ],
            "endpoints_links": [],
            "type": "volume",
            "name": "cinder",
        });
        assert_eq!(services[0].json(), wanted);
        assert_eq!(services[0].xml().children[2].attribute("region"), None);
    }
}
