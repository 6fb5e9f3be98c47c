//! `/v3/domains`.

use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, is_enabled, is_same, namesake};
use super::records::{BY_TARGET, Domain, Grant, Project, Target, User};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::{Fault, FaultKind};
use crate::openapi::shape::{Field, any, field, flag, list, map_of, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 64;
/// Longest description.
pub(super) const DESCRIPTION_MAX: usize = 4096;

impl Resource for Domain {
    const KIND: &'static str = "domain";
    const PLURAL: &'static str = "domains";
    const TITLE: &'static str = "Domain";
    const SUMMARIES: [&'static str; 5] = [
        "List domains.",
        "Create a domain.",
        "Show a domain.",
        "Change a domain.",
        "Delete a domain.",
    ];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("description", text()),
            field("enabled", flag()),
            field("tags", list(text())),
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
            maybe("enabled", flag().or_null()),
        ]
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "tags": [],
            "options": {},
            "links": link(services, "domains", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name) && is_enabled(params, self.enabled)
    }

    fn is_own(caller: &Caller, id: &str) -> bool {
        caller.user_domain_id == id
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            description: attributes
                .text("description", DESCRIPTION_MAX)?
                .unwrap_or_default(),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        let enabled = attributes.flag("enabled")?;
        Ok(Box::new(move |domain| {
            change(&mut domain.name, name);
            change(&mut domain.description, description);
            change(&mut domain.enabled, enabled);
            Ok(())
        }))
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        match namesake::<Self>(writer, Key::new().text(&self.name), &self.id)? {
            Some(_) => {
                let detail = format!("Duplicate entry found with name {}", self.name);
                Err(texts::conflict("domain", &detail))
            }
            None => Ok(()),
        }
    }

    /// Removes the domain with everything in it.
    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        if self.enabled {
            let message = "Cannot delete a domain that is enabled, please disable it first.";
            return Err(Fault::new(FaultKind::Forbidden, message));
        }
        for user in writer.list::<User>(&Query::all())? {
            if user.domain_id == self.id {
                user.remove(writer)?;
            }
        }
        for project in writer.list::<Project>(&Query::all())? {
            if project.domain_id == self.id {
                project.remove(writer)?;
            }
        }
        writer.delete::<Self>(&self.id)?;
        remove_grants_on(writer, &Target::Domain(self.id))
    }
}

/// Removes all grants on a target that goes.
pub(super) fn remove_grants_on(writer: &Writer, target: &Target) -> Result<(), Fault> {
    for grant in writer.list::<Grant>(&Query::by(BY_TARGET, target.key(Key::new())))? {
        writer.delete::<Grant>(&grant.id)?;
    }
    Ok(())
}
