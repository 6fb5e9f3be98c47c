//! `GET /v3/role_assignments`: who has which role where.

use axum::extract::State;
use http::Uri;
use serde_json::{Value, json};

use super::calls::domain_of;
use super::records::{Actor, BY_USER, Domain, Grant, Group, Project, Role, Target, User};
use super::resource::{Reply, list, require_reader_in};
use super::rights::{below, members_of, subtree};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{self, Key, Query, View};
use crate::fault::Fault;
use crate::page::Params;
use crate::server::Services;

/// Most roles followed from one; the built-in chain has four.
const ROLES_MAX: usize = 64;

pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    let items = services
        .blocking(move |services| {
            let base = services.config().identity_base();
            services.catalogue().read(|reader| {
                let wanted = Wanted::permitted(reader, &params, &caller)?;
                Ok(collect(reader, &wanted, &base)?)
            })
        })
        .await?;
    list(&services, "role_assignments", &uri, items)
}

/// Which assignments are asked for.
struct Wanted<'p> {
    user: Option<&'p str>,
    group: Option<&'p str>,
    role: Option<&'p str>,
    domain: Option<&'p str>,
    system: bool,
    /// The projects, if only some are.
    projects: Option<Vec<String>>,
    inherited: Option<bool>,
    effective: bool,
    names: bool,
    /// The domain of the caller's token, which shows nothing else.
    own_domain: Option<String>,
}

/// A query parameter without a value counts as yes.
fn asked(params: &Params, key: &str) -> bool {
    params.has(key) && params.flag(key, true)
}

impl<'p> Wanted<'p> {
    fn permitted(view: &impl View, params: &'p Params, caller: &Caller) -> Result<Self, Fault> {
        let tree = asked(params, "include_subtree");
        let own_domain = domain_of(caller);
        let rule = match tree {
            true => "identity:list_role_assignments_for_tree",
            false => "identity:list_role_assignments",
        };
        let project = params.get("scope.project.id").filter(|id| !id.is_empty());
        let is_project_admin = tree && caller.project_id() == project && caller.has_role("admin");
        if !is_project_admin {
            require_reader_in(caller, own_domain.as_deref(), rule)?;
        }
        let wanted = Self {
            user: params.get("user.id"),
            group: params.get("group.id"),
            role: params.get("role.id"),
            domain: params.get("scope.domain.id"),
            system: params.has("scope.system"),
            projects: projects(view, project, tree)?,
            inherited: params
                .get("scope.OS-INHERIT:inherited_to")
                .map(|to| to == "projects"),
            effective: asked(params, "effective"),
            names: asked(params, "include_names"),
            own_domain,
        };
        wanted.check()?;
        Ok(wanted)
    }

    /// 400 for what nothing can be both of.
    fn check(&self) -> Result<(), Fault> {
        let (project, domain) = (self.projects.is_some(), self.domain.is_some());
        let reason = if project && domain {
            "Specify a domain or project, not both"
        } else if domain && self.system {
            "Specify system or domain, not both"
        } else if project && self.system {
            "Specify system or project, not both"
        } else if self.user.is_some() && self.group.is_some() {
            "Specify a user or group, not both"
        } else if self.effective && self.group.is_some() {
            "Combining effective and group filter will always result in an empty list."
        } else if self.effective && domain && self.inherited == Some(true) {
            "Combining effective, domain and inherited filters will always result in an empty list."
        } else {
            return Ok(());
        };
        Err(Fault::bad_request(reason))
    }

    fn has(&self, view: &impl View, one: &Assignment<'_>) -> catalogue::Result<bool> {
        let is = |wanted: Option<&str>, own: Option<&str>| match wanted {
            Some(wanted) => own == Some(wanted),
            None => true,
        };
        let (user, group) = match &one.actor {
            Actor::User(id) => (Some(id.as_str()), None),
            Actor::Group(id) => (None, Some(id.as_str())),
        };
        let in_scope = match &one.target {
            Target::Project(id) => {
                let projects = self.projects.as_ref();
                self.domain.is_none()
                    && !self.system
                    && projects.is_none_or(|wanted| wanted.contains(id))
            }
            Target::Domain(id) => {
                self.projects.is_none() && !self.system && is(self.domain, Some(id))
            }
            Target::System => self.projects.is_none() && self.domain.is_none(),
        };
        let mut has = in_scope
            && is(self.user, user)
            && is(self.group, group)
            && is(self.role, Some(&one.role_id))
            && self
                .inherited
                .is_none_or(|wanted| wanted == one.grant.inherited);
        if let Some(own) = self.own_domain.as_ref().filter(|_| has) {
            has = match &one.target {
                Target::Project(id) => {
                    let project = view.get::<Project>(id)?;
                    project.is_some_and(|project| project.domain_id == *own)
                }
                Target::Domain(id) => id == own,
                Target::System => false,
            };
        }
        Ok(has)
    }
}

/// The projects asked for, with those below if so.
fn projects(
    view: &impl View,
    project: Option<&str>,
    tree: bool,
) -> Result<Option<Vec<String>>, Fault> {
    let Some(id) = project else {
        return match tree {
            true => Err(Fault::bad_request(
                "'scope.project.id' is a dependency of 'include_subtree'",
            )),
            false => Ok(None),
        };
    };
    let mut wanted = vec![id.to_owned()];
    if tree {
        view.get::<Project>(id)?
            .ok_or_else(|| texts::not_found("project", id))?;
        let all = view.list::<Project>(&Query::all())?;
        wanted.extend(subtree(&all, id).into_iter().map(|one| one.id.clone()));
    }
    Ok(Some(wanted))
}

/// A role that somebody has somewhere, and why.
struct Assignment<'g> {
    grant: &'g Grant,
    actor: Actor,
    target: Target,
    role_id: String,
    /// The role that implies it, if it is not granted itself.
    prior: Option<String>,
}

fn collect(view: &impl View, wanted: &Wanted<'_>, base: &str) -> catalogue::Result<Vec<Value>> {
    let query = match (wanted.user, wanted.group, wanted.effective) {
        (Some(actor), _, false) | (None, Some(actor), false) => {
            Query::by(BY_USER, Key::new().text(actor))
        }
        _ => Query::all(),
    };
    let mut items = Vec::new();
    for grant in view.list::<Grant>(&query)? {
        let assignments = match wanted.effective {
            true => effects(view, &grant)?,
            false => vec![Assignment {
                actor: grant.actor.clone(),
                target: grant.target.clone(),
                role_id: grant.role_id.clone(),
                prior: None,
                grant: &grant,
            }],
        };
        for one in assignments {
            if wanted.has(view, &one)? {
                items.push(entry(view, &one, wanted.names, base)?);
            }
        }
    }
    Ok(items)
}

/// What a grant comes to: for each user of a group, on each project it is inherited to, with all the
/// roles that are implied. Roles of a domain come to nothing but what they imply.
fn effects<'g>(view: &impl View, grant: &'g Grant) -> catalogue::Result<Vec<Assignment<'g>>> {
    let actors = match &grant.actor {
        Actor::User(_) => vec![grant.actor.clone()],
        Actor::Group(id) => members_of(view, id)?.into_iter().map(Actor::User).collect(),
    };
    let targets = match grant.inherited {
        true => below(view, &grant.target)?,
        false => vec![grant.target.clone()],
    };
    let roles = chain(view, &grant.role_id)?;
    let mut effects = Vec::new();
    for actor in &actors {
        for target in &targets {
            effects.extend(roles.iter().map(|(role_id, prior)| Assignment {
                grant,
                actor: actor.clone(),
                target: target.clone(),
                role_id: role_id.clone(),
                prior: prior.clone(),
            }));
        }
    }
    Ok(effects)
}

/// A role and those it implies, each with what implies it.
fn chain(view: &impl View, id: &str) -> catalogue::Result<Vec<(String, Option<String>)>> {
    let mut found: Vec<(Role, Option<String>)> = Vec::new();
    let mut wanted = vec![(id.to_owned(), None)];
    while let Some((id, prior)) = wanted.pop() {
        if found.len() >= ROLES_MAX || found.iter().any(|(role, _)| role.id == id) {
            continue;
        }
        if let Some(role) = view.get::<Role>(&id)? {
            let implied = role.implies.iter();
            wanted.extend(implied.map(|implied| (implied.clone(), Some(role.id.clone()))));
            found.push((role, prior));
        }
    }
    found.retain(|(role, _)| role.domain_id.is_none());
    let ids = found.into_iter().map(|(role, prior)| (role.id, prior));
    Ok(ids.collect())
}

fn entry(
    view: &impl View,
    one: &Assignment<'_>,
    names: bool,
    base: &str,
) -> catalogue::Result<Value> {
    let mut body = json!({
        "links": links(one, base),
        "role": {"id": one.role_id},
        "scope": scope(view, &one.target, names)?,
    });
    if one.grant.inherited {
        body["scope"]["OS-INHERIT:inherited_to"] = json!("projects");
    }
    if let Some(role) = view.get::<Role>(&one.role_id)?.filter(|_| names) {
        body["role"]["name"] = json!(role.name);
        if let Some(id) = role.domain_id {
            body["role"]["domain"] = domain(view, &id)?;
        }
    }
    let (key, id) = match &one.actor {
        Actor::User(id) => ("user", id),
        Actor::Group(id) => ("group", id),
    };
    let named = match &one.actor {
        _ if !names => None,
        Actor::User(id) => view
            .get::<User>(id)?
            .map(|user| (user.name, user.domain_id)),
        Actor::Group(id) => view
            .get::<Group>(id)?
            .map(|group| (group.name, group.domain_id)),
    };
    body[key] = match named {
        Some((name, domain_id)) => {
            json!({"id": id, "name": name, "domain": domain(view, &domain_id)?})
        }
        None => json!({ "id": id }),
    };
    Ok(body)
}

/// Where the grant behind an assignment is, and what else it comes from.
fn links(one: &Assignment<'_>, base: &str) -> Value {
    let grant = one.grant;
    let target = match &grant.target {
        Target::Project(id) => format!("/projects/{id}"),
        Target::Domain(id) => format!("/domains/{id}"),
        Target::System => "/system".to_owned(),
    };
    let actor = match &grant.actor {
        Actor::User(id) => format!("/users/{id}"),
        Actor::Group(id) => format!("/groups/{id}"),
    };
    let role = one.prior.as_ref().unwrap_or(&one.role_id);
    let (before, after) = match grant.inherited {
        true => ("/OS-INHERIT", "/inherited_to_projects"),
        false => ("", ""),
    };
    let assignment = format!("{base}/v3{before}{target}{actor}/roles/{role}{after}");
    let mut links = json!({ "assignment": assignment });
    if let (Actor::Group(group), Actor::User(user)) = (&grant.actor, &one.actor) {
        links["membership"] = json!(format!("{base}/v3/groups/{group}/users/{user}"));
    }
    if let Some(prior) = &one.prior {
        // In the real service's order: the implied role comes first.
        let implied = &one.role_id;
        links["prior_role"] = json!(format!("{base}/v3/prior_role/{implied}/implies/{prior}"));
    }
    links
}

fn scope(view: &impl View, target: &Target, names: bool) -> catalogue::Result<Value> {
    Ok(match target {
        Target::System => json!({"system": {"all": true}}),
        Target::Domain(id) if names => json!({ "domain": domain(view, id)? }),
        Target::Domain(id) => json!({"domain": {"id": id}}),
        Target::Project(id) => match view.get::<Project>(id)?.filter(|_| names) {
            Some(project) => json!({"project": {
                "id": id,
                "name": project.name,
                "domain": domain(view, &project.domain_id)?,
            }}),
            None => json!({"project": {"id": id}}),
        },
    })
}

fn domain(view: &impl View, id: &str) -> catalogue::Result<Value> {
    let name = view.get::<Domain>(id)?.map(|domain| domain.name);
    Ok(json!({"id": id, "name": name.unwrap_or_default()}))
}
