//! The rest of `/v3/OS-EP-FILTER`: which endpoints and groups of endpoints projects have.
//!
//! The catalogue of a project that has any shows these endpoints alone; others see all.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::endpoint_groups::EndpointGroup;
use crate::auth::Caller;
use crate::catalogue::{self, Index, Key, Query, Record, View, Writer};
use crate::fault::Fault;
use crate::keystone::calls::{Resource, find, list_of};
use crate::keystone::operations::{links, own};
use crate::keystone::records::{Endpoint, Project};
use crate::keystone::resource::{Reply, no_content, ok, require_admin, require_reader};
use crate::openapi::shape::{field, object, text, wrapped};
use crate::openapi::{Operation, Routes};
use crate::server::Services;

const BY_PROJECT: Index = Index("project");
const BY_OBJECT: Index = Index("object");

/// What a project has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Associated {
    /// An endpoint, by id.
    Endpoint(String),
    /// A group, by id.
    Group(String),
}

impl Associated {
    fn key(&self) -> Key {
        match self {
            Self::Endpoint(id) => Key::new().text("endpoint").text(id),
            Self::Group(id) => Key::new().text("group").text(id),
        }
    }

    /// 404 unless it is there.
    fn check(&self, view: &impl View) -> Result<(), Fault> {
        match self {
            Self::Endpoint(id) => find::<Endpoint>(view, id).map(drop),
            Self::Group(id) => find::<EndpointGroup>(view, id).map(drop),
        }
    }
}

/// That a project has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Association {
    /// Derived from the other fields.
    id: String,
    project_id: String,
    of: Associated,
}

impl Association {
    fn new(project_id: &str, of: Associated) -> Self {
        let object = match &of {
            Associated::Endpoint(id) => format!("endpoint/{id}"),
            Associated::Group(id) => format!("group/{id}"),
        };
        Self {
            id: format!("{project_id}/{object}"),
            project_id: project_id.to_owned(),
            of,
        }
    }
}

impl Record for Association {
    const TABLE: &'static str = "endpoint_associations";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        vec![
            (BY_PROJECT, Key::new().text(&self.project_id)),
            (BY_OBJECT, self.of.key()),
        ]
    }
}

fn of_project(view: &impl View, project_id: &str) -> catalogue::Result<Vec<Associated>> {
    let found = view.list::<Association>(&Query::by(BY_PROJECT, Key::new().text(project_id)))?;
    Ok(found
        .into_iter()
        .map(|association| association.of)
        .collect())
}

/// Removes the associations of an endpoint or group that goes.
pub(super) fn forget(writer: &Writer, object: &Associated) -> catalogue::Result<()> {
    for association in writer.list::<Association>(&Query::by(BY_OBJECT, object.key()))? {
        writer.delete::<Association>(&association.id)?;
    }
    Ok(())
}

/// Removes the associations of an endpoint that goes.
pub(crate) fn remove_of_endpoint(writer: &Writer, endpoint_id: &str) -> catalogue::Result<()> {
    forget(writer, &Associated::Endpoint(endpoint_id.to_owned()))
}

/// Removes the associations of a project that goes.
pub(crate) fn remove_of_project(writer: &Writer, project_id: &str) -> catalogue::Result<()> {
    for of in of_project(writer, project_id)? {
        writer.delete::<Association>(&Association::new(project_id, of).id)?;
    }
    Ok(())
}

/// The endpoints that a project has, its groups' among them, each once.
fn endpoints_of(view: &impl View, project_id: &str) -> catalogue::Result<Vec<Endpoint>> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for of in of_project(view, project_id)? {
        let more = match of {
            Associated::Endpoint(id) => view.get::<Endpoint>(&id)?.into_iter().collect(),
            Associated::Group(id) => match view.get::<EndpointGroup>(&id)? {
                Some(group) => group.endpoints(view)?,
                None => Vec::new(),
            },
        };
        for endpoint in more {
            if !endpoints.iter().any(|known| known.id == endpoint.id) {
                endpoints.push(endpoint);
            }
        }
    }
    Ok(endpoints)
}

/// The ids of the endpoints that a project's catalogue shows; `None` where it shows all.
pub(crate) fn shown_to(
    view: &impl View,
    project: Option<&str>,
) -> catalogue::Result<Option<BTreeSet<String>>> {
    let Some(project) = project else {
        return Ok(None);
    };
    let endpoints = endpoints_of(view, project)?;
    let ids = endpoints.into_iter().map(|endpoint| endpoint.id);
    Ok(Some(ids.collect()).filter(|ids: &BTreeSet<String>| !ids.is_empty()))
}

const PROJECT_ENDPOINT: &str = "/v3/OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}";
const GROUP_PROJECT: &str =
    "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects/{project_id}";

const CHECK_ENDPOINT: Operation =
    Operation::get(PROJECT_ENDPOINT, "Ask whether a project has an endpoint.").empty(204);
const ADD_ENDPOINT: Operation =
    Operation::put(PROJECT_ENDPOINT, "Give a project an endpoint.").empty(204);
const REMOVE_ENDPOINT: Operation =
    Operation::delete(PROJECT_ENDPOINT, "Take an endpoint of a project.").empty(204);
const SHOW_GROUP: Operation = Operation::get(
    GROUP_PROJECT,
    "Ask whether a project has a group of endpoints.",
)
.answers(200, || {
    let association = object([
        field("endpoint_group_id", text()),
        field("project_id", text()),
        field("links", links()),
    ]);
    wrapped("project_endpoint_group", association)
});
const ADD_GROUP: Operation =
    Operation::put(GROUP_PROJECT, "Give a project a group of endpoints.").empty(204);
const REMOVE_GROUP: Operation =
    Operation::delete(GROUP_PROJECT, "Take a group of endpoints of a project.").empty(204);

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(
            own::<Endpoint>(
                "/v3/OS-EP-FILTER/projects/{project_id}/endpoints",
                "List the endpoints that a project has.",
            ),
            project_endpoints,
        )
        .on(
            own::<EndpointGroup>(
                "/v3/OS-EP-FILTER/projects/{project_id}/endpoint_groups",
                "List the groups of endpoints that a project has.",
            ),
            project_groups,
        )
        .on(
            own::<Endpoint>(
                "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints",
                "List the endpoints of a group.",
            ),
            group_endpoints,
        )
        .on(
            own::<Project>(
                "/v3/OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects",
                "List the projects that have a group of endpoints.",
            ),
            group_projects,
        )
        .on(
            own::<Project>(
                "/v3/OS-EP-FILTER/endpoints/{endpoint_id}/projects",
                "List the projects that have an endpoint.",
            ),
            endpoint_projects,
        )
        .on(CHECK_ENDPOINT, check_endpoint)
        .on(ADD_ENDPOINT, add_endpoint)
        .on(REMOVE_ENDPOINT, remove_endpoint)
        .on(SHOW_GROUP, show_group)
        .on(ADD_GROUP, add_group)
        .on(REMOVE_GROUP, remove_group)
}

/// A list of what `look` finds, for readers of the system.
async fn listed<R: Resource>(
    services: Services,
    caller: &Caller,
    rule: &str,
    uri: Uri,
    look: impl FnOnce(&catalogue::Reader) -> Result<Vec<R>, Fault> + Send + 'static,
) -> Reply {
    require_reader(caller, rule)?;
    let found = services
        .blocking(move |services| services.catalogue().read(look))
        .await?;
    list_of(&services, &uri, found)
}

async fn project_endpoints(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_endpoints_for_project";
    listed::<Endpoint>(services, &caller, rule, uri, move |view| {
        find::<Project>(view, &id)?;
        Ok(endpoints_of(view, &id)?)
    })
    .await
}

async fn project_groups(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_endpoint_groups_for_project";
    listed::<EndpointGroup>(services, &caller, rule, uri, move |view| {
        find::<Project>(view, &id)?;
        let mut groups = Vec::new();
        for of in of_project(view, &id)? {
            if let Associated::Group(id) = of {
                groups.extend(view.get::<EndpointGroup>(&id)?);
            }
        }
        Ok(groups)
    })
    .await
}

async fn group_endpoints(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_endpoints_associated_with_endpoint_group";
    listed::<Endpoint>(services, &caller, rule, uri, move |view| {
        Ok(find::<EndpointGroup>(view, &id)?.endpoints(view)?)
    })
    .await
}

fn projects_with(view: &impl View, object: &Associated) -> Result<Vec<Project>, Fault> {
    object.check(view)?;
    let mut projects = Vec::new();
    for association in view.list::<Association>(&Query::by(BY_OBJECT, object.key()))? {
        projects.extend(view.get::<Project>(&association.project_id)?);
    }
    Ok(projects)
}

async fn group_projects(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_projects_associated_with_endpoint_group";
    listed::<Project>(services, &caller, rule, uri, move |view| {
        projects_with(view, &Associated::Group(id))
    })
    .await
}

async fn endpoint_projects(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_projects_for_endpoint";
    listed::<Project>(services, &caller, rule, uri, move |view| {
        projects_with(view, &Associated::Endpoint(id))
    })
    .await
}

/// Asks for, adds or removes an association.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Check,
    Add,
    Remove,
}

async fn with_association(
    services: &Services,
    project_id: String,
    of: Associated,
    verb: Verb,
) -> Result<(), Fault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                of.check(writer)?;
                find::<Project>(writer, &project_id)?;
                let association = Association::new(&project_id, of);
                let is_there = writer.get::<Association>(&association.id)?.is_some();
                match verb {
                    Verb::Add if is_there => {}
                    Verb::Add => writer.insert(&association)?,
                    Verb::Remove if is_there => {
                        writer.delete::<Association>(&association.id)?;
                    }
                    Verb::Check if is_there => {}
                    Verb::Check | Verb::Remove => {
                        let missing = "Endpoint or endpoint group and project are not associated.";
                        return Err(Fault::not_found(missing));
                    }
                }
                Ok(())
            })
        })
        .await
}

type ProjectEndpoint = Path<(String, String)>;
type GroupProject = Path<(String, String)>;

async fn check_endpoint(
    State(services): State<Services>,
    caller: Caller,
    Path((project, endpoint)): ProjectEndpoint,
) -> Reply {
    require_reader(&caller, "identity:check_endpoint_in_project")?;
    with_association(
        &services,
        project,
        Associated::Endpoint(endpoint),
        Verb::Check,
    )
    .await?;
    no_content()
}

async fn add_endpoint(
    State(services): State<Services>,
    caller: Caller,
    Path((project, endpoint)): ProjectEndpoint,
) -> Reply {
    require_admin(&caller, "identity:add_endpoint_to_project")?;
    with_association(
        &services,
        project,
        Associated::Endpoint(endpoint),
        Verb::Add,
    )
    .await?;
    no_content()
}

async fn remove_endpoint(
    State(services): State<Services>,
    caller: Caller,
    Path((project, endpoint)): ProjectEndpoint,
) -> Reply {
    require_admin(&caller, "identity:remove_endpoint_from_project")?;
    with_association(
        &services,
        project,
        Associated::Endpoint(endpoint),
        Verb::Remove,
    )
    .await?;
    no_content()
}

async fn show_group(
    State(services): State<Services>,
    caller: Caller,
    Path((group, project)): GroupProject,
) -> Reply {
    require_reader(&caller, "identity:get_endpoint_group_in_project")?;
    let of = Associated::Group(group.clone());
    with_association(&services, project.clone(), of, Verb::Check).await?;
    let base = services.config().identity_base();
    let own = format!("{base}/v3/OS-EP-FILTER/endpoint_groups/{group}/projects/{project}");
    ok(json!({"project_endpoint_group": {
        "endpoint_group_id": group,
        "project_id": project,
        "links": {"self": own},
    }}))
}

async fn add_group(
    State(services): State<Services>,
    caller: Caller,
    Path((group, project)): GroupProject,
) -> Reply {
    require_admin(&caller, "identity:add_endpoint_group_to_project")?;
    with_association(&services, project, Associated::Group(group), Verb::Add).await?;
    no_content()
}

async fn remove_group(
    State(services): State<Services>,
    caller: Caller,
    Path((group, project)): GroupProject,
) -> Reply {
    require_admin(&caller, "identity:remove_endpoint_group_from_project")?;
    with_association(&services, project, Associated::Group(group), Verb::Remove).await?;
    no_content()
}
