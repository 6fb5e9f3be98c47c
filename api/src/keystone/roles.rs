//! `/v3/roles`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::domains::DESCRIPTION_MAX;
use super::records::{BY_NAME, BY_ROLE, Grant, Role};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::texts;
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;

/// The object as answers show it.
pub(super) fn view(services: &Services, role: &Role) -> Value {
    let options = if role.immutable {
        json!({"immutable": true})
    } else {
        json!({})
    };
    json!({
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "domain_id": null,
        "options": options,
        "links": link(services, "roles", &role.id),
    })
}

fn wrapped(services: &Services, role: &Role) -> Value {
    json!({"role": view(services, role)})
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_roles")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Role>(&Query::all()))?)
        })
        .await?;
    // No role belongs to a domain.
    let of_domain = params.get("domain_id").is_some_and(|id| !id.is_empty());
    let items = found
        .iter()
        .filter(|role| !of_domain && params.get("name").is_none_or(|name| name == role.name))
        .map(|role| view(&services, role));
    list(&services, "roles", &uri, items.collect())
}

/// The role, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<Role, Fault> {
    view.get::<Role>(id)?
        .ok_or_else(|| texts::not_found("role", id))
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_reader(&caller, "identity:get_role")?;
    let role = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &role))
}

fn check_name(view: &impl View, role: &Role) -> Result<(), Fault> {
    let by_name = Query::by(BY_NAME, Key::new().text(&role.name));
    match view.first::<Role>(&by_name)? {
        Some(other) if other.id != role.id => {
            let detail = format!("Duplicate entry found with name {}", role.name);
            Err(texts::conflict("role", &detail))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_role")?;
    let attributes = Attributes::of(body, "role")?;
    let role = Role {
        id: new_id(),
        name: attributes.name("name", NAME_MAX)?,
        description: attributes.text("description", DESCRIPTION_MAX)?,
        implies: Vec::new(),
        immutable: false,
    };
    let role = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                check_name(writer, &role)?;
                writer.insert(&role)?;
                Ok(role)
            })
        })
        .await?;
    created(wrapped(&services, &role))
}

fn find_mutable(view: &impl View, id: &str) -> Result<Role, Fault> {
    let role = find(view, id)?;
    if role.immutable {
        return Err(texts::immutable("role", id));
    }
    Ok(role)
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_role")?;
    let attributes = Attributes::of(body, "role")?;
    let name = attributes.new_name("name", NAME_MAX)?;
    let description = attributes.text("description", DESCRIPTION_MAX)?;
    let role = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut role = find_mutable(writer, &id)?;
                role.name = name.unwrap_or(role.name);
                role.description = description.or(role.description);
                check_name(writer, &role)?;
                writer.put(&role)?;
                Ok(role)
            })
        })
        .await?;
    ok(wrapped(&services, &role))
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_role")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find_mutable(writer, &id)?;
                Ok(remove(writer, &id)?)
            })
        })
        .await?;
    no_content()
}

fn remove(writer: &Writer, id: &str) -> catalogue::Result<()> {
    for grant in writer.list::<Grant>(&Query::by(BY_ROLE, Key::new().text(id)))? {
        writer.delete::<Grant>(&grant.id)?;
    }
    writer.delete::<Role>(id)?;
    Ok(())
}
