//! Who has which roles where: by grants to users and to their groups, on a target or on what is above
//! it, and by what roles imply.

use super::records::{BY_GROUP, BY_TARGET, BY_USER, Grant, Membership, Project, Role, Target};
use crate::catalogue::{self, Key, Query, View};

/// Most roles followed from a user's grants on a target; the built-in chain has four.
const ROLES_MAX: usize = 64;
/// Most projects followed from one up to its domain; the real service's limit and one to spare.
const DEPTH_MAX: usize = 8;

/// The ids of the groups a user is in.
pub(super) fn groups_of(view: &impl View, user_id: &str) -> catalogue::Result<Vec<String>> {
    let memberships = view.list::<Membership>(&Query::by(BY_USER, Key::new().text(user_id)))?;
    Ok(memberships.into_iter().map(|one| one.group_id).collect())
}

/// The projects above a project, the nearest first.
pub(super) fn parents_of(view: &impl View, project: &Project) -> catalogue::Result<Vec<Project>> {
    let mut parents: Vec<Project> = Vec::new();
    let mut above = project.parent_id.clone();
    while parents.len() < DEPTH_MAX {
        let Some(parent) = view.get::<Project>(&above)? else {
            break;
        };
        above.clone_from(&parent.parent_id);
        parents.push(parent);
    }
    Ok(parents)
}

/// What is above a target, on which inherited grants reach it.
pub(super) fn above(view: &impl View, target: &Target) -> catalogue::Result<Vec<Target>> {
    let Target::Project(id) = target else {
        return Ok(Vec::new());
    };
    let Some(project) = view.get::<Project>(id)? else {
        return Ok(Vec::new());
    };
    let parents = parents_of(view, &project)?.into_iter();
    let mut above: Vec<Target> = parents.map(|parent| Target::Project(parent.id)).collect();
    above.push(Target::Domain(project.domain_id));
    Ok(above)
}

/// The grants by which a user or group has roles on a target: its own on the target, and inherited
/// ones from above.
pub(super) fn grants_reaching(
    view: &impl View,
    actor_id: &str,
    target: &Target,
    above: &[Target],
) -> catalogue::Result<Vec<Grant>> {
    let on = |target: &Target| {
        let key = target.key(Key::new().text(actor_id));
        view.list::<Grant>(&Query::by(BY_USER, key))
    };
    let mut found = on(target)?;
    found.retain(|grant| !grant.inherited);
    for upper in above {
        found.extend(on(upper)?.into_iter().filter(|grant| grant.inherited));
    }
    Ok(found)
}

/// The roles of these ids and all that they imply, each once, in the order they are come upon.
pub(super) fn with_implied(
    view: &impl View,
    ids: impl IntoIterator<Item = String>,
) -> catalogue::Result<Vec<Role>> {
    let mut wanted: Vec<String> = ids.into_iter().collect();
    let mut roles: Vec<Role> = Vec::new();
    while let Some(id) = wanted.pop() {
        if roles.len() >= ROLES_MAX || roles.iter().any(|role| role.id == id) {
            continue;
        }
        if let Some(role) = view.get::<Role>(&id)? {
            wanted.extend(role.implies.iter().cloned());
            roles.push(role);
        }
    }
    Ok(roles)
}

/// The roles of a user on a target, implied ones too, each once. Roles of a domain are not among
/// them: only what they imply is.
pub(super) fn roles_of(
    view: &impl View,
    user_id: &str,
    target: &Target,
) -> catalogue::Result<Vec<Role>> {
    let mut roles = all_roles_of(view, user_id, target)?;
    roles.retain(|role| role.domain_id.is_none());
    Ok(roles)
}

/// As [`roles_of`], with those of domains.
pub(super) fn all_roles_of(
    view: &impl View,
    user_id: &str,
    target: &Target,
) -> catalogue::Result<Vec<Role>> {
    let above = above(view, target)?;
    let mut ids = Vec::new();
    let actors = std::iter::once(user_id.to_owned()).chain(groups_of(view, user_id)?);
    for actor in actors {
        let grants = grants_reaching(view, &actor, target, &above)?;
        ids.extend(grants.into_iter().map(|grant| grant.role_id));
    }
    with_implied(view, ids)
}

/// The targets on which a user has roles, each once: of grants to the user and to groups, on the
/// target or inherited.
pub(super) fn targets_of(view: &impl View, user_id: &str) -> catalogue::Result<Vec<Target>> {
    let mut targets = Vec::new();
    let actors = std::iter::once(user_id.to_owned()).chain(groups_of(view, user_id)?);
    for actor in actors {
        for grant in view.list::<Grant>(&Query::by(BY_USER, Key::new().text(&actor)))? {
            let reached = match grant.inherited {
                true => below(view, &grant.target)?,
                false => vec![grant.target],
            };
            for target in reached {
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
    }
    Ok(targets)
}

/// The projects that inherited grants on a target hold on.
pub(super) fn below(view: &impl View, target: &Target) -> catalogue::Result<Vec<Target>> {
    let all = view.list::<Project>(&Query::all())?;
    let reached = match target {
        Target::System => Vec::new(),
        Target::Domain(id) => all.iter().filter(|one| one.domain_id == *id).collect(),
        Target::Project(id) => subtree(&all, id),
    };
    let targets = reached.into_iter();
    Ok(targets.map(|one| Target::Project(one.id.clone())).collect())
}

/// The projects below one, parents before their children.
pub(super) fn subtree<'a>(all: &'a [Project], id: &str) -> Vec<&'a Project> {
    let children =
        |id: &str| -> Vec<&'a Project> { all.iter().filter(|one| one.parent_id == id).collect() };
    let mut found = children(id);
    let mut next = 0;
    // A project has one parent, so that none is come upon twice and the walk ends.
    while let Some(project) = found.get(next) {
        let more = children(&project.id);
        found.extend(more);
        next += 1;
    }
    found
}

/// The users of a group.
pub(super) fn members_of(view: &impl View, group_id: &str) -> catalogue::Result<Vec<String>> {
    let by_group = Query::by(BY_GROUP, Key::new().text(group_id));
    let memberships = view.list::<Membership>(&by_group)?;
    Ok(memberships.into_iter().map(|one| one.user_id).collect())
}

/// All grants on a target, or all there are to an actor.
pub(super) fn grants_on(view: &impl View, target: &Target) -> catalogue::Result<Vec<Grant>> {
    view.list::<Grant>(&Query::by(BY_TARGET, target.key(Key::new())))
}
