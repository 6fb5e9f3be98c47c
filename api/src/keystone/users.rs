//! `/v3/users`.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Extension, Path, State};
use http::Uri;
use serde_json::{Map, Value, json};

use super::auth_request::Reference;
use super::bootstrap::new_id;
use super::calls::{
    self, Changes, Resource, change, find, find_readable, is_enabled, is_same, list_of, namesake,
    wrapped,
};
use super::delegations::{AccessRule, AppCredential};
use super::groups::check_domain;
use super::limiter::counted;
use super::options;
use super::password::Hash;
use super::projects::default_domain;
use super::proofs::prove_password;
use super::records::{BY_USER, Domain, Grant, Membership, User};
use super::resource::{Attributes, Reply, created, link, no_content, ok, require_admin};
use super::{ext, texts, token_calls, trusts};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, flag, map_of, maybe, null, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;
/// Longest password; hashing more would only burn time.
pub(super) const PASSWORD_MAX: usize = 1024;

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
    const REPEATS_OTHERS: bool = true;
    const KNOWN: &'static [&'static str] = &[
        "id",
        "name",
        "domain_id",
        "enabled",
        "default_project_id",
        "password",
        "original_password",
        "password_expires_at",
        "options",
        "links",
    ];

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
        vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("enabled", flag().or_null()),
            maybe("default_project_id", text_of(0, NAME_MAX).or_null()),
            maybe("password", text_of(0, PASSWORD_MAX).or_null()),
            maybe("domain_id", text_of(0, NAME_MAX).or_null()),
            maybe("options", map_of(any())),
        ]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn managed_in(&self) -> Option<&str> {
        Some(&self.domain_id)
    }

    /// The object as answers show it; never with its password.
    fn view(&self, services: &Services) -> Value {
        let mut body = json!({
            "id": self.id,
            "name": self.name,
            "domain_id": self.domain_id,
            "enabled": self.enabled,
            "password_expires_at": null,
            "options": self.options,
            "links": link(services, "users", &self.id),
        });
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

    fn is_own(&self, caller: &Caller) -> bool {
        caller.user_id == self.id
    }

    /// Without the password, which takes long to hash.
    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault> {
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            domain_id: domain_id.unwrap_or_else(|| default_domain(caller)),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
            default_project_id: attributes.text("default_project_id", NAME_MAX)?,
            extra: Map::new(),
            options: given_options(attributes)?,
            password: None,
            epoch: 0,
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let enabled = attributes.flag("enabled")?;
        let project = attributes.text_or_null("default_project_id", NAME_MAX)?;
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        let options = options::of_user(attributes)?;
        Ok(Box::new(move |user| {
            check_domain(domain_id.as_deref(), &user.domain_id)?;
            change(&mut user.name, name);
            change(&mut user.default_project_id, project);
            options::merge(&mut user.options, options);
            // What ended before must not come back with being enabled again.
            user.epoch += u64::from(enabled == Some(false));
            change(&mut user.enabled, enabled);
            Ok(())
        }))
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
        let own = || Query::by(BY_USER, Key::new().text(&self.id));
        for grant in writer.list::<Grant>(&own())? {
            writer.delete::<Grant>(&grant.id)?;
        }
        for member in writer.list::<Membership>(&own())? {
            writer.delete::<Membership>(&Membership::id_of(&member.group_id, &member.user_id))?;
        }
        for credential in writer.list::<AppCredential>(&own())? {
            writer.delete::<AppCredential>(&credential.id)?;
        }
        for rule in writer.list::<AccessRule>(&own())? {
            writer.delete::<AccessRule>(&rule.id)?;
        }
        trusts::remove_of_user(writer, &self.id)?;
        ext::remove_of_user(writer, &self.id)?;
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

fn given_options(attributes: &Attributes) -> Result<Map<String, Value>, Fault> {
    let mut given = Map::new();
    options::merge(&mut given, options::of_user(attributes)?);
    Ok(given)
}

/// As the common call, with a password to be hashed.
pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = calls::asked::<User>(body, &caller, "create")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let mut user = calls::made::<User>(&attributes, &caller)?;
    let user = services
        .hashing(move |services| {
            user.password = password.as_deref().map(Hash::new).transpose()?;
            calls::insert(services, user)
        })
        .await?;
    created(wrapped(&services, user))
}

/// As the common call, with a password to be hashed.
pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = calls::asked::<User>(body, &caller, "update")?;
    let password = attributes.text("password", PASSWORD_MAX)?;
    let changes = calls::changes_of::<User>(&attributes)?;
    let user = services
        .hashing(move |services| {
            let hash = password.as_deref().map(Hash::new).transpose()?;
            calls::alter(services, &caller, &id, |user: &mut User| {
                changes(user)?;
                if hash.is_some() {
                    user.password = hash;
                    user.epoch += 1;
                }
                Ok(())
            })
        })
        .await?;
    ok(calls::changed(&services, user))
}

/// `POST /v3/users/{id}/password`: needs the old password, not a token.
pub(super) async fn change_password(
    State(services): State<Services>,
    Path(id): Path<String>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = Attributes::of(body, "user")?;
    let old = attributes.name("original_password", PASSWORD_MAX)?;
    let new = attributes.name("password", PASSWORD_MAX)?;
    let address = peer_of(peer);
    services
        .hashing(move |services| replace_password(services, &id, [&old, &new], &address))
        .await?;
    no_content()
}

/// Where a request comes from, as the limiter counts it.
pub(super) fn peer_of(peer: Option<Extension<ConnectInfo<SocketAddr>>>) -> String {
    peer.map_or(String::new(), |Extension(ConnectInfo(peer))| {
        counted(peer.ip())
    })
}

fn replace_password(
    services: &Services,
    id: &str,
    [old, new]: [&str; 2],
    address: &str,
) -> Result<(), Fault> {
    let proved = prove_password(services, &Reference::Id(id.to_owned()), old, address)?;
    if proved.options.get("lock_password") == Some(&Value::Bool(true)) {
        return Err(Fault::bad_request(
            "You cannot change your password at this time due to password policy disallowing \
             password changes. Please contact your administrator to reset your password.",
        ));
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

/// `DELETE /v3/users/{id}/tokens`: ends all tokens of a user.
pub(super) async fn end_tokens(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    if caller.user_id != id {
        require_admin(&caller, "identity:revoke_tokens_for_user")?;
    }
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut user = find::<User>(writer, &id)?;
                user.epoch += 1;
                Ok(writer.put(&user)?)
            })
        })
        .await?;
    no_content()
}

/// `GET /v3/users/{id}/projects`.
pub(super) async fn projects(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    params: Params,
) -> Reply {
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let rule = "identity:list_user_projects";
                let user = find_readable::<User>(reader, &caller, &id);
                user.map_err(|fault| texts::under(fault, rule))?;
                let mut found = token_calls::projects_of(reader, &id)?;
                found.retain(|project| project.is_listed(&params));
                Ok(found)
            })
        })
        .await?;
    list_of(&services, &uri, found)
}
