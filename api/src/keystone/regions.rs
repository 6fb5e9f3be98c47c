//! `/v3/regions`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::domains::DESCRIPTION_MAX;
use super::records::{Endpoint, Region};
use super::resource::{Attributes, Reply, created, link, list, no_content, ok, require_admin};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Query, View};
use crate::fault::{Fault, FaultKind};
use crate::server::Services;

/// Longest id.
const ID_MAX: usize = 255;

fn view(services: &Services, region: &Region) -> Value {
    json!({
        "id": region.id,
        "description": region.description,
        "parent_region_id": region.parent_region_id,
        "links": link(services, "regions", &region.id),
    })
}

fn wrapped(services: &Services, region: &Region) -> Value {
    json!({"region": view(services, region)})
}

fn find(view: &impl View, id: &str) -> Result<Region, Fault> {
    view.get::<Region>(id)?
        .ok_or_else(|| texts::not_found("region", id))
}

pub(super) async fn index(State(services): State<Services>, uri: Uri) -> Reply {
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Region>(&Query::all()))?)
        })
        .await?;
    let items = found.iter().map(|region| view(&services, region)).collect();
    list(&services, "regions", &uri, items)
}

pub(super) async fn show(State(services): State<Services>, Path(id): Path<String>) -> Reply {
    let region = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &region))
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_region")?;
    let attributes = Attributes::of(body, "region")?;
    let region = Region {
        id: attributes.new_name("id", ID_MAX)?.unwrap_or_else(new_id),
        description: attributes
            .text("description", DESCRIPTION_MAX)?
            .unwrap_or_default(),
        parent_region_id: attributes.text("parent_region_id", ID_MAX)?,
    };
    let region = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                if writer.get::<Region>(&region.id)?.is_some() {
                    let detail = format!("Duplicate ID, {}", region.id);
                    return Err(texts::conflict("region", &detail));
                }
                if let Some(parent) = &region.parent_region_id {
                    find(writer, parent)?;
                }
                writer.insert(&region)?;
                Ok(region)
            })
        })
        .await?;
    created(wrapped(&services, &region))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_region")?;
    let attributes = Attributes::of(body, "region")?;
    let description = attributes.text("description", DESCRIPTION_MAX)?;
    let region = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut region = find(writer, &id)?;
                region.description = description.unwrap_or(region.description);
                writer.put(&region)?;
                Ok(region)
            })
        })
        .await?;
    ok(wrapped(&services, &region))
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_region")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find(writer, &id)?;
                let endpoints = writer.list::<Endpoint>(&Query::all())?;
                if endpoints
                    .iter()
                    .any(|endpoint| endpoint.region_id.as_ref() == Some(&id))
                {
                    let message = format!("Unable to delete region {id}: it has endpoints.");
                    return Err(Fault::new(FaultKind::Forbidden, message));
                }
                writer.delete::<Region>(&id)?;
                Ok(())
            })
        })
        .await?;
    no_content()
}
