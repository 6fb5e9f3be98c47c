//! `/v3/projects`.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::domains::{self, DESCRIPTION_MAX, remove_grants_on};
use super::records::{BY_NAME, Project, Target};
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
const NAME_MAX: usize = 64;

/// The object as answers show it.
pub(super) fn view(services: &Services, project: &Project) -> Value {
    json!({
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.parent_id,
        "description": project.description,
        "enabled": project.enabled,
        "is_domain": false,
        "tags": project.tags,
        "options": {},
        "links": link(services, "projects", &project.id),
    })
}

fn wrapped(services: &Services, project: &Project) -> Value {
    json!({"project": view(services, project)})
}

fn matches(project: &Project, params: &Params) -> bool {
    let same = |key: &str, value: &str| params.get(key).is_none_or(|wanted| wanted == value);
    let enabled = params.has("enabled").then(|| params.flag("enabled", true));
    same("name", &project.name)
        && same("domain_id", &project.domain_id)
        && same("parent_id", &project.parent_id)
        && enabled.is_none_or(|enabled| enabled == project.enabled)
        // Domains are not shown as projects here.
        && !params.flag("is_domain", false)
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_projects")?;
    let found = services
        .blocking(|services| {
            Ok(services
                .catalogue()
                .read(|r| r.list::<Project>(&Query::all()))?)
        })
        .await?;
    let items = found.iter().filter(|project| matches(project, &params));
    let items = items.map(|project| view(&services, project)).collect();
    list(&services, "projects", &uri, items)
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    if caller.project_id() != Some(&id) {
        require_reader(&caller, "identity:get_project")?;
    }
    let project = services
        .blocking(move |services| services.catalogue().read(|reader| find(reader, &id)))
        .await?;
    ok(wrapped(&services, &project))
}

/// The project, or 404.
pub(super) fn find(view: &impl View, id: &str) -> Result<Project, Fault> {
    view.get::<Project>(id)?
        .ok_or_else(|| texts::not_found("project", id))
}

fn check_name(view: &impl View, project: &Project) -> Result<(), Fault> {
    let key = Key::new().text(&project.name).text(&project.domain_id);
    match view.first::<Project>(&Query::by(BY_NAME, key))? {
        Some(other) if other.id != project.id => {
            let detail = format!(
                "it is not permitted to have two projects with either the same name or same id in \
                 the same domain: name is {}, project id {}",
                project.name, other.id
            );
            Err(texts::conflict("project", &detail))
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:create_project")?;
    let attributes = Attributes::of(body, "project")?;
    let domain_id = attributes
        .text("domain_id", NAME_MAX)?
        .unwrap_or(caller.user_domain_id);
    let project = Project {
        id: new_id(),
        name: attributes.name("name", NAME_MAX)?,
        parent_id: attributes
            .text("parent_id", NAME_MAX)?
            .unwrap_or_else(|| domain_id.clone()),
        domain_id,
        description: attributes
            .text("description", DESCRIPTION_MAX)?
            .unwrap_or_default(),
        enabled: attributes.flag("enabled")?.unwrap_or(true),
        tags: Vec::new(),
    };
    let project = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                domains::find(writer, &project.domain_id)?;
                if project.parent_id != project.domain_id {
                    find(writer, &project.parent_id)?;
                }
                check_name(writer, &project)?;
                writer.insert(&project)?;
                Ok(project)
            })
        })
        .await?;
    created(wrapped(&services, &project))
}

pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    require_admin(&caller, "identity:update_project")?;
    let attributes = Attributes::of(body, "project")?;
    let name = attributes.new_name("name", NAME_MAX)?;
    let description = attributes.text("description", DESCRIPTION_MAX)?;
    let enabled = attributes.flag("enabled")?;
    let project = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut project = find(writer, &id)?;
                project.name = name.unwrap_or(project.name);
                project.description = description.unwrap_or(project.description);
                project.enabled = enabled.unwrap_or(project.enabled);
                check_name(writer, &project)?;
                writer.put(&project)?;
                Ok(project)
            })
        })
        .await?;
    let mut body = wrapped(&services, &project);
    body["project"]["extra"] = json!({});
    ok(body)
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_admin(&caller, "identity:delete_project")?;
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

/// Removes a project and the grants on it.
pub(super) fn remove(writer: &Writer, id: &str) -> catalogue::Result<()> {
    remove_grants_on(writer, &Target::Project(id.to_owned()))?;
    writer.delete::<Project>(id)?;
    Ok(())
}
