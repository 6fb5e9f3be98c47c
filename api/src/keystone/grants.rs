//! Roles of users on projects, on domains and on the system.
//!
//! The three kinds of target share their handlers: each route says which by its path parameters.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;

use super::calls::{Resource, find};
use super::records::{BY_USER, Domain, Grant, Project, Role, Target, User};
use super::resource::{Reply, list, no_content, require_admin, require_reader};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View};
use crate::fault::Fault;
use crate::server::Services;

/// The path parameters of all grant routes.
#[derive(Deserialize)]
pub(super) struct GrantPath {
    project_id: Option<String>,
    domain_id: Option<String>,
    user_id: String,
    #[serde(default)]
    role_id: String,
}

impl GrantPath {
    fn target(&self) -> Target {
        match (&self.project_id, &self.domain_id) {
            (Some(id), _) => Target::Project(id.clone()),
            (None, Some(id)) => Target::Domain(id.clone()),
            (None, None) => Target::System,
        }
    }

    /// The name of the policy rule for `verb`.
    fn rule(&self, verb: &str) -> String {
        match self.target() {
            Target::System => format!("identity:{verb}_system_grant_for_user"),
            Target::Project(_) | Target::Domain(_) => format!("identity:{verb}_grant"),
        }
    }

    /// The grant's target and user, which must exist.
    fn check(&self, view: &impl View) -> Result<Target, Fault> {
        let target = self.target();
        match &target {
            Target::Project(id) => drop(find::<Project>(view, id)?),
            Target::Domain(id) => drop(find::<Domain>(view, id)?),
            Target::System => {}
        }
        find::<User>(view, &self.user_id)?;
        Ok(target)
    }

    /// The grant itself; target, user and role must exist.
    fn grant(&self, view: &impl View) -> Result<Grant, Fault> {
        let target = self.check(view)?;
        find::<Role>(view, &self.role_id)?;
        Ok(Grant::new(target, &self.user_id, &self.role_id))
    }

    fn missing(&self) -> Fault {
        let what = format!(
            "Could not find role assignment with role: {}, user or group: {}, project, domain, or \
             system: {:?}.",
            self.role_id,
            self.user_id,
            self.target()
        );
        Fault::not_found(what)
    }
}

pub(super) async fn put(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
) -> Reply {
    require_admin(&caller, &path.rule("create"))?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let grant = path.grant(writer)?;
                Ok(writer.put(&grant)?)
            })
        })
        .await?;
    no_content()
}

pub(super) async fn check(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
) -> Reply {
    require_reader(&caller, &path.rule("check"))?;
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let grant = path.grant(reader)?;
                let found = reader.get::<Grant>(&grant.id)?;
                found.map(drop).ok_or_else(|| path.missing())
            })
        })
        .await?;
    no_content()
}

pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
) -> Reply {
    require_admin(&caller, &path.rule("revoke"))?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let grant = path.grant(writer)?;
                let removed = writer.delete::<Grant>(&grant.id)?;
                removed.map(drop).ok_or_else(|| path.missing())
            })
        })
        .await?;
    no_content()
}

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
    uri: Uri,
) -> Reply {
    if require_reader(&caller, "").is_err() {
        return Err(texts::forbidden("identity:list_grants").into());
    }
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let key = path.check(reader)?.key(Key::new().text(&path.user_id));
                let mut found = Vec::new();
                for grant in reader.list::<Grant>(&Query::by(BY_USER, key))? {
                    found.extend(reader.get::<Role>(&grant.role_id)?);
                }
                Ok(found)
            })
        })
        .await?;
    let items = found.iter().map(|role| role.view(&services)).collect();
    list(&services, "roles", &uri, items)
}
