//! `/v3/domains`.

use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, is_enabled, is_same, namesake};
use super::ext;
use super::grants::revoke;
use super::options::{self, Staying, check_mutable};
use super::projects::remove_project;
use super::records::{Domain, Group, Project, Role, Target, User};
use super::resource::{Attributes, link};
use super::rights::grants_on;
use super::tags;
use super::texts;
use crate::auth::{Caller, Scope};
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
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

    const KNOWN: &'static [&'static str] = &[
        "id",
        "name",
        "description",
        "enabled",
        "tags",
        "options",
        "links",
        // What domains have as projects only.
        "domain_id",
        "parent_id",
        "is_domain",
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
            maybe("tags", list(text_of(1, tags::TAG_MAX))),
            maybe("options", map_of(any())),
        ]
    }

    fn others(&mut self) -> &mut Map<String, Value> {
        &mut self.extra
    }

    fn read_in(&self) -> Option<&str> {
        Some(&self.id)
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "enabled": self.enabled,
            "tags": self.tags,
            "options": options::shown(self.immutable),
            "links": link(services, "domains", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name)
            && is_enabled(params, self.enabled)
            && tags::are_listed(params, &self.tags)
    }

    fn is_own(&self, caller: &Caller) -> bool {
        let scope = match &caller.scope {
            Scope::Project { domain_id, .. } => Some(domain_id),
            Scope::Domain { id } => Some(id),
            Scope::Unscoped | Scope::System => None,
        };
        caller.user_domain_id == self.id || scope == Some(&self.id)
    }

    fn make(attributes: &Attributes, _caller: &Caller) -> Result<Self, Fault> {
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            description: attributes
                .text("description", DESCRIPTION_MAX)?
                .unwrap_or_default(),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
            tags: tags::of(attributes)?.unwrap_or_default(),
            immutable: Staying::of(attributes)?.at_first(),
            extra: Map::new(),
            epoch: 0,
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        let enabled = attributes.flag("enabled")?;
        let tags = tags::of(attributes)?;
        let staying = Staying::of(attributes)?;
        Ok(Box::new(move |domain| {
            staying.change(&mut domain.immutable, "domain", &domain.id)?;
            // What ended with it must not come back with its being enabled again.
            domain.epoch += u64::from(enabled == Some(false));
            change(&mut domain.tags, tags);
            change(&mut domain.name, name);
            change(&mut domain.description, description);
            change(&mut domain.enabled, enabled);
            Ok(())
        }))
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        match namesake::<Self>(writer, Key::new().text(&self.name), &self.id)? {
            Some(_) => {
                let detail = format!(
                    "it is not permitted to have two projects acting as domains with the same \
                     name: {}",
                    self.name
                );
                Err(texts::conflict("project", &detail))
            }
            None => Ok(()),
        }
    }

    /// Removes the domain with everything in it.
    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        if self.enabled {
            let message = "Cannot delete a domain that is enabled, please disable it first.";
            return Err(texts::forbidden_as_such(message));
        }
        check_mutable(self.immutable, "domain", &self.id)?;
        for group in writer.list::<Group>(&Query::all())? {
            if group.domain_id == self.id {
                group.remove(writer)?;
            }
        }
        for role in writer.list::<Role>(&Query::all())? {
            if role.domain_id.as_ref() == Some(&self.id) {
                role.remove(writer)?;
            }
        }
        for user in writer.list::<User>(&Query::all())? {
            if user.domain_id == self.id {
                user.remove(writer)?;
            }
        }
        for project in writer.list::<Project>(&Query::all())? {
            if project.domain_id == self.id {
                remove_project(writer, project)?;
            }
        }
        ext::remove_of_domain(writer, &self.id)?;
        writer.delete::<Self>(&self.id)?;
        remove_grants_on(writer, &Target::Domain(self.id))
    }
}

/// Removes all grants on a target that goes.
pub(super) fn remove_grants_on(writer: &Writer, target: &Target) -> Result<(), Fault> {
    for grant in grants_on(writer, target)? {
        revoke(writer, &grant)?;
    }
    Ok(())
}
