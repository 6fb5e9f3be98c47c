//! `/v3/groups`: users who are given roles together, and who is in them.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{
    Changes, Resource, change, find, find_readable, is_same, list_of, namesake, shown,
};
use super::domains::DESCRIPTION_MAX;
use super::grants::revoke;
use super::operations::{collection, own};
use super::projects::default_domain;
use super::records::{BY_GROUP, BY_USER, Domain, Grant, Group, Membership, User};
use super::resource::{
    Attributes, Reply, link, list, no_content, require_manager, require_reader_in,
};
use super::rights::{groups_of, members_of};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, map_of, maybe, text, text_of};
use crate::openapi::{Operation, Routes};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 64;

const OF_USER: Operation =
    Operation::get("/v3/users/{user_id}/groups", "List the groups of a user.")
        .answers(200, || collection("groups", map_of(any())));
const MEMBER: &str = "/v3/groups/{group_id}/users/{user_id}";

/// Who is in which group.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(OF_USER, of_user)
        .on(
            own::<User>("/v3/groups/{group_id}/users", "List the users of a group."),
            users,
        )
        .on(
            Operation::put(MEMBER, "Put a user into a group.").empty(204),
            add,
        )
        .on(
            Operation::get(MEMBER, "Ask whether a user is in a group.").empty(204),
            check,
        )
        .on(
            Operation::delete(MEMBER, "Take a user out of a group.").empty(204),
            remove,
        )
}

impl Resource for Group {
    const KIND: &'static str = "group";
    const PLURAL: &'static str = "groups";
    const TITLE: &'static str = "IdentityGroup";
    const SUMMARIES: [&'static str; 5] = [
        "List groups.",
        "Create a group.",
        "Show a group.",
        "Change a group.",
        "Delete a group.",
    ];
    const KNOWN: &'static [&'static str] = &["id", "name", "domain_id", "description", "links"];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("domain_id", text()),
            field("description", text()),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("domain_id", text_of(0, NAME_MAX).or_null()),
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
        ]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn managed_in(&self) -> Option<&str> {
        Some(&self.domain_id)
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "domain_id": self.domain_id,
            "description": self.description,
            "links": link(services, "groups", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name) && is_same(params, "domain_id", &self.domain_id)
    }

    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault> {
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            domain_id: domain_id.unwrap_or_else(|| default_domain(caller)),
            description: description.unwrap_or_default(),
            extra: Map::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        Ok(Box::new(move |group| {
            check_domain(domain_id.as_deref(), &group.domain_id)?;
            change(&mut group.name, name);
            change(&mut group.description, description);
            Ok(())
        }))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        find::<Domain>(writer, &self.domain_id).map(drop)
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        let name = Key::new().text(&self.name).text(&self.domain_id);
        match namesake::<Self>(writer, name, &self.id)? {
            Some(_) => {
                let (name, domain) = (&self.name, &self.domain_id);
                let detail =
                    format!("Duplicate entry found with name {name} at domain ID {domain}");
                Err(texts::conflict("group", &detail))
            }
            None => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        let key = || Key::new().text(&self.id);
        for grant in writer.list::<Grant>(&Query::by(BY_USER, key()))? {
            revoke(writer, &grant)?;
        }
        for member in writer.list::<Membership>(&Query::by(BY_GROUP, key()))? {
            writer.delete::<Membership>(&Membership::id_of(&member.group_id, &member.user_id))?;
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

/// 400 for moving something to another domain.
pub(super) fn check_domain(wanted: Option<&str>, own: &str) -> Result<(), Fault> {
    match wanted.is_none_or(|wanted| wanted == own) {
        true => Ok(()),
        false => Err(Fault::bad_request("Cannot change Domain ID")),
    }
}

/// The path of a membership.
#[derive(Deserialize)]
struct MemberPath {
    group_id: String,
    user_id: String,
}

impl MemberPath {
    /// The membership's id, if both are there and the caller may have to do with both.
    fn permitted(&self, view: &impl View, caller: &Caller, rule: &str) -> Result<String, Fault> {
        let group = view.get::<Group>(&self.group_id)?;
        let user = view.get::<User>(&self.user_id)?;
        for domain in [
            group.as_ref().map(|group| group.domain_id.as_str()),
            user.as_ref().map(|user| user.domain_id.as_str()),
        ] {
            match rule {
                "check_user_in_group" => {
                    require_reader_in(caller, domain, "identity:check_user_in_group")?;
                }
                _ => require_manager(caller, domain, &format!("identity:{rule}"))?,
            }
        }
        group.ok_or_else(|| texts::not_found("group", &self.group_id))?;
        user.ok_or_else(|| texts::not_found("user", &self.user_id))?;
        Ok(Membership::id_of(&self.group_id, &self.user_id))
    }

    fn missing(&self) -> Fault {
        let (user, group) = (&self.user_id, &self.group_id);
        Fault::not_found(format!("User '{user}' not found in group '{group}'"))
    }
}

async fn add(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<MemberPath>,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                path.permitted(writer, &caller, "add_user_to_group")?;
                Ok(writer.put(&Membership::new(&path.group_id, &path.user_id))?)
            })
        })
        .await?;
    no_content()
}

async fn check(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<MemberPath>,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let id = path.permitted(reader, &caller, "check_user_in_group")?;
                let found = reader.get::<Membership>(&id)?;
                found.map(drop).ok_or_else(|| path.missing())
            })
        })
        .await?;
    no_content()
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<MemberPath>,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let id = path.permitted(writer, &caller, "remove_user_from_group")?;
                let removed = writer.delete::<Membership>(&id)?;
                removed.map(drop).ok_or_else(|| path.missing())
            })
        })
        .await?;
    no_content()
}

/// `GET /v3/groups/{id}/users`.
async fn users(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    params: Params,
) -> Reply {
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let group = reader.get::<Group>(&id)?;
                let domain = group.as_ref().map(|group| group.domain_id.as_str());
                require_reader_in(&caller, domain, "identity:list_users_in_group")?;
                group.ok_or_else(|| texts::not_found("group", &id))?;
                let mut found = Vec::new();
                for id in members_of(reader, &id)? {
                    found.extend(reader.get::<User>(&id)?);
                }
                found.retain(|user| user.is_listed(&params));
                Ok(found)
            })
        })
        .await?;
    list_of(&services, &uri, found)
}

/// `GET /v3/users/{id}/groups`.
async fn of_user(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
    params: Params,
) -> Reply {
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                find_readable_user(reader, &caller, &id)?;
                let mut found = Vec::new();
                for id in groups_of(reader, &id)? {
                    found.extend(reader.get::<Group>(&id)?);
                }
                found.retain(|group| is_same(&params, "name", &group.name));
                Ok(found)
            })
        })
        .await?;
    let items = found.into_iter().map(|group| {
        let mut item = shown(&services, group);
        // Memberships here last.
        item["membership_expires_at"] = Value::Null;
        item
    });
    list(&services, "groups", &uri, items.collect())
}

fn find_readable_user(view: &impl View, caller: &Caller, id: &str) -> Result<User, Fault> {
    let rule = "identity:list_groups_for_user";
    find_readable::<User>(view, caller, id).map_err(|fault| texts::under(fault, rule))
}
