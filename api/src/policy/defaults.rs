//! Who may do what unless the policy file says otherwise, in the policy language.
//!
//! The named expressions are those that the real service's rules are made of; policy files may
//! refer to them and replace them.

/// An admin of the cloud; see [`crate::auth::Caller::is_admin`].
pub(super) const ROLE_ADMIN: &str = "role:admin";
/// Default of rules for admins alone.
pub(super) const ADMIN: &str = "rule:admin_api";
/// Default of rules for members of the object's project.
pub(super) const MEMBER: &str = "rule:xena_system_admin_or_project_member";
/// Default of rules for readers of the object's project.
pub(super) const READER: &str = "rule:xena_system_admin_or_project_reader";

/// Expressions that only other rules refer to.
pub(super) const NAMED: [(&str, &str); 6] = [
    ("admin_api", "is_admin:True"),
    (
        "admin_or_owner",
        "is_admin:True or project_id:%(project_id)s",
    ),
    (
        "xena_system_admin_or_project_reader",
        "rule:admin_api or (role:reader and project_id:%(project_id)s)",
    ),
    (
        "xena_system_admin_or_project_member",
        "rule:admin_api or (role:member and project_id:%(project_id)s)",
    ),
    (
        "system_or_domain_or_project_admin",
        "(role:admin and system_scope:all) or (role:admin and domain_id:%(domain_id)s) or \
         (role:admin and project_id:%(project_id)s)",
    ),
    ("system_admin_api", "role:admin and system_scope:all"),
];
