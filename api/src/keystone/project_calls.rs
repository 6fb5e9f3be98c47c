//! `/v3/projects` as clients call it: domains are there as projects too, and a project is shown with
//! those above and below it.

use axum::extract::{Path, State};
use http::Uri;
use serde_json::{Map, Value, json};

use super::bootstrap::new_id;
use super::calls::{
    self, Resource, domain_of, find_managed, find_readable, is_enabled, is_same, shown, wrapped,
};
use super::records::{Domain, Project};
use super::resource::{
    Attributes, Reply, created, link, list, no_content, ok, require_admin, require_reader_in,
};
use super::rights::{parents_of, subtree};
use super::token_calls::projects_of;
use super::{options, tags, texts};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Query, View};
use crate::fault::Fault;
use crate::page::Params;
use crate::server::Services;

/// A domain as a project that acts as one.
fn as_project(services: &Services, mut domain: Domain) -> Value {
    let mut body = Value::Object(std::mem::take(&mut domain.extra));
    let own = json!({
        "id": domain.id,
        "name": domain.name,
        "domain_id": null,
        "parent_id": null,
        "description": domain.description,
        "enabled": domain.enabled,
        "is_domain": true,
        "tags": domain.tags,
        "options": options::shown(domain.immutable),
        "links": link(services, "projects", &domain.id),
    });
    if let (Value::Object(body), Value::Object(own)) = (&mut body, own) {
        body.extend(own);
    }
    body
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    let domain = domain_of(&caller);
    require_reader_in(&caller, domain.as_deref(), "identity:list_projects")?;
    if !params.flag("is_domain", false) {
        return calls::list_all::<Project>(services, uri, params, domain).await;
    }
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let mut found = reader.list::<Domain>(&Query::all())?;
                found.retain(|domain| {
                    is_same(&params, "name", &domain.name)
                        && is_enabled(&params, domain.enabled)
                        && !params.has("domain_id")
                        && !params.has("parent_id")
                        && tags::are_listed(&params, &domain.tags)
                });
                Ok::<_, Fault>(found)
            })
        })
        .await?;
    // A token for a domain shows what is in it, and no domain is in one.
    let found = found.into_iter().filter(|_| domain.is_none());
    let items = found.map(|domain| as_project(&services, domain));
    list(&services, "projects", &uri, items.collect())
}

pub(super) async fn create(
    state: State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let acts = body.pointer("/project/is_domain") == Some(&Value::Bool(true));
    if !acts {
        return calls::create::<Project>(state, caller, IdentityBody(body)).await;
    }
    require_admin(&caller, "identity:create_project")?;
    let State(services) = state;
    let attributes = Attributes::of(body, "project")?;
    let above = |field: &str| attributes.raw(field).is_some_and(|value| !value.is_null());
    if above("parent_id") || above("domain_id") {
        let message = "only root projects are allowed to act as domains.";
        return Err(Fault::bad_request(message).into());
    }
    let mut domain = Domain::make(&attributes, &caller)?;
    domain.id = new_id();
    domain.extra = attributes.others(Project::KNOWN)?;
    let domain = services
        .blocking(move |services| calls::insert(services, domain))
        .await?;
    created(json!({ "project": as_project(&services, domain) }))
}

/// The domain of this id, when there is no such project.
async fn acting(services: &Services, id: &str) -> Result<Option<Domain>, Fault> {
    let id = id.to_owned();
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                Ok(match reader.get::<Project>(&id)? {
                    Some(_) => None,
                    None => reader.get::<Domain>(&id)?,
                })
            })
        })
        .await
}

pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    params: Params,
) -> Reply {
    for around in ["parents", "subtree"] {
        let (list, ids) = (format!("{around}_as_list"), format!("{around}_as_ids"));
        if is_asked(&params, &list) && is_asked(&params, &ids) {
            let message = format!("Cannot use {list} and {ids} query params at the same time.");
            return Err(Fault::bad_request(message).into());
        }
    }
    if let Some(domain) = acting(&services, &id).await? {
        require_reader_in(&caller, Some(&domain.id), "identity:get_project")?;
        return ok(json!({ "project": as_project(&services, domain) }));
    }
    let body = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let project = find_readable::<Project>(reader, &caller, &id)?;
                let around = around(services, reader, &project, &caller, &params)?;
                let mut body = wrapped(services, project);
                if let Some(body) = body["project"].as_object_mut() {
                    body.extend(around);
                }
                Ok::<_, Fault>(body)
            })
        })
        .await?;
    ok(body)
}

/// A query parameter without a value counts as yes.
fn is_asked(params: &Params, key: &str) -> bool {
    params.has(key) && params.flag(key, true)
}

/// What is above and below a project, as far as it is asked for. Lists have only projects on which
/// the caller has a role.
fn around(
    services: &Services,
    view: &impl View,
    project: &Project,
    caller: &Caller,
    params: &Params,
) -> catalogue::Result<Map<String, Value>> {
    let mut around = Map::new();
    let all = view.list::<Project>(&Query::all())?;
    let below = subtree(&all, &project.id);
    let own = || -> catalogue::Result<Vec<String>> {
        let own = projects_of(view, &caller.user_id)?;
        Ok(own.into_iter().map(|project| project.id).collect())
    };
    let wrap = |project: &Project| json!({"project": shown(services, project.clone())});
    if is_asked(params, "parents_as_list") {
        let own = own()?;
        let above = parents_of(view, project)?;
        let above = above.iter().filter(|one| own.contains(&one.id)).map(wrap);
        around.insert("parents".into(), above.collect());
    } else if is_asked(params, "parents_as_ids") {
        let mut tree = json!({ &project.domain_id: null });
        for one in parents_of(view, project)?.iter().rev() {
            tree = json!({ &one.id: tree });
        }
        around.insert("parents".into(), tree);
    }
    if is_asked(params, "subtree_as_list") {
        let own = own()?;
        let below = below.iter().filter(|one| own.contains(&one.id));
        around.insert("subtree".into(), below.map(|one| wrap(one)).collect());
    } else if is_asked(params, "subtree_as_ids") {
        around.insert("subtree".into(), ids_below(&below, &project.id));
    }
    Ok(around)
}

/// The ids below a project as a tree; null when there are none.
fn ids_below(below: &[&Project], id: &str) -> Value {
    let children = below.iter().filter(|one| one.parent_id == id);
    let tree: Map<String, Value> = children
        .map(|one| (one.id.clone(), ids_below(below, &one.id)))
        .collect();
    match tree.is_empty() {
        true => Value::Null,
        false => Value::Object(tree),
    }
}

pub(super) async fn update(
    state: State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let Some(domain) = acting(&state.0, &id).await? else {
        return calls::update::<Project>(state, caller, Path(id), IdentityBody(body)).await;
    };
    require_admin(&caller, "identity:update_project")?;
    let State(services) = state;
    let attributes = Attributes::of(body, "project")?;
    let changes = calls::changes_of::<Domain>(&attributes)?;
    let domain = services
        .blocking(move |services| calls::alter(services, &caller, &domain.id, changes))
        .await?;
    let extra = domain.extra.clone();
    let mut body = as_project(&services, domain);
    body["extra"] = Value::Object(extra);
    ok(json!({ "project": body }))
}

pub(super) async fn delete(
    state: State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    if acting(&state.0, &id).await?.is_none() {
        return calls::delete::<Project>(state, caller, Path(id)).await;
    }
    let State(services) = state;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let domain = find_managed::<Domain>(writer, &caller, &id, "delete");
                let rule = "identity:delete_project";
                domain
                    .map_err(|fault| texts::under(fault, rule))?
                    .remove(writer)
            })
        })
        .await?;
    no_content()
}
