//! `/v3/domains`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::records::{BY_NAME, BY_TARGET, Domain, Grant, Project, Target, User};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::{projects, texts, users};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::{Fault, FaultKind};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 64;
/// Longest description.
pub(super) const DESCRIPTION_MAX: usize = 4096;

/// The object as answers show it.
pub(super) fn view(services: &Services, domain: &Domain) -> Value {
    json!({
        "id": domain.id,
        "name": domain.name,
        "description": domain.description,
        "enabled": domain.enabled,
        "tags": [],
        "options": {},
        "links": link(services, "domains", &domain.id),
    })
}

fn wrapped(services: &Services, domain: &Domain) -> Value {
    json!({"domain": view(services, domain)})
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_domains")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Domain>(&Query::all()))?)
        })
        .await?;
    let enabled = params.has("enabled").then(|| params.flag("enabled", true));
    let items = found
        .iter()
        .filter(|domain| params.get("name").is_none_or(|name| name == domain.name))
        .filter(|domain| enabled.is_none_or(|enabled| enabled == domain.enabled))
        .map(|domain| view(&services, domain));
    list(&services, "domains", &uri, items.collect())
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    if caller.user_domain_id != id {
        require_reader(&caller, "identity:get_domain")?;
    }
    let domain = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &domain))
}

/// The domain, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<Domain, Fault> {
    view.get::<Domain>(id)?
        .ok_or_else(|| texts::not_found("domain", id))
}

fn check_name(view: &impl View, name: &str, own_id: Option<&str>) -> Result<(), Fault> {
    let other = view.first::<Domain>(&Query::by(BY_NAME, Key::new().text(name)))?;
    match other {
        Some(other) if own_id != Some(other.id.as_str()) => {
            let detail = format!("Duplicate entry found with name {name}");
            Err(texts::conflict("domain", &detail))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_domain")?;
    let attributes = Attributes::of(body, "domain")?;
    let domain = Domain {
        id: new_id(),
        name: attributes.name("name", NAME_MAX)?,
        description: attributes
            .text("description", DESCRIPTION_MAX)?
            .unwrap_or_default(),
        enabled: attributes.flag("enabled")?.unwrap_or(true),
    };
    let domain = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                check_name(writer, &domain.name, None)?;
                writer.insert(&domain)?;
                Ok(domain)
            })
        })
        .await?;
    created(wrapped(&services, &domain))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_domain")?;
    let attributes = Attributes::of(body, "domain")?;
    let name = attributes.new_name("name", NAME_MAX)?;
    let description = attributes.text("description", DESCRIPTION_MAX)?;
    let enabled = attributes.flag("enabled")?;
    let domain = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut domain = find(writer, &id)?;
                if let Some(name) = name {
                    check_name(writer, &name, Some(&id))?;
                    domain.name = name;
                }
                domain.description = description.unwrap_or(domain.description);
                domain.enabled = enabled.unwrap_or(domain.enabled);
                writer.put(&domain)?;
                Ok(domain)
            })
        })
        .await?;
    ok(wrapped(&services, &domain))
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_domain")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                if find(writer, &id)?.enabled {
                    let message =
                        "Cannot delete a domain that is enabled, please disable it first.";
                    return Err(Fault::new(FaultKind::Forbidden, message));
                }
                Ok(remove(writer, &id)?)
            })
        })
        .await?;
    no_content()
}

/// Removes a domain with everything in it.
fn remove(writer: &Writer, id: &str) -> catalogue::Result<()> {
    for user in writer.list::<User>(&Query::all())? {
        if user.domain_id == id {
            users::remove(writer, &user.id)?;
        }
    }
    for project in writer.list::<Project>(&Query::all())? {
        if project.domain_id == id {
            projects::remove(writer, &project.id)?;
        }
    }
    remove_grants_on(writer, &Target::Domain(id.to_owned()))?;
    writer.delete::<Domain>(id)?;
    Ok(())
}

/// Removes all grants on a target that goes.
pub(super) fn remove_grants_on(writer: &Writer, target: &Target) -> catalogue::Result<()> {
    for grant in writer.list::<Grant>(&Query::by(BY_TARGET, target.key(Key::new())))? {
        writer.delete::<Grant>(&grant.id)?;
    }
    Ok(())
}
