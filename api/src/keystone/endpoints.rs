//! `/v3/endpoints`: addresses of services.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::catalog::whole_url;
use super::records::{Base, Endpoint, Region};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::{service_entries, texts};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Query, View};
use crate::fault::Fault;
use crate::page::Params;
use crate::server::Services;

/// Longest URL and id.
const URL_MAX: usize = 2048;

fn view(services: &Services, endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "service_id": endpoint.service_id,
        "interface": endpoint.interface,
        "region": endpoint.region_id,
        "region_id": endpoint.region_id,
        "url": whole_url(services, endpoint),
        "enabled": endpoint.enabled,
        "links": link(services, "endpoints", &endpoint.id),
    })
}

fn wrapped(services: &Services, endpoint: &Endpoint) -> Value {
    json!({"endpoint": view(services, endpoint)})
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_endpoints")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Endpoint>(&Query::all()))?)
        })
        .await?;
    let wanted = |endpoint: &&Endpoint| {
        let region = endpoint.region_id.as_deref();
        let same = |key: &str, value| params.get(key).is_none_or(|wanted| Some(wanted) == value);
        same("service_id", Some(&endpoint.service_id))
            && same("interface", Some(&endpoint.interface))
            && same("region_id", region)
    };
    let items = found
        .iter()
        .filter(wanted)
        .map(|endpoint| view(&services, endpoint));
    list(&services, "endpoints", &uri, items.collect())
}

fn find(view: &impl View, id: &str) -> Result<Endpoint, Fault> {
    view.get::<Endpoint>(id)?
        .ok_or_else(|| texts::not_found("endpoint", id))
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_reader(&caller, "identity:get_endpoint")?;
    let endpoint = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &endpoint))
}

fn interface(attributes: &Attributes) -> Result<Option<String>, Fault> {
    let interface = attributes.text("interface", URL_MAX)?;
    match interface.as_deref() {
        None | Some("public" | "internal" | "admin") => Ok(interface),
        Some(other) => {
            let reason = format!("'{other}' is not one of ['admin', 'internal', 'public']");
            Err(texts::invalid("interface", other, &reason))
        }
    }
}

fn check_parts(view: &impl View, endpoint: &Endpoint) -> Result<(), Fault> {
    service_entries::find(view, &endpoint.service_id)?;
    match &endpoint.region_id {
        Some(id) if view.get::<Region>(id)?.is_none() => Err(texts::not_found("region", id)),
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_endpoint")?;
    let attributes = Attributes::of(body, "endpoint")?;
    let interface = interface(&attributes)?;
    let region = attributes.text("region_id", URL_MAX)?;
    let endpoint = Endpoint {
        id: new_id(),
        service_id: attributes.name("service_id", URL_MAX)?,
        interface: interface
            .ok_or_else(|| Fault::bad_request("'interface' is a required property"))?,
        region_id: region.or(attributes.text("region", URL_MAX)?),
        url: attributes.name("url", URL_MAX)?,
        base: Base::Absolute,
        enabled: attributes.flag("enabled")?.unwrap_or(true),
    };
    let endpoint = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                check_parts(writer, &endpoint)?;
                writer.insert(&endpoint)?;
                Ok(endpoint)
            })
        })
        .await?;
    created(wrapped(&services, &endpoint))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_endpoint")?;
    let attributes = Attributes::of(body, "endpoint")?;
    let interface = interface(&attributes)?;
    let service_id = attributes.new_name("service_id", URL_MAX)?;
    let region_id = attributes.text("region_id", URL_MAX)?;
    let url = attributes.new_name("url", URL_MAX)?;
    let enabled = attributes.flag("enabled")?;
    let endpoint = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut endpoint = find(writer, &id)?;
                endpoint.interface = interface.unwrap_or(endpoint.interface);
                endpoint.service_id = service_id.unwrap_or(endpoint.service_id);
                endpoint.region_id = region_id.or(endpoint.region_id);
                endpoint.enabled = enabled.unwrap_or(endpoint.enabled);
                if let Some(url) = url {
                    (endpoint.url, endpoint.base) = (url, Base::Absolute);
                }
                check_parts(writer, &endpoint)?;
                writer.put(&endpoint)?;
                Ok(endpoint)
            })
        })
        .await?;
    ok(wrapped(&services, &endpoint))
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_endpoint")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find(writer, &id)?;
                writer.delete::<Endpoint>(&id)?;
                Ok(())
            })
        })
        .await?;
    no_content()
}
