//! Who may do what: the real service's default policies, fixed.
//!
//! Who may know of an image at all is asked first ([`super::records::find_visible`]): others get 404.

use super::records::{Image, Visibility};
use crate::auth::Caller;
use crate::fault::{Fault, FaultKind};

/// A rule, by the name that refusals tell.
#[derive(Clone, Copy)]
pub(super) enum Right {
    /// Of images.
    Of(&'static str),
    /// Of metadata definitions: what is done, and to what.
    Metadef(&'static str, &'static str),
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Of(name) => f.write_str(name),
            Self::Metadef(verb, noun) => write!(f, "{verb}_metadef_{noun}"),
        }
    }
}

/// The rule of changing metadata definitions.
pub(super) fn metadef(verb: &'static str, noun: &'static str) -> Right {
    Right::Metadef(verb, noun)
}

pub(super) const UPLOAD: Right = Right::Of("upload_image");
pub(super) const MODIFY: Right = Right::Of("modify_image");
pub(super) const DELETE: Right = Right::Of("delete_image");
pub(super) const DEACTIVATE: Right = Right::Of("deactivate");
pub(super) const REACTIVATE: Right = Right::Of("reactivate");
pub(super) const GET_MEMBERS: Right = Right::Of("get_members");
pub(super) const ADD_MEMBER: Right = Right::Of("add_member");
pub(super) const DELETE_MEMBER: Right = Right::Of("delete_member");
pub(super) const MODIFY_MEMBER: Right = Right::Of("modify_member");
pub(super) const SET_LOCATION: Right = Right::Of("set_image_location");
pub(super) const DELETE_LOCATION: Right = Right::Of("delete_image_location");
pub(super) const ADD_LOCATION: Right = Right::Of("add_image_location");
pub(super) const COPY: Right = Right::Of("copy_image");
pub(super) const STORES_DETAIL: Right = Right::Of("stores_info_detail");
pub(super) const TASKS: Right = Right::Of("tasks_api_access");
pub(super) const FETCH_LOCATION: Right = Right::Of("fetch_image_location");

/// 403 naming the rule.
pub(super) fn denied(right: Right) -> Fault {
    forbidden(format!(
        "You are not authorized to complete {right} action."
    ))
}

/// 403 with a message.
pub(super) fn forbidden(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Forbidden, message)
}

fn allow(may: bool, right: Right) -> Result<(), Fault> {
    match may {
        true => Ok(()),
        false => Err(denied(right)),
    }
}

/// Administrators alone.
pub(super) fn check_admin(caller: &Caller, right: Right) -> Result<(), Fault> {
    allow(caller.is_identity_admin(), right)
}

/// Administrators and services.
pub(super) fn check_service(caller: &Caller, right: Right) -> Result<(), Fault> {
    allow(
        caller.is_identity_admin() || caller.has_role("service"),
        right,
    )
}

fn owns(caller: &Caller, owner: Option<&str>) -> bool {
    owner.is_some() && caller.project_id() == owner
}

/// Administrators, and members of the project that an image belongs to.
pub(super) fn check_owner(caller: &Caller, image: &Image, right: Right) -> Result<(), Fault> {
    let owner = caller.has_role("member") && owns(caller, image.owner.as_deref());
    allow(caller.is_identity_admin() || owner, right)
}

/// Whether a caller may change the membership of a project: administrators, and that project.
pub(super) fn check_own_membership(caller: &Caller, project: &str) -> Result<(), Fault> {
    let own = caller.has_role("member") && caller.project_id() == Some(project);
    allow(caller.is_identity_admin() || own, MODIFY_MEMBER)
}

/// Whether a caller may look at the members of an image that it sees: administrators, the owner and
/// the members.
pub(super) fn sees_members(caller: &Caller, image: &Image, is_member: bool) -> bool {
    let reader = caller.has_role("reader") && owns(caller, image.owner.as_deref());
    caller.is_identity_admin() || reader || is_member
}

/// Whether data may be had of an image that is seen: readers see records only.
pub(super) fn check_download(caller: &Caller) -> Result<(), Fault> {
    allow(
        caller.is_identity_admin() || caller.has_role("member"),
        Right::Of("download_image"),
    )
}

/// Whether images may be listed.
pub(super) fn check_list(caller: &Caller) -> Result<(), Fault> {
    let reader = caller.has_role("reader") && caller.project_id().is_some();
    allow(
        caller.is_identity_admin() || reader,
        Right::Of("get_images"),
    )
}

/// Whether an image of this owner may be made.
pub(super) fn check_add(caller: &Caller, owner: Option<&str>) -> Result<(), Fault> {
    if caller.is_identity_admin() {
        return Ok(());
    }
    if !owns(caller, owner) {
        let told = owner.unwrap_or("None");
        return Err(forbidden(format!(
            "You are not permitted to create images owned by '{told}'"
        )));
    }
    allow(caller.has_role("member"), Right::Of("add_image"))
}

/// Whether an image may be shown to everybody: administrators alone; a community's image is its
/// owner's to offer.
pub(super) fn check_visibility(caller: &Caller, wanted: Visibility) -> Result<(), Fault> {
    match wanted {
        Visibility::Public => check_admin(caller, Right::Of("publicize_image")),
        Visibility::Community => allow(
            caller.is_identity_admin() || caller.has_role("member"),
            Right::Of("communitize_image"),
        ),
        Visibility::Shared | Visibility::Private => Ok(()),
    }
}
