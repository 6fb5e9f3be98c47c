//! `/v3/users`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{
    self, Changes, Resource, change, find, is_enabled, is_same, list_of, namesake, wrapped,
};
use super::password::Hash;
use super::records::{BY_USER, Domain, Grant, User};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader,
};
use super::{texts, token_calls};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::{Fault, IdentityFault};
use crate::openapi::shape::{Field, any, field, flag, map_of, maybe, null, text, text_of};
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

impl Resource for User {
    const KIND: &'static str = "user";
    const PLURAL: &'static str = "users";
    const TITLE: &'static str = "User";
    const SUMMARIES: [&'static str; 5] = [
        "List users.",
        "Create a user.",
        "Show a user.",
        "Change a user.",
        "Delete a user.",
    ];
    const KEEPS_OTHERS: bool = true;

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("domain_id", text()),
            field("enabled", flag()),
            field("password_expires_at", null()),
            field("options", map_of(any())),
            maybe("default_project_id", text()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        let mut attributes = vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("enabled", flag().or_null()),
            maybe("default_project_id", text_of(0, NAME_MAX).or_null()),
            maybe("password", text_of(0, PASSWORD_MAX).or_null()),
        ];
        if new {
            attributes.push(maybe("domain_id", text_of(0, NAME_MAX).or_null()));
        }
        attributes
    }

    /// The object as answers show it; never with its password.
    fn view(&self, services: &Services) -> Value {
        let mut body = json!(self.extra);
        body["id"] = json!(self.id);
        body["name"] = json!(self.name);
        body["domain_id"] = json!(self.domain_id);
        body["enabled"] = json!(self.enabled);
        body["password_expires_at"] = Value::Null;
        body["options"] = json!({});
        body["links"] = link(services, "users", &self.id);
        if let Some(project) = &self.default_project_id {
            body["default_project_id"] = json!(project);
        }
        body
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name)
            && is_same(params, "domain_id", &self.domain_id)
            && is_enabled(params, self.enabled)
    }

    fn is_own(caller: &Caller, id: &str) -> bool {
        caller.user_id == id
    }

    /// Without the password, which takes long to hash.
    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault> {
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            domain_id: domain_id.unwrap_or_else(|| caller.user_domain_id.clone()),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
            default_project_id: attributes.text("default_project_id", NAME_MAX)?,
            extra: extra(attributes)?,
            password: None,
            epoch: 0,
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let enabled = attributes.flag("enabled")?;
        let project = attributes.text("default_project_id", NAME_MAX)?;
        let extra = extra(attributes)?;
        Ok(Box::new(move |user| {
            change(&mut user.name, name);
            user.default_project_id = project.or(user.default_project_id.take());
            user.extra.extend(extra);
            // What ended before must not come back with being enabled again.
            user.epoch += u64::from(enabled == Some(false));
            change(&mut user.enabled, enabled);
            Ok(())
        }))
    }

    fn extra(&self) -> Option<Value> {
        Some(json!(self.extra))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        find::<Domain>(writer, &self.domain_id).map(drop)
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        let (name, domain) = (&self.name, &self.domain_id);
        match namesake::<Self>(writer, Key::new().text(name).text(domain), &self.id)? {
            Some(_) => {
                let detail =
                    format!("Duplicate entry found with name {name} at domain ID {domain}");
                Err(texts::conflict("user", &detail))
            }
            None => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        for grant in writer.list::<Grant>(&Query::by(BY_USER, Key::new().text(&self.id)))? {
            writer.delete::<Grant>(&grant.id)?;
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

fn require_self(caller: &Caller, id: &str, rule: &str) -> Result<(), IdentityFault> {
    if caller.user_id == id {
        return Ok(());
    }
    Ok(require_reader(caller, rule)?)
}

fn extra(attributes: &Attributes) -> Result<serde_json::Map<String, Value>, Fault> {
    let extra = attributes.others(&KNOWN);
    if json!(extra).to_string().len() > EXTRA_BYTES_MAX {
        return Err(Fault::malformed());
    }
    Ok(extra)
}

/// As the common call, with a password to be hashed.
pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_user")?;
    let attributes = Attributes::of(body, "user")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let mut user = User::make(&attributes, &caller)?;
    let user = services
        .hashing(move |services| {
            user.password = password.as_deref().map(Hash::new).transpose()?;
            calls::insert(services, user)
        })
        .await?;
    created(wrapped(&services, &user))
}

/// As the common call, with a password to be hashed.
pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_user")?;
    let attributes = Attributes::of(body, "user")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let changes = User::changes(&attributes)?;
    let user = services
        .hashing(move |services| {
            let hash = password.as_deref().map(Hash::new).transpose()?;
            calls::alter(services, &id, |user: &mut User| {
                changes(user)?;
                if hash.is_some() {
                    user.password = hash;
                    user.epoch += 1;
                }
                Ok(())
            })
        })
        .await?;
    ok(calls::changed(&services, &user))
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
        .hashing(move |services| replace_password(services, &id, &old, &new))
        .await?;
    no_content()
}

fn replace_password(services: &Services, id: &str, old: &str, new: &str) -> Result<(), Fault> {
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
                find::<User>(reader, &id)?;
                Ok(token_calls::projects_of(reader, &id)?)
            })
        })
        .await?;
    list_of(&services, &uri, &found)
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
