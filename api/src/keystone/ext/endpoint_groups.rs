//! `/v3/OS-EP-FILTER/endpoint_groups`: endpoints by what they have in common.
//!
//! Which endpoints a project's catalogue has is said by its associations; see
//! [`super::associations`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::associations::{self, Associated};
use crate::auth::Caller;
use crate::catalogue::{self, Query, Record, View, Writer};
use crate::fault::Fault;
use crate::keystone::bootstrap::new_id;
use crate::keystone::calls::{Changes, Resource, change, is_same};
use crate::keystone::domains::DESCRIPTION_MAX;
use crate::keystone::operations::{Calls, calls as operations};
use crate::keystone::records::Endpoint;
use crate::keystone::resource::{Attributes, link};
use crate::keystone::routes::of_kind;
use crate::keystone::texts;
use crate::openapi::Routes;
use crate::openapi::shape::{Field, Shape, field, maybe, object, text, text_of, words};
use crate::page::Params;
use crate::server::Services;

/// Longest name, and longest value of a filter.
const NAME_MAX: usize = 255;
/// What endpoints can be told apart by.
const KEYS: [&str; 3] = ["service_id", "region_id", "interface"];
const INTERFACES: [&str; 3] = ["admin", "internal", "public"];

/// A stored group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct EndpointGroup {
    id: String,
    name: String,
    description: Option<String>,
    /// Values by [`KEYS`]; an endpoint has all of them.
    filters: Map<String, Value>,
    #[serde(default)]
    extra: Map<String, Value>,
}

impl Record for EndpointGroup {
    const TABLE: &'static str = "endpoint_groups";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }
}

const CALLS: Calls = operations::<EndpointGroup>(
    "/v3/OS-EP-FILTER/endpoint_groups",
    "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}",
);

pub(super) fn routes() -> Routes {
    of_kind::<EndpointGroup>(&CALLS)
}

impl EndpointGroup {
    fn has(&self, endpoint: &Endpoint) -> bool {
        let region = endpoint.region_id.as_deref();
        let own = [
            Some(endpoint.service_id.as_str()),
            region,
            Some(endpoint.interface.as_str()),
        ];
        let mut pairs = KEYS.iter().zip(own);
        pairs.all(|(key, own)| match self.filters.get(*key) {
            None => true,
            Some(wanted) => wanted.as_str() == own,
        })
    }

    /// The endpoints that have all that the group asks for.
    pub(super) fn endpoints(&self, view: &impl View) -> catalogue::Result<Vec<Endpoint>> {
        let mut endpoints = view.list::<Endpoint>(&Query::all())?;
        endpoints.retain(|endpoint| self.has(endpoint));
        Ok(endpoints)
    }
}

/// The filters of a body, if it has any.
fn filters(attributes: &Attributes) -> Result<Option<Map<String, Value>>, Fault> {
    let Some(filters) = attributes.raw("filters") else {
        return Ok(None);
    };
    let Value::Object(filters) = filters else {
        let reason = format!("{filters} is not of type 'object'");
        return Err(texts::invalid("filters", &filters.to_string(), &reason));
    };
    for (key, value) in filters {
        if !KEYS.contains(&key.as_str()) {
            return Err(texts::expecting(&KEYS.join(" or "), "endpoint_group"));
        }
        let text = value.as_str();
        let fits = match key.as_str() {
            "interface" => text.is_some_and(|text| INTERFACES.contains(&text)),
            "region_id" if value.is_null() => true,
            _ => text.is_some_and(|text| text.chars().count() <= NAME_MAX),
        };
        if !fits {
            let reason = format!("{value} is not a value of {key}");
            return Err(texts::invalid(key, &value.to_string(), &reason));
        }
    }
    Ok(Some(filters.clone()))
}

fn filters_shape() -> Shape {
    object([
        maybe("service_id", text_of(0, NAME_MAX)),
        maybe("region_id", text_of(0, NAME_MAX).or_null()),
        maybe("interface", words(&INTERFACES)),
    ])
}

impl Resource for EndpointGroup {
    const KIND: &'static str = "endpoint_group";
    const PLURAL: &'static str = "endpoint_groups";
    const TITLE: &'static str = "EndpointGroup";
    const SUMMARIES: [&'static str; 5] = [
        "List groups of endpoints.",
        "Create a group of endpoints.",
        "Show a group of endpoints.",
        "Change a group of endpoints.",
        "Delete a group of endpoints.",
    ];
    const KNOWN: &'static [&'static str] = &["id", "name", "description", "filters", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("description", text().or_null()),
            field("filters", filters_shape()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        let description = maybe("description", text_of(0, DESCRIPTION_MAX).or_null());
        match new {
            true => vec![
                field("name", name),
                description,
                field("filters", filters_shape().filled()),
            ],
            false => vec![
                maybe("name", name.or_null()),
                description,
                maybe("filters", filters_shape()),
            ],
        }
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "filters": self.filters,
            "links": link(services, "OS-EP-FILTER/endpoint_groups", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        let filters = filters(attributes)?.filter(|filters| !filters.is_empty());
        let missing = || Fault::bad_request("filters field is required and cannot be empty");
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            description: attributes.text("description", DESCRIPTION_MAX)?,
            filters: filters.ok_or_else(missing)?,
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text_or_null("description", DESCRIPTION_MAX)?;
        let filters = filters(attributes)?;
        Ok(Box::new(move |group| {
            change(&mut group.name, name);
            change(&mut group.description, description);
            change(&mut group.filters, filters);
            Ok(())
        }))
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        associations::forget(writer, &Associated::Group(self.id.clone()))?;
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}
