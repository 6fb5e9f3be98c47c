//! `/v3/users`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::domains;
use super::password::Hash;
use super::records::{BY_NAME, BY_USER, Grant, User};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::{projects, texts, token_calls};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::{Fault, IdentityFault};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;
/// Longest password; hashing more would only burn time.
const PASSWORD_MAX: usize = 1024;
/// Attributes with a meaning here; all others are kept as they came.
const KNOWN: [&str; 9] = [
    "id",
    "name",
    "domain_id",
    "enabled",
    "default_project_id",
    "password",
    "original_password",
    "options",
    "links",
];
/// Most other attributes of a user, and the most text in them.
const EXTRA_BYTES_MAX: usize = 16 << 10;

/// The object as answers show it; never with its password.
fn view(services: &Services, user: &User) -> Value {
    let mut body = json!(user.extra);
    body["id"] = json!(user.id);
    body["name"] = json!(user.name);
    body["domain_id"] = json!(user.domain_id);
    body["enabled"] = json!(user.enabled);
    body["password_expires_at"] = Value::Null;
    body["options"] = json!({});
    body["links"] = link(services, "users", &user.id);
    if let Some(project) = &user.default_project_id {
        body["default_project_id"] = json!(project);
    }
    body
}

fn wrapped(services: &Services, user: &User) -> Value {
    json!({"user": view(services, user)})
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_users")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<User>(&Query::all()))?)
        })
        .await?;
    let enabled = params.has("enabled").then(|| params.flag("enabled", true));
    let same = |key: &str, value: &str| params.get(key).is_none_or(|wanted| wanted == value);
    let items = found
        .iter()
        .filter(|user| same("name", &user.name) && same("domain_id", &user.domain_id))
        .filter(|user| enabled.is_none_or(|enabled| enabled == user.enabled))
        .map(|user| view(&services, user));
    list(&services, "users", &uri, items.collect())
}

/// The user, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<User, Fault> {
    view.get::<User>(id)?
        .ok_or_else(|| texts::not_found("user", id))
}

fn require_self(caller: &Caller, id: &str, rule: &str) -> Result<(), IdentityFault> {
    if caller.user_id == id {
        return Ok(());
    }
    Ok(require_reader(caller, rule)?)
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_self(&caller, &id, "identity:get_user")?;
    let user = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &user))
}

fn check_name(view: &impl View, user: &User) -> Result<(), Fault> {
    let key = Key::new().text(&user.name).text(&user.domain_id);
    match view.first::<User>(&Query::by(BY_NAME, key))? {
        Some(other) if other.id != user.id => {
            let (name, domain) = (&user.name, &user.domain_id);
            let detail = format!("Duplicate entry found with name {name} at domain ID {domain}");
            Err(texts::conflict("user", &detail))
        }
        Some(_) | None => Ok(()),
    }
}

fn extra(attributes: &Attributes) -> Result<serde_json::Map<String, Value>, Fault> {
    let extra = attributes.others(&KNOWN);
    if json!(extra).to_string().len() > EXTRA_BYTES_MAX {
        return Err(Fault::malformed());
    }
    Ok(extra)
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_user")?;
    let attributes = Attributes::of(body, "user")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let domain_id = attributes.text("domain_id", NAME_MAX)?;
    let mut user = User {
        id: new_id(),
        name: attributes.name("name", NAME_MAX)?,
        domain_id: domain_id.unwrap_or(caller.user_domain_id),
        enabled: attributes.flag("enabled")?.unwrap_or(true),
        default_project_id: attributes.text("default_project_id", NAME_MAX)?,
        extra: extra(&attributes)?,
        password: None,
        epoch: 0,
    };
    let user = services
        .hashing(move |services| {
            user.password = password.as_deref().map(Hash::new).transpose()?;
            services.catalogue().write(|writer| {
                domains::find(writer, &user.domain_id)?;
                check_name(writer, &user)?;
                writer.insert(&user)?;
                Ok(user)
            })
        })
        .await?;
    created(wrapped(&services, &user))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_user")?;
    let attributes = Attributes::of(body, "user")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let name = attributes.new_name("name", NAME_MAX)?;
    let enabled = attributes.flag("enabled")?;
    let project = attributes.text("default_project_id", NAME_MAX)?;
    let extra = extra(&attributes)?;
    let user = services
        .hashing(move |services| {
            let hash = password.as_deref().map(Hash::new).transpose()?;
            services.catalogue().write(|writer| {
                let mut user = find(writer, &id)?;
                user.name = name.unwrap_or(user.name);
                user.default_project_id = project.or(user.default_project_id);
                user.extra.extend(extra);
                // What ended before must not come back with being enabled again.
                user.epoch += u64::from(hash.is_some() || enabled == Some(false));
                user.enabled = enabled.unwrap_or(user.enabled);
                user.password = hash.or(user.password);
                check_name(writer, &user)?;
                writer.put(&user)?;
                Ok(user)
            })
        })
        .await?;
    let mut body = wrapped(&services, &user);
    body["user"]["extra"] = json!(user.extra);
    ok(body)
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_user")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find(writer, &id)?;
                Ok(remove(writer, &id)?)
            })
        })
        .await?;
    no_content()
}

/// Removes a user and the user's grants.
pub(super) fn remove(writer: &Writer, id: &str) -> catalogue::Result<()> {
    for grant in writer.list::<Grant>(&Query::by(BY_USER, Key::new().text(id)))? {
        writer.delete::<Grant>(&grant.id)?;
    }
    writer.delete::<User>(id)?;
    Ok(())
}

/// `POST /v3/users/{id}/password`: needs the old password, not a token.
pub(super) async fn change_password(
    State(services): State<Services>,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = Attributes::of(body, "user")?;
    let old = attributes.name("original_password", PASSWORD_MAX)?;
    let new = attributes.name("password", PASSWORD_MAX)?;
    services
        .hashing(move |services| change(services, &id, &old, &new))
        .await?;
    no_content()
}

fn change(services: &Services, id: &str, old: &str, new: &str) -> Result<(), Fault> {
    let now_us = services.now_us();
    if !services.logins().permits(id, "", now_us) {
        return Err(Fault::unauthorized());
    }
    let user = services.catalogue().read(|reader| reader.get::<User>(id))?;
    let known = user.as_ref().filter(|user| user.enabled);
    let hash = known.and_then(|user| user.password.clone());
    if !hash.unwrap_or_else(Hash::of_nobody).verify(old)? {
        services.logins().failed(id, "", now_us);
        return Err(Fault::unauthorized());
    }
    let hash = Hash::new(new)?;
    services.catalogue().write(|writer| {
        writer.update::<User>(id, |user| {
            user.password = Some(hash);
            user.epoch += 1;
        })
    })?;
    Ok(())
}

/// `GET /v3/users/{id}/projects`.
pub(super) async fn projects(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    require_self(&caller, &id, "identity:list_user_projects")?;
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                find(reader, &id)?;
                Ok(token_calls::projects_of(reader, &id)?)
            })
        })
        .await?;
    let items = found
        .iter()
        .map(|project| projects::view(&services, project))
        .collect();
    list(&services, "projects", &uri, items)
}

/// `GET /v3/users/{id}/groups`: there are no groups.
pub(super) async fn groups(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    require_self(&caller, &id, "identity:list_groups_for_user")?;
    list(&services, "groups", &uri, Vec::new())
}
