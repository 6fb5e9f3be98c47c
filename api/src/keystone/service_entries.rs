//! `/v3/services`: entries of the service catalogue.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::domains::DESCRIPTION_MAX;
use super::records::{BY_SERVICE, Endpoint, Service};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Key, Query, View};
use crate::fault::Fault;
use crate::page::Params;
use crate::server::Services;

/// Longest type and name.
const NAME_MAX: usize = 255;

fn view(services: &Services, service: &Service) -> Value {
    let mut body = json!({
        "id": service.id,
        "type": service.kind,
        "enabled": service.enabled,
        "description": service.description.clone().unwrap_or_default(),
        "links": link(services, "services", &service.id),
    });
    if let Some(name) = &service.name {
        body["name"] = json!(name);
    }
    body
}

fn wrapped(services: &Services, service: &Service) -> Value {
    json!({"service": view(services, service)})
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_services")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Service>(&Query::all()))?)
        })
        .await?;
    let named = |service: &&Service| {
        let name = service.name.as_deref();
        params.get("name").is_none_or(|wanted| name == Some(wanted))
            && params
                .get("type")
                .is_none_or(|wanted| wanted == service.kind)
    };
    let items = found
        .iter()
        .filter(named)
        .map(|service| view(&services, service));
    list(&services, "services", &uri, items.collect())
}

/// The service, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<Service, Fault> {
    view.get::<Service>(id)?
        .ok_or_else(|| texts::not_found("service", id))
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_reader(&caller, "identity:get_service")?;
    let service = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &service))
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_service")?;
    let attributes = Attributes::of(body, "service")?;
    let service = Service {
        id: new_id(),
        kind: attributes.name("type", NAME_MAX)?,
        name: attributes.text("name", NAME_MAX)?,
        description: attributes.text("description", DESCRIPTION_MAX)?,
        enabled: attributes.flag("enabled")?.unwrap_or(true),
    };
    let service = services
        .blocking(move |services| {
            services
                .catalogue()
                .write(|writer| writer.insert(&service))?;
            Ok(service)
        })
        .await?;
    created(wrapped(&services, &service))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_service")?;
    let attributes = Attributes::of(body, "service")?;
    let kind = attributes.new_name("type", NAME_MAX)?;
    let name = attributes.text("name", NAME_MAX)?;
    let description = attributes.text("description", DESCRIPTION_MAX)?;
    let enabled = attributes.flag("enabled")?;
    let service = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut service = find(writer, &id)?;
                service.kind = kind.unwrap_or(service.kind);
                service.name = name.or(service.name);
                service.description = description.or(service.description);
                service.enabled = enabled.unwrap_or(service.enabled);
                writer.put(&service)?;
                Ok(service)
            })
        })
        .await?;
    ok(wrapped(&services, &service))
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_service")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find(writer, &id)?;
                let of_service = Query::by(BY_SERVICE, Key::new().text(&id));
                for endpoint in writer.list::<Endpoint>(&of_service)? {
                    writer.delete::<Endpoint>(&endpoint.id)?;
                }
                writer.delete::<Service>(&id)?;
                Ok(())
            })
        })
        .await?;
    no_content()
}
