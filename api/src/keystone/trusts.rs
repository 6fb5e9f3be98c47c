//! Trusts: roles that a user lends another, for tokens on the lender's project.

use super::delegations::{BY_TRUSTEE, Trust};
use super::records::{BY_USER, Project, Role, Target, User};
use super::rights::{all_roles_of, with_implied};
use super::texts;
use super::tokens::usable_user;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::server::Services;

/// How often a trust may be handed on at most, as the real service has it.
pub(super) const REDELEGATIONS_MAX: u64 = 3;

/// Whether tokens may be had by a trust.
pub(super) fn is_live(trust: &Trust, now_us: u64) -> bool {
    trust.expires_us.is_none_or(|end| end > now_us) && trust.remaining_uses != Some(0)
}

/// The trust while it lives, or 404.
pub(super) fn find(view: &impl View, id: &str, now_us: u64) -> Result<Trust, Fault> {
    let trust = view
        .get::<Trust>(id)?
        .filter(|trust| is_live(trust, now_us));
    trust.ok_or_else(|| texts::not_found("trust", id))
}

/// The trusts that a trust goes back to, the nearest first.
fn pedigree(view: &impl View, trust: &Trust) -> catalogue::Result<Vec<Trust>> {
    let mut found: Vec<Trust> = Vec::new();
    let mut next = trust.redelegated_from.clone();
    while let Some(id) = next
        .take()
        .filter(|_| found.len() as u64 <= REDELEGATIONS_MAX)
    {
        if let Some(parent) = view.get::<Trust>(&id)? {
            next.clone_from(&parent.redelegated_from);
            found.push(parent);
        }
    }
    Ok(found)
}

/// Who lends in the first place: the roles must be that user's.
pub(super) fn first_trustor(view: &impl View, trust: &Trust) -> catalogue::Result<String> {
    let first = pedigree(view, trust)?.pop();
    Ok(first.map_or_else(|| trust.trustor_id.clone(), |first| first.trustor_id))
}

/// Takes one of the uses of a trust. Blocks.
pub(super) fn use_once(services: &Services, id: &str) -> Result<(), Fault> {
    services.catalogue().write(|writer| {
        let mut trust = find(writer, id, services.now_us()).map_err(|_| Fault::unauthorized())?;
        if let Some(left) = trust.remaining_uses {
            trust.remaining_uses = Some(left - 1);
            writer.put(&trust)?;
        }
        Ok(())
    })
}

/// Keeps a new trust if nothing is against it.
pub(super) fn create(writer: &Writer, mut trust: Trust, now_us: u64) -> Result<Trust, Fault> {
    if writer.get::<User>(&trust.trustee_id)?.is_none() {
        return Err(texts::not_found("user", &trust.trustee_id));
    }
    if let Some(id) = trust.redelegated_from.clone() {
        hand_on(writer, &mut trust, &id, now_us)?;
    }
    if let Some(id) = trust.project_id.clone() {
        let project = writer.get::<Project>(&id)?;
        project.ok_or_else(|| texts::not_found("project", &id))?;
        let lender = first_trustor(writer, &trust)?;
        let owned = all_roles_of(writer, &lender, &Target::Project(id))?;
        let wanted = with_implied(writer, trust.roles.iter().cloned())?;
        let missing = |role: &&Role| !owned.iter().any(|own| own.id == role.id);
        if let Some(role) = wanted.iter().find(missing) {
            return Err(texts::not_found("role", &role.id));
        }
    }
    writer.insert(&trust)?;
    Ok(trust)
}

/// Makes a trust part of the one it is handed on from, which must give all that it gives.
fn hand_on(writer: &Writer, trust: &mut Trust, id: &str, now_us: u64) -> Result<(), Fault> {
    let parent = find(writer, id, now_us)?;
    let left = parent.redelegation_count;
    if left == 0 || left > REDELEGATIONS_MAX {
        return Err(texts::forbidden_as_such(format!(
            "Remaining redelegation depth of {left} out of allowed range of \
             [0..{REDELEGATIONS_MAX}]"
        )));
    }
    if trust.allow_redelegation && trust.redelegation_count > left - 1 {
        trust.redelegation_count = left - 1;
    }
    if trust.remaining_uses.is_some() {
        let message = "Field \"remaining_uses\" is set while it must not be set in order to \
                       redelegate a trust";
        return Err(texts::forbidden_as_such(message));
    }
    for upper in std::iter::once(parent.clone()).chain(pedigree(writer, &parent)?) {
        bound_by(trust, &upper)?;
        if usable_user(writer, &upper.trustee_id)?.is_none() {
            let message = "One of the trust agents is disabled or deleted";
            return Err(texts::forbidden_as_such(message));
        }
    }
    Ok(())
}

fn bound_by(trust: &mut Trust, upper: &Trust) -> Result<(), Fault> {
    let refused = |message: &str| Err(texts::forbidden_as_such(message));
    if trust.project_id != upper.project_id {
        return refused("Some of requested roles are not in redelegated trust");
    }
    match (trust.expires_us, upper.expires_us) {
        (Some(end), Some(most)) if end > most => {
            return refused("Requested expiration time is more than redelegated trust can provide");
        }
        (None, most) => trust.expires_us = most,
        (Some(_), _) => {}
    }
    if !trust.roles.iter().all(|role| upper.roles.contains(role)) {
        return refused("Some of requested roles are not in redelegated trust");
    }
    if trust.impersonation && !upper.impersonation {
        return refused(
            "Impersonation is not allowed because redelegated trust does not specify \
             impersonation.",
        );
    }
    Ok(())
}

/// Ends a trust and those that were handed on from it.
pub(super) fn remove(writer: &Writer, id: &str) -> catalogue::Result<()> {
    let mut gone = vec![id.to_owned()];
    while let Some(id) = gone.pop() {
        writer.delete::<Trust>(&id)?;
        let others = writer.list::<Trust>(&Query::all())?.into_iter();
        let of_it = others.filter(|trust| trust.redelegated_from.as_ref() == Some(&id));
        gone.extend(of_it.map(|trust| trust.id));
    }
    Ok(())
}

/// Ends all trusts from and to a user.
pub(super) fn remove_of_user(writer: &Writer, user_id: &str) -> catalogue::Result<()> {
    for index in [BY_USER, BY_TRUSTEE] {
        for trust in writer.list::<Trust>(&Query::by(index, Key::new().text(user_id)))? {
            remove(writer, &trust.id)?;
        }
    }
    Ok(())
}

/// Ends all trusts on a project.
pub(super) fn remove_of_project(writer: &Writer, project_id: &str) -> catalogue::Result<()> {
    for trust in writer.list::<Trust>(&Query::all())? {
        if trust.project_id.as_deref() == Some(project_id) {
            remove(writer, &trust.id)?;
        }
    }
    Ok(())
}
