//! `/v3/roles`.

use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, is_same, namesake};
use super::domains::DESCRIPTION_MAX;
use super::records::{BY_ROLE, Grant, Role};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, map_of, maybe, null, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;

impl Resource for Role {
    const KIND: &'static str = "role";
    const PLURAL: &'static str = "roles";
    const TITLE: &'static str = "Role";
    const SUMMARIES: [&'static str; 5] = [
        "List roles.",
        "Create a role.",
        "Show a role.",
        "Change a role.",
        "Delete a role.",
    ];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("description", text().or_null()),
            field("domain_id", null()),
            field("options", map_of(any())),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
        ]
    }

    fn view(&self, services: &Services) -> Value {
        let options = if self.immutable {
            json!({"immutable": true})
        } else {
            json!({})
        };
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "domain_id": null,
            "options": options,
            "links": link(services, "roles", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        // No role belongs to a domain.
        let of_domain = params.get("domain_id").is_some_and(|id| !id.is_empty());
        !of_domain && is_same(params, "name", &self.name)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            description: attributes.text("description", DESCRIPTION_MAX)?,
            implies: Vec::new(),
            immutable: false,
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        Ok(Box::new(move |role| {
            check_mutable(role)?;
            change(&mut role.name, name);
            role.description = description.or(role.description.take());
            Ok(())
        }))
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        match namesake::<Self>(writer, Key::new().text(&self.name), &self.id)? {
            Some(_) => {
                let detail = format!("Duplicate entry found with name {}", self.name);
                Err(texts::conflict("role", &detail))
            }
            None => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        check_mutable(&self)?;
        for grant in writer.list::<Grant>(&Query::by(BY_ROLE, Key::new().text(&self.id)))? {
            writer.delete::<Grant>(&grant.id)?;
        }
        writer.delete::<Self>(&self.id)?;
        Ok(())
    }
}

fn check_mutable(role: &Role) -> Result<(), Fault> {
    if role.immutable {
        return Err(texts::immutable("role", &role.id));
    }
    Ok(())
}
