//! `/v3/regions`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{self, Changes, Resource, change, find, is_same_if_any, wrapped};
use super::domains::DESCRIPTION_MAX;
use super::records::{Endpoint, Region};
use super::resource::{Attributes, Reply, created, link, require_admin};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, field, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Most regions above one another.
const DEPTH_MAX: usize = 32;
/// Longest id.
const ID_MAX: usize = 255;

impl Resource for Region {
    const KIND: &'static str = "region";
    const PLURAL: &'static str = "regions";
    const TITLE: &'static str = "Region";
    const SUMMARIES: [&'static str; 5] = [
        "List regions.",
        "Create a region.",
        "Show a region.",
        "Change a region.",
        "Delete a region.",
    ];

    const KNOWN: &'static [&'static str] = &["id", "description", "parent_region_id", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("description", text()),
            field("parent_region_id", text().or_null()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let mut attributes = vec![
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
            maybe("parent_region_id", text_of(0, ID_MAX).or_null()),
        ];
        if new {
            let id = text_of(1, ID_MAX).like(r"\S").or_null();
            attributes.push(maybe("id", id));
        }
        attributes
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "description": self.description,
            "parent_region_id": self.parent_region_id,
            "links": link(services, "regions", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same_if_any(params, "parent_region_id", self.parent_region_id.as_deref())
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: attributes.new_name("id", ID_MAX)?.unwrap_or_else(new_id),
            description: attributes
                .text("description", DESCRIPTION_MAX)?
                .unwrap_or_default(),
            parent_region_id: attributes.text("parent_region_id", ID_MAX)?,
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        let parent = attributes.text_or_null("parent_region_id", ID_MAX)?;
        Ok(Box::new(move |region| {
            change(&mut region.parent_region_id, parent);
            change(&mut region.description, description);
            Ok(())
        }))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        if writer.get::<Self>(&self.id)?.is_some() {
            let detail = format!("Duplicate ID, {}.", self.id);
            return Err(texts::conflict("region", &detail));
        }
        Ok(())
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        let mut above = self.parent_region_id.clone();
        for _ in 0..DEPTH_MAX {
            let Some(id) = above else { return Ok(()) };
            if id == self.id {
                break;
            }
            above = find::<Self>(writer, &id)?.parent_region_id;
        }
        let parent = self.parent_region_id.as_deref().unwrap_or_default();
        Err(Fault::bad_request(format!(
            "The specified parent region {parent} would create a circular region hierarchy."
        )))
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        let endpoints = writer.list::<Endpoint>(&Query::all())?;
        if endpoints
            .iter()
            .any(|endpoint| endpoint.region_id.as_ref() == Some(&self.id))
        {
            return Err(texts::forbidden_as_such(format!(
                "Unable to delete region {} because it or its child regions have associated \
                 endpoints.",
                self.id
            )));
        }
        // Those below go with it, each by the same rule.
        for region in writer.list::<Self>(&Query::all())? {
            if region.parent_region_id.as_ref() == Some(&self.id) {
                region.remove(writer)?;
            }
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

/// Regions are shown to everybody.
pub(super) async fn index(State(services): State<Services>, uri: Uri, params: Params) -> Reply {
    calls::list_all::<Region>(services, uri, params, None).await
}

pub(super) async fn show(State(services): State<Services>, Path(id): Path<String>) -> Reply {
    calls::show_one::<Region>(services, id).await
}

/// `PUT /v3/regions/{id}`: creates the region of this id.
pub(super) async fn put(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_region")?;
    let attributes = Attributes::of(body, "region")?;
    let mut region = calls::made::<Region>(&attributes, &caller)?;
    if attributes
        .text("id", ID_MAX)?
        .is_some_and(|given| given != id)
    {
        return Err(Fault::bad_request("Conflicting region IDs specified").into());
    }
    region.id = id;
    let region = services
        .blocking(move |services| calls::insert(services, region))
        .await?;
    created(wrapped(&services, region))
}
