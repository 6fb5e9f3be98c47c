//! `/v3/projects`.

use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, find, is_enabled, is_same, namesake};
use super::domains::{DESCRIPTION_MAX, remove_grants_on};
use super::records::{Domain, Project, Target};
use super::resource::{Attributes, link};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, flag, list, map_of, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 64;

impl Resource for Project {
    const KIND: &'static str = "project";
    const PLURAL: &'static str = "projects";
    const TITLE: &'static str = "Project";
    const SUMMARIES: [&'static str; 5] = [
        "List projects.",
        "Create a project.",
        "Show a project.",
        "Change a project.",
        "Delete a project.",
    ];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("domain_id", text()),
            field("parent_id", text()),
            field("description", text()),
            field("enabled", flag()),
            field("is_domain", flag()),
            field("tags", list(text())),
            field("options", map_of(any())),
        ]
    }

    fn attributes(new: bool) -> Vec<Field> {
        let name = text_of(1, NAME_MAX).like(r"\S");
        let mut attributes = vec![
            match new {
                true => field("name", name),
                false => maybe("name", name.or_null()),
            },
            maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
            maybe("enabled", flag().or_null()),
        ];
        if new {
            attributes.push(maybe("domain_id", text_of(0, NAME_MAX).or_null()));
            attributes.push(maybe("parent_id", text_of(0, NAME_MAX).or_null()));
        }
        attributes
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "domain_id": self.domain_id,
            "parent_id": self.parent_id,
            "description": self.description,
            "enabled": self.enabled,
            "is_domain": false,
            "tags": self.tags,
            "options": {},
            "links": link(services, "projects", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name)
            && is_same(params, "domain_id", &self.domain_id)
            && is_same(params, "parent_id", &self.parent_id)
            && is_enabled(params, self.enabled)
            // Domains are not shown as projects here.
            && !params.flag("is_domain", false)
    }

    fn is_own(caller: &Caller, id: &str) -> bool {
        caller.project_id() == Some(id)
    }

    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault> {
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        let domain_id = domain_id.unwrap_or_else(|| caller.user_domain_id.clone());
        let parent_id = attributes.text("parent_id", NAME_MAX)?;
        Ok(Self {
            id: new_id(),
            name: attributes.name("name", NAME_MAX)?,
            parent_id: parent_id.unwrap_or_else(|| domain_id.clone()),
            domain_id,
            description: attributes
                .text("description", DESCRIPTION_MAX)?
                .unwrap_or_default(),
            enabled: attributes.flag("enabled")?.unwrap_or(true),
            tags: Vec::new(),
        })
    }

    fn changes(attributes: &Attributes) -> Result<Changes<Self>, Fault> {
        let name = attributes.new_name("name", NAME_MAX)?;
        let description = attributes.text("description", DESCRIPTION_MAX)?;
        let enabled = attributes.flag("enabled")?;
        Ok(Box::new(move |project| {
            change(&mut project.name, name);
            change(&mut project.description, description);
            change(&mut project.enabled, enabled);
            Ok(())
        }))
    }

    fn extra(&self) -> Option<Value> {
        Some(json!({}))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        find::<Domain>(writer, &self.domain_id)?;
        if self.parent_id != self.domain_id {
            find::<Self>(writer, &self.parent_id)?;
        }
        Ok(())
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        let name = Key::new().text(&self.name).text(&self.domain_id);
        match namesake::<Self>(writer, name, &self.id)? {
            Some(other) => {
                let detail = format!(
                    "it is not permitted to have two projects with either the same name or same \
                     id in the same domain: name is {}, project id {}",
                    self.name, other.id
                );
                Err(texts::conflict("project", &detail))
            }
            None => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        writer.delete::<Self>(&self.id)?;
        remove_grants_on(writer, &Target::Project(self.id))
    }
}
