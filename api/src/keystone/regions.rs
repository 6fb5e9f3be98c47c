//! `/v3/regions`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{self, Changes, Resource, change, find};
use super::domains::DESCRIPTION_MAX;
use super::records::{Endpoint, Region};
use super::resource::{Attributes, Reply, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Query, View, Writer};
use crate::fault::{Fault, FaultKind};
use crate::openapi::shape::{Field, field, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

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

    fn fields() -> Vec<Field> {
        vec![
            field("description", text()),
            field("parent_region_id", text().or_null()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let mut attributes = vec![maybe("description", text_of(0, DESCRIPTION_MAX).or_null())];
        if new {
            let id = text_of(1, ID_MAX).like(r"\S").or_null();
            attributes.push(maybe("id", id));
            attributes.push(maybe("parent_region_id", text_of(0, ID_MAX).or_null()));
        }
        attributes
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "description": self.description,
            "parent_region_id": self.parent_region_id,
            "links": link(services, "regions", &self.id),
        })
    }

    fn is_listed(&self, _params: &Params) -> bool {
        true
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: attributes.new_name("id", ID_MAX)?.unwrap_or_else(new_id),
            description: attributes
                .text("description", DESCRIPTION_MAX)?
                .unwrap_or_default(),
            parent_region_id: attributes.text("parent_region_id", ID_MAX)?,
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        Ok(Box::new(move |region| {
            change(&mut region.description, description);
            Ok(())
        }))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        if writer.get::<Self>(&self.id)?.is_some() {
            let detail = format!("Duplicate ID, {}", self.id);
            return Err(texts::conflict("region", &detail));
        }
        if let Some(parent) = &self.parent_region_id {
            find::<Self>(writer, parent)?;
        }
        Ok(())
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        let endpoints = writer.list::<Endpoint>(&Query::all())?;
        if endpoints
            .iter()
            .any(|endpoint| endpoint.region_id.as_ref() == Some(&self.id))
        {
            let message = format!("Unable to delete region {}: it has endpoints.", self.id);
            return Err(Fault::new(FaultKind::Forbidden, message));
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

/// Regions are shown to everybody.
pub(super) async fn index(State(services): State<Services>, uri: Uri, params: Params) -> Reply {
    calls::list_all::<Region>(services, uri, params).await
}

pub(super) async fn show(State(services): State<Services>, Path(id): Path<String>) -> Reply {
    calls::show_one::<Region>(services, id).await
}
