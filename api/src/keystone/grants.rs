//! Roles of users and groups on projects, on domains and on the system, and such as hold on the
//! projects below (`OS-INHERIT`).
//!
//! All kinds share their handlers: each route says which by its path.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;

use super::calls::{find, is_same, list_of};
use super::delegations::AppCredential;
use super::operations as ops;
use super::records::{Actor, BY_USER, Domain, Grant, Group, Project, Role, Target, User};
use super::resource::{Reply, no_content, require_manager, require_reader_in};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::page::Params;
use crate::server::Services;

/// Roles that managers of a domain may give and take: none that can do more than they.
const OF_MANAGERS: [&str; 3] = ["manager", "member", "reader"];

/// Paths of all grants of an actor on a target, without the last part.
const PATHS: [(&str, &str); 6] = [
    (
        "/v3/projects/{project_id}/users/{user_id}/roles",
        "/v3/projects/{project_id}/users/{user_id}/roles/{role_id}",
    ),
    (
        "/v3/projects/{project_id}/groups/{group_id}/roles",
        "/v3/projects/{project_id}/groups/{group_id}/roles/{role_id}",
    ),
    (
        "/v3/domains/{domain_id}/users/{user_id}/roles",
        "/v3/domains/{domain_id}/users/{user_id}/roles/{role_id}",
    ),
    (
        "/v3/domains/{domain_id}/groups/{group_id}/roles",
        "/v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}",
    ),
    (
        "/v3/system/users/{user_id}/roles",
        "/v3/system/users/{user_id}/roles/{role_id}",
    ),
    (
        "/v3/system/groups/{group_id}/roles",
        "/v3/system/groups/{group_id}/roles/{role_id}",
    ),
];
/// The last part of the paths of inherited grants.
const INHERITED: &str = "inherited_to_projects";
const INHERITED_PATHS: [(&str, &str); 4] = [
    (
        "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects",
    ),
    (
        "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects",
        "/v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects",
    ),
];

/// The routes of all grants.
pub(super) fn routes() -> Routes {
    let routes = |(all, one): &(&'static str, &'static str)| {
        let on = ops::grants::<Role>(all, one);
        let routes = Routes::new()
            .on(on.head, check)
            .on(on.check, check)
            .on(on.put, put)
            .on(on.delete, delete);
        // The real service lists those inherited from domains only.
        match all.starts_with("/v3/OS-INHERIT/projects/") {
            true => routes,
            false => routes.on(on.index, index),
        }
    };
    let all = PATHS.iter().chain(&INHERITED_PATHS);
    all.map(routes).fold(Routes::new(), Routes::merge)
}

/// The path parameters of all grant routes.
#[derive(Deserialize)]
struct GrantPath {
    project_id: Option<String>,
    domain_id: Option<String>,
    user_id: Option<String>,
    group_id: Option<String>,
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

    fn actor(&self) -> Actor {
        match (&self.user_id, &self.group_id) {
            (Some(id), _) => Actor::User(id.clone()),
            (None, id) => Actor::Group(id.clone().unwrap_or_default()),
        }
    }

    /// The name of the policy rule for `verb`.
    fn rule(&self, verb: &str) -> String {
        let plural = if verb == "list" { "s" } else { "" };
        match (self.target(), self.actor()) {
            (Target::System, Actor::User(_)) => {
                format!("identity:{verb}_system_grant{plural}_for_user")
            }
            (Target::System, Actor::Group(_)) => {
                format!("identity:{verb}_system_grant{plural}_for_group")
            }
            (Target::Project(_) | Target::Domain(_), _) => {
                format!("identity:{verb}_grant{plural}")
            }
        }
    }

    /// The domain that both the target and the actor are in, if it is one.
    fn domain(&self, view: &impl View) -> catalogue::Result<Option<String>> {
        let target = match self.target() {
            Target::Project(id) => view.get::<Project>(&id)?.map(|project| project.domain_id),
            Target::Domain(id) => Some(id),
            Target::System => None,
        };
        let actor = match self.actor() {
            Actor::User(id) => view.get::<User>(&id)?.map(|user| user.domain_id),
            Actor::Group(id) => view.get::<Group>(&id)?.map(|group| group.domain_id),
        };
        Ok(target.filter(|domain| actor.as_ref() == Some(domain)))
    }

    fn permit_reading(&self, view: &impl View, caller: &Caller, verb: &str) -> Result<(), Fault> {
        let domain = self.domain(view)?;
        require_reader_in(caller, domain.as_deref(), &self.rule(verb))
    }

    /// Managers of a domain give and take only what they have themselves.
    fn permit_change(&self, view: &impl View, caller: &Caller, verb: &str) -> Result<(), Fault> {
        let rule = self.rule(verb);
        let domain = self.domain(view)?;
        require_manager(caller, domain.as_deref(), &rule)?;
        let role = view.get::<Role>(&self.role_id)?;
        let is_theirs = role.is_some_and(|role| match role.domain_id {
            Some(own) => caller.has_role("admin") && domain == Some(own),
            None => caller.has_role("admin") || OF_MANAGERS.contains(&role.name.as_str()),
        });
        match is_theirs || caller.is_identity_admin() {
            true => Ok(()),
            false => Err(texts::forbidden(&rule)),
        }
    }

    /// Target and actor must exist.
    fn check_ends(&self, view: &impl View) -> Result<(), Fault> {
        match self.target() {
            Target::Project(id) => drop(find::<Project>(view, &id)?),
            Target::Domain(id) => drop(find::<Domain>(view, &id)?),
            Target::System => {}
        }
        match self.actor() {
            Actor::User(id) => drop(find::<User>(view, &id)?),
            Actor::Group(id) => drop(find::<Group>(view, &id)?),
        }
        Ok(())
    }

    /// The grant itself; target, actor and role must exist.
    fn grant(&self, view: &impl View, inherited: bool) -> Result<Grant, Fault> {
        self.check_ends(view)?;
        let role = find::<Role>(view, &self.role_id)?;
        if let (Some(domain), Target::Project(id)) = (&role.domain_id, self.target()) {
            let project = find::<Project>(view, &id)?;
            if project.domain_id != *domain {
                return Err(texts::forbidden_as_such(format!(
                    "Project {id} must be in the same domain as the role {} being assigned.",
                    role.id
                )));
            }
        }
        Ok(Grant::new(
            self.target(),
            self.actor(),
            &self.role_id,
            inherited,
        ))
    }

    fn missing(&self) -> Fault {
        let target = match self.target() {
            Target::Project(id) | Target::Domain(id) => id,
            Target::System => "system".to_owned(),
        };
        Fault::not_found(format!(
            "Could not find role assignment with role: {}, user or group: {}, project, domain, or \
             system: {target}.",
            self.role_id,
            self.actor().id(),
        ))
    }
}

/// Whether a path is one of inherited grants.
fn is_inherited(uri: &Uri) -> bool {
    uri.path().trim_end_matches('/').ends_with(INHERITED)
}

/// Takes a grant away, and with a user's grant on a project the application credentials there, as
/// they stand for the roles the user had.
pub(super) fn revoke(writer: &Writer, grant: &Grant) -> catalogue::Result<()> {
    writer.delete::<Grant>(&grant.id)?;
    if let (Target::Project(project), Actor::User(user)) = (&grant.target, &grant.actor) {
        let own = Query::by(BY_USER, Key::new().text(user));
        for credential in writer.list::<AppCredential>(&own)? {
            if credential.project_id == *project {
                writer.delete::<AppCredential>(&credential.id)?;
            }
        }
    }
    Ok(())
}

async fn put(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
    uri: Uri,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                path.permit_change(writer, &caller, "create")?;
                Ok(writer.put(&path.grant(writer, is_inherited(&uri))?)?)
            })
        })
        .await?;
    no_content()
}

async fn check(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
    uri: Uri,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                path.permit_reading(reader, &caller, "check")?;
                let grant = path.grant(reader, is_inherited(&uri))?;
                let found = reader.get::<Grant>(&grant.id)?;
                found.map(drop).ok_or_else(|| path.missing())
            })
        })
        .await?;
    no_content()
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
    uri: Uri,
) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                path.permit_change(writer, &caller, "revoke")?;
                let grant = path.grant(writer, is_inherited(&uri))?;
                let found = writer.get::<Grant>(&grant.id)?;
                let found = found.ok_or_else(|| path.missing())?;
                Ok(revoke(writer, &found)?)
            })
        })
        .await?;
    no_content()
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<GrantPath>,
    uri: Uri,
    params: Params,
) -> Reply {
    let inherited = is_inherited(&uri);
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                path.permit_reading(reader, &caller, "list")?;
                path.check_ends(reader)?;
                let key = path.target().key(Key::new().text(path.actor().id()));
                let mut found = Vec::new();
                for grant in reader.list::<Grant>(&Query::by(BY_USER, key))? {
                    if grant.inherited == inherited {
                        found.extend(reader.get::<Role>(&grant.role_id)?);
                    }
                }
                found.retain(|role| is_same(&params, "name", &role.name));
                Ok(found)
            })
        })
        .await?;
    list_of(&services, &uri, found)
}
