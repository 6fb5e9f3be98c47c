//! `GET /v3/role_assignments`: who has which role where.

use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};

use super::records::{BY_USER, Domain, Grant, Project, Role, Target, User};
use super::resource::{Reply, list, require_reader};
use super::tokens::roles_of;
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View};
use crate::page::Params;
use crate::server::Services;

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    require_reader(&caller, "identity:list_role_assignments")?;
    let items = services
        .blocking(move |services| {
            let base = services.config().identity_base();
            Ok(services
                .catalogue()
                .read(|reader| collect(reader, &params, &base))?)
        })
        .await?;
    list(&services, "role_assignments", &uri, items)
}

/// A query parameter without a value counts as yes.
fn asked(params: &Params, key: &str) -> bool {
    params.has(key) && params.flag(key, true)
}

fn collect(view: &impl View, params: &Params, base: &str) -> catalogue::Result<Vec<Value>> {
    let query = match params.get("user.id") {
        Some(user) => Query::by(BY_USER, Key::new().text(user)),
        None => Query::all(),
    };
    let names = asked(params, "include_names");
    let wanted_role = params.get("role.id");
    let mut items = Vec::new();
    for grant in view.list::<Grant>(&query)? {
        if !in_scope(&grant.target, params) || params.has("group.id") {
            continue;
        }
        let mut add = |role_id: &str, prior: Option<&str>| -> catalogue::Result<()> {
            if wanted_role.is_none_or(|wanted| wanted == role_id) {
                items.push(entry(view, &grant, role_id, prior, names, base)?);
            }
            Ok(())
        };
        add(&grant.role_id, None)?;
        if asked(params, "effective") {
            for role in implied(view, &grant)? {
                add(&role.id, Some(&grant.role_id))?;
            }
        }
    }
    Ok(items)
}

fn in_scope(target: &Target, params: &Params) -> bool {
    let project = params.get("scope.project.id");
    let domain = params.get("scope.domain.id");
    match target {
        Target::Project(id) => {
            domain.is_none()
                && !params.has("scope.system")
                && project.is_none_or(|wanted| wanted == id)
        }
        Target::Domain(id) => {
            project.is_none()
                && !params.has("scope.system")
                && domain.is_none_or(|wanted| wanted == id)
        }
        Target::System => project.is_none() && domain.is_none(),
    }
}

/// The roles that come with a grant and are not granted themselves.
fn implied(view: &impl View, grant: &Grant) -> catalogue::Result<Vec<Role>> {
    let key = grant.target.key(Key::new().text(&grant.user_id));
    let granted = view.list::<Grant>(&Query::by(BY_USER, key))?;
    let mut roles = roles_of(view, &grant.user_id, &grant.target)?;
    roles.retain(|role| granted.iter().all(|grant| grant.role_id != role.id));
    Ok(roles)
}

fn entry(
    view: &impl View,
    grant: &Grant,
    role_id: &str,
    prior: Option<&str>,
    names: bool,
    base: &str,
) -> catalogue::Result<Value> {
    let (user_id, granted) = (&grant.user_id, &grant.role_id);
    let (path, mut scope) = match &grant.target {
        Target::Project(id) => (format!("projects/{id}"), json!({"project": {"id": id}})),
        Target::Domain(id) => (format!("domains/{id}"), json!({"domain": {"id": id}})),
        Target::System => ("system".to_owned(), json!({"system": {"all": true}})),
    };
    let mut links =
        json!({"assignment": format!("{base}/v3/{path}/users/{user_id}/roles/{granted}")});
    if let Some(prior) = prior {
        // In the real service's order: the implied role comes first.
        links["prior_role"] = json!(format!("{base}/v3/prior_role/{role_id}/implies/{prior}"));
    }
    let mut role = json!({"id": role_id});
    let mut user = json!({"id": user_id});
    if names {
        if let Some(found) = view.get::<Role>(role_id)? {
            role["name"] = json!(found.name);
        }
        if let Some(found) = view.get::<User>(user_id)? {
            user = named(view, &found.id, &found.name, &found.domain_id)?;
        }
        add_scope_names(view, &grant.target, &mut scope)?;
    }
    Ok(json!({"links": links, "role": role, "scope": scope, "user": user}))
}

fn add_scope_names(view: &impl View, target: &Target, scope: &mut Value) -> catalogue::Result<()> {
    match target {
        Target::Project(id) => {
            if let Some(found) = view.get::<Project>(id)? {
                scope["project"] = named(view, id, &found.name, &found.domain_id)?;
            }
        }
        Target::Domain(id) => {
            if let Some(found) = view.get::<Domain>(id)? {
                scope["domain"] = json!({"id": id, "name": found.name});
            }
        }
        Target::System => {}
    }
    Ok(())
}

fn named(view: &impl View, id: &str, name: &str, domain_id: &str) -> catalogue::Result<Value> {
    let domain = view.get::<Domain>(domain_id)?;
    let domain_name = domain.map(|domain| domain.name).unwrap_or_default();
    Ok(json!({"id": id, "name": name, "domain": {"id": domain_id, "name": domain_name}}))
}
