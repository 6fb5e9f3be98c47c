//! `/v3/endpoints`: addresses of services.

use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, is_same, is_same_if_any};
use super::catalog::whole_url;
use super::ext;
use super::records::{Base, Endpoint, Region, Service};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, field, flag, maybe, text, text_of, words};
use crate::page::Params;
use crate::server::Services;

/// Longest URL and id.
const URL_MAX: usize = 2048;

/// Who an endpoint is for.
const INTERFACES: [&str; 3] = ["admin", "internal", "public"];

impl Resource for Endpoint {
    const KIND: &'static str = "endpoint";
    const PLURAL: &'static str = "endpoints";
    const TITLE: &'static str = "Endpoint";
    const SUMMARIES: [&'static str; 5] = [
        "List endpoints.",
        "Create an endpoint.",
        "Show an endpoint.",
        "Change an endpoint.",
        "Delete an endpoint.",
    ];

    const KNOWN: &'static [&'static str] = &[
        "id",
        "name",
        "service_id",
        "interface",
        "region",
        "region_id",
        "url",
        "enabled",
        "links",
    ];

    fn fields() -> Vec<Field> {
        vec![
            field("service_id", text()),
            field("interface", words(&INTERFACES)),
            field("region", text().or_null()),
            field("region_id", text().or_null()),
            field("url", text()),
            field("enabled", flag()),
            maybe("name", text()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let word = || text_of(1, URL_MAX).like(r"\S");
        let reference = || text_of(0, URL_MAX).or_null();
        let interface = words(&INTERFACES);
        match new {
            true => vec![
                field("service_id", word()),
                field("interface", interface),
                field("url", word()),
                maybe("region_id", reference()),
                maybe("region", reference()),
                maybe("enabled", flag().or_null()),
            ],
            false => vec![
                maybe("service_id", word().or_null()),
                maybe("interface", interface.or_null()),
                maybe("url", word().or_null()),
                maybe("region_id", reference()),
                maybe("region", reference()),
                maybe("enabled", flag().or_null()),
            ],
        }
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        let mut body = json!({
            "id": self.id,
            "service_id": self.service_id,
            "interface": self.interface,
            "region": self.region_id,
            "region_id": self.region_id,
            "url": whole_url(services, self),
            "enabled": self.enabled,
            "links": link(services, "endpoints", &self.id),
        });
        if let Some(name) = &self.name {
            body["name"] = json!(name);
        }
        body
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "service_id", &self.service_id)
            && is_same(params, "interface", &self.interface)
            && is_same_if_any(params, "region_id", self.region_id.as_deref())
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        let interface = interface(attributes)?;
        let region = attributes.text("region_id", URL_MAX)?;
        Ok(Self {
            id: new_id(),
            service_id: attributes.name("service_id", URL_MAX)?,
            interface: interface.ok_or_else(|| attributes.missing("interface"))?,
            makes_region: region.is_none(),
            region_id: region.or(attributes.text("region", URL_MAX)?),
            url: address(attributes.name("url", URL_MAX)?)?,
            base: Base::Absolute,
            name: attributes.text("name", URL_MAX)?,
            extra: Map::new(),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let interface = interface(attributes)?;
        let service_id = attributes.new_name("service_id", URL_MAX)?;
        let region_id = attributes.text_or_null("region_id", URL_MAX)?;
        let makes_region = region_id.is_none();
        let region_id = match region_id {
            None => attributes.text_or_null("region", URL_MAX)?,
            given => given,
        };
        let name = attributes.text_or_null("name", URL_MAX)?;
        let url = attributes.new_name("url", URL_MAX)?;
        let url = url.map(address).transpose()?;
        let enabled = attributes.flag("enabled")?;
        Ok(Box::new(move |endpoint| {
            change(&mut endpoint.interface, interface);
            change(&mut endpoint.service_id, service_id);
            endpoint.makes_region = makes_region;
            change(&mut endpoint.region_id, region_id);
            change(&mut endpoint.name, name);
            change(&mut endpoint.enabled, enabled);
            if let Some(url) = url {
                (endpoint.url, endpoint.base) = (url, Base::Absolute);
            }
            Ok(())
        }))
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        if writer.get::<Service>(&self.service_id)?.is_none() {
            return Err(texts::expecting("endpoint service_id", "service table"));
        }
        let Some(id) = &self.region_id else {
            return Ok(());
        };
        match writer.get::<Region>(id)? {
            Some(_) => Ok(()),
            // One by its older name comes with its endpoint.
            None if self.makes_region => Ok(writer.insert(&Region {
                id: id.clone(),
                description: String::new(),
                parent_region_id: None,
                extra: Map::new(),
            })?),
            None => Err(texts::expecting("endpoint region_id", "region table")),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        ext::remove_of_endpoint(writer, &self.id)?;
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

/// A URL with a scheme.
fn address(url: String) -> Result<String, Fault> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
    let parts = url.split_once(':');
    match parts.is_some_and(|(scheme, rest)| {
        !scheme.is_empty() && scheme.chars().all(letter) && !rest.is_empty()
    }) {
        true => Ok(url),
        false => {
            let reason = format!("'{url}' does not match '^[a-zA-Z0-9+.-]+:.+'");
            Err(texts::invalid("url", &url, &reason))
        }
    }
}

fn interface(attributes: &Attributes) -> Result<Option<String>, Fault> {
    let interface = attributes.text("interface", URL_MAX)?;
    match interface.as_deref() {
        None => Ok(None),
        Some(known) if INTERFACES.contains(&known) => Ok(interface),
        Some(other) => {
            let reason = format!("'{other}' is not one of ['admin', 'internal', 'public']");
            Err(texts::invalid("interface", other, &reason))
        }
    }
}
