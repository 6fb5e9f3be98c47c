//! `/v3/services`: entries of the service catalogue.

use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, is_same, is_same_if_any};
use super::domains::DESCRIPTION_MAX;
use super::records::{BY_SERVICE, Endpoint, Service};
use super::resource::{Attributes, link};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, field, flag, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest type and name.
const NAME_MAX: usize = 255;

impl Resource for Service {
    const KIND: &'static str = "service";
    const PLURAL: &'static str = "services";
    const TITLE: &'static str = "IdentityService";
    const SUMMARIES: [&'static str; 5] = [
        "List services.",
        "Create a service.",
        "Show a service.",
        "Change a service.",
        "Delete a service.",
    ];

    const KNOWN: &'static [&'static str] =
        &["id", "type", "name", "description", "enabled", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("type", text()),
            maybe("name", text()),
            maybe("description", text().or_null()),
            field("enabled", flag()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let kind = text_of(1, NAME_MAX).like(r"\S");
        vec![
            match new {
                true => field("type", kind),
                false => maybe("type", kind.or_null()),
            },
            maybe("name", text_of(0, NAME_MAX).or_null()),
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
            maybe("enabled", flag().or_null()),
        ]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        let mut body = json!({
            "id": self.id,
            "type": self.kind,
            "enabled": self.enabled,
            "links": link(services, "services", &self.id),
        });
        for (key, text) in [("name", &self.name), ("description", &self.description)] {
            if let Some(text) = text {
                body[key] = json!(text);
            }
        }
        body
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same_if_any(params, "name", self.name.as_deref()) && is_same(params, "type", &self.kind)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            kind: attributes.name("type", NAME_MAX)?,
            name: attributes.text("name", NAME_MAX)?,
            description: attributes.text("description", DESCRIPTION_MAX)?,
            enabled: attributes.flag("enabled")?.unwrap_or(true),
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let kind = attributes.new_name("type", NAME_MAX)?;
        let name = attributes.text_or_null("name", NAME_MAX)?;
        let description = attributes.text_or_null("description", DESCRIPTION_MAX)?;
        let enabled = attributes.flag("enabled")?;
        Ok(Box::new(move |service| {
            change(&mut service.kind, kind);
            change(&mut service.name, name);
            change(&mut service.description, description);
            change(&mut service.enabled, enabled);
            Ok(())
        }))
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        let of_service = Query::by(BY_SERVICE, Key::new().text(&self.id));
        for endpoint in writer.list::<Endpoint>(&of_service)? {
            endpoint.remove(writer)?;
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}
