//! `/v3/projects`.

use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{Changes, Resource, change, find, is_enabled, is_same, namesake};
use super::delegations::AppCredential;
use super::domains::{DESCRIPTION_MAX, remove_grants_on};
use super::groups::check_domain;
use super::options::{self, Staying, check_mutable};
use super::records::{BY_PROJECT, Domain, Project, Target, User};
use super::resource::{Attributes, link};
use super::rights::{parents_of, subtree};
use super::{ext, tags, texts, trusts};
use crate::auth::{Caller, Scope};
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Field, any, field, flag, list, map_of, maybe, text, text_of};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 64;
/// Most projects above one another below a domain.
const DEPTH_MAX: usize = 5;

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

    const REPEATS_OTHERS: bool = true;
    const KNOWN: &'static [&'static str] = &[
        "id",
        "name",
        "description",
        "domain_id",
        "enabled",
        "is_domain",
        "parent_id",
        "parents",
        "subtree",
        "tags",
        "options",
        "links",
    ];

    fn fields() -> Vec<Field> {
        vec![
            field("name", text()),
            field("domain_id", text().or_null()),
            field("parent_id", text().or_null()),
            field("description", text()),
            field("enabled", flag()),
            field("is_domain", flag()),
            field("tags", list(text())),
            field("options", map_of(any())),
            maybe("parents", any()),
            maybe("subtree", any()),
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
            maybe("domain_id", text_of(0, NAME_MAX).or_null()),
            maybe("parent_id", text_of(0, NAME_MAX).or_null()),
            maybe("is_domain", flag().or_null()),
            maybe("tags", list(text_of(1, tags::TAG_MAX))),
            maybe("options", map_of(any())),
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
            "parent_id": self.parent_id,
            "description": self.description,
            "enabled": self.enabled,
            "is_domain": false,
            "tags": self.tags,
            "options": options::shown(self.immutable),
            "links": link(services, "projects", &self.id),
        })
    }

    fn is_listed(&self, params: &Params) -> bool {
        is_same(params, "name", &self.name)
            && is_same(params, "domain_id", &self.domain_id)
            && is_same(params, "parent_id", &self.parent_id)
            && is_enabled(params, self.enabled)
            && tags::are_listed(params, &self.tags)
            // Domains are listed apart.
            && !params.flag("is_domain", false)
    }

    fn is_own(&self, caller: &Caller) -> bool {
        caller.project_id() == Some(&self.id)
    }

    fn make(attributes: &Attributes, caller: &Caller) -> Result<Self, Fault> {
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        let domain_id = domain_id.unwrap_or_else(|| default_domain(caller));
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
        let domain_id = attributes.text("domain_id", NAME_MAX)?;
        let parent_id = attributes.text("parent_id", NAME_MAX)?;
        let is_domain = attributes.flag("is_domain")?;
        Ok(Box::new(move |project| {
            staying.change(&mut project.immutable, "project", &project.id)?;
            check_domain(domain_id.as_deref(), &project.domain_id)?;
            if parent_id.is_some_and(|id| id != project.parent_id) {
                return Err(texts::forbidden_as_such(
                    "Update of `parent_id` is not allowed.",
                ));
            }
            if is_domain == Some(true) {
                return Err(Fault::bad_request("Update of `is_domain` is not allowed."));
            }
            // What ended with it must not come back with its being enabled again.
            project.epoch += u64::from(enabled == Some(false));
            change(&mut project.tags, tags);
            change(&mut project.name, name);
            change(&mut project.description, description);
            change(&mut project.enabled, enabled);
            Ok(())
        }))
    }

    fn check_new(&self, writer: &Writer) -> Result<(), Fault> {
        check_place(self, writer)
    }

    fn check(&self, writer: &Writer) -> Result<(), Fault> {
        check_tree(self, writer)?;
        let name = Key::new().text(&self.name).text(&self.domain_id);
        match namesake::<Self>(writer, name, &self.id)? {
            Some(_) => {
                let detail = format!(
                    "it is not permitted to have two projects with either the same name or same \
                     id in the same domain: name is {}, project id {}",
                    self.name, self.id
                );
                Err(texts::conflict("project", &detail))
            }
            None => Ok(()),
        }
    }

    fn remove(self, writer: &Writer) -> Result<(), Fault> {
        check_mutable(self.immutable, "project", &self.id)?;
        let all = writer.list::<Self>(&Query::all())?;
        if !subtree(&all, &self.id).is_empty() {
            return Err(texts::forbidden_as_such(format!(
                "Cannot delete the project {} since it is not a leaf in the hierarchy. Use the \
                 cascade option if you want to delete a whole subtree.",
                self.id
            )));
        }
        remove_project(writer, self)
    }
}

/// The domain of what says none: that of the token, or else that of its user.
pub(super) fn default_domain(caller: &Caller) -> String {
    match &caller.scope {
        Scope::Domain { id } => id.clone(),
        Scope::Project { domain_id, .. } => domain_id.clone(),
        Scope::Unscoped | Scope::System => caller.user_domain_id.clone(),
    }
}

/// Whether a new project can be where it is to be: in a domain, below what is enabled and not too
/// deep.
fn check_place(project: &Project, writer: &Writer) -> Result<(), Fault> {
    let (parent_id, domain_id) = (&project.parent_id, &project.domain_id);
    let missing = |fault: Fault| Fault::bad_request(fault.message());
    let domain = find::<Domain>(writer, domain_id).map_err(missing)?;
    let disabled = |id: &str| {
        Fault::bad_request(format!(
            "cannot create a project in a branch containing a disabled project: {id}"
        ))
    };
    if !domain.enabled {
        return Err(disabled(&domain.id));
    }
    if parent_id == domain_id {
        return Ok(());
    }
    if writer.get::<Domain>(parent_id)?.is_some() {
        return Err(Fault::bad_request(format!(
            "Cannot create project, the parent ({parent_id}) is acting as a domain, but this \
             project's domain id ({domain_id}) does not match the parent's id."
        )));
    }
    let parent = find::<Project>(writer, parent_id).map_err(missing)?;
    if parent.domain_id != *domain_id {
        return Err(Fault::bad_request(format!(
            "Cannot create project, since it specifies its domain_id {domain_id}, but specifies a \
             parent in a different domain ({}).",
            parent.domain_id
        )));
    }
    let mut upper = parents_of(writer, &parent)?;
    upper.push(parent);
    if let Some(found) = upper.iter().find(|one| !one.enabled) {
        return Err(disabled(&found.id));
    }
    if upper.len() >= DEPTH_MAX {
        let message = format!("Max hierarchy depth reached for {parent_id} branch.");
        return Err(texts::forbidden_as_such(message));
    }
    Ok(())
}

/// Whether what is above and below a project lets it be enabled, or disabled.
fn check_tree(project: &Project, writer: &Writer) -> Result<(), Fault> {
    let was = writer.get::<Project>(&project.id)?;
    let was_enabled = was.is_none_or(|was| was.enabled);
    let id = &project.id;
    if project.enabled && !was_enabled {
        let above = parents_of(writer, project)?;
        if above.iter().any(|one| !one.enabled) {
            return Err(texts::forbidden_as_such(format!(
                "Cannot enable project {id} since it has disabled parents"
            )));
        }
    }
    if !project.enabled && was_enabled {
        let all = writer.list::<Project>(&Query::all())?;
        if subtree(&all, id).iter().any(|one| one.enabled) {
            return Err(texts::forbidden_as_such(format!(
                "Cannot disable project {id} since its subtree contains enabled projects."
            )));
        }
    }
    Ok(())
}

/// Removes a project with what cannot be without it.
pub(super) fn remove_project(writer: &Writer, project: Project) -> Result<(), Fault> {
    let by_project = Query::by(BY_PROJECT, Key::new().text(&project.id));
    for credential in writer.list::<AppCredential>(&by_project)? {
        writer.delete::<AppCredential>(&credential.id)?;
    }
    trusts::remove_of_project(writer, &project.id)?;
    ext::remove_of_project(writer, &project.id)?;
    for mut user in writer.list::<User>(&Query::all())? {
        if user.default_project_id.as_ref() == Some(&project.id) {
            user.default_project_id = None;
            writer.put(&user)?;
        }
    }
    writer.delete::<Project>(&project.id)?;
    remove_grants_on(writer, &Target::Project(project.id))
}
