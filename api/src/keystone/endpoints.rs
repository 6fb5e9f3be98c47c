//! `/v3/endpoints`: addresses of services.

use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, find, is_same};
use super::catalog::whole_url;
use super::records::{Base, Endpoint, Region, Service};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::Writer;
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

    fn fields() -> Vec<Field> {
        vec![
            field("service_id", text()),
            field("interface", words(&INTERFACES)),
            field("region", text().or_null()),
            field("region_id", text().or_null()),
            field("url", text()),
            field("enabled", flag()),
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
                maybe("enabled", flag().or_null()),
            ],
        }
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "service_id": self.service_id,
            "interface": self.interface,
            "region": self.region_id,
            "region_id": self.region_id,
            "url": whole_url(services, self),
            "enabled": self.enabled,
            "links": link(services, "endpoints", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        let region = self.region_id.as_deref();
        is_same(params, "service_id", &self.service_id)
            && is_same(params, "interface", &self.interface)
            && params
                .get("region_id")
                .is_none_or(|wanted| region == Some(wanted))
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        let interface = interface(attributes)?;
        let region = attributes.text("region_id", URL_MAX)?;
        Ok(Self {
            id: new_id(),
            service_id: attributes.name("service_id", URL_MAX)?,
            interface: interface
                .ok_or_else(|| Fault::bad_request("'interface' is a required property"))?,
            region_id: region.or(attributes.text("region", URL_MAX)?),
            url: attributes.name("url", URL_MAX)?,
            base: Base::Absolute,
            enabled: attributes.flag("enabled")?.unwrap_or(true),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let interface = interface(attributes)?;
        let service_id = attributes.new_name("service_id", URL_MAX)?;
        let region_id = attributes.text("region_id", URL_MAX)?;
        let url = attributes.new_name("url", URL_MAX)?;
        let enabled = attributes.flag("enabled")?;
        Ok(Box::new(move |endpoint| {
            change(&mut endpoint.interface, interface);
            change(&mut endpoint.service_id, service_id);
            endpoint.region_id = region_id.or(endpoint.region_id.take());
            change(&mut endpoint.enabled, enabled);
            if let Some(url) = url {
                (endpoint.url, endpoint.base) = (url, Base::Absolute);
            }
            Ok(())
        }))
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        find::<Service>(writer, &self.service_id)?;
        if let Some(id) = &self.region_id {
            find::<Region>(writer, id)?;
        }
        Ok(())
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        writer.delete::<Self>(&self.id)?;
        Ok(())
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
