//! The Identity API, version 3 and the older 2.0 (`v2`): users, projects, roles and tokens of this cloud.
//!
//! Tokens are opaque: 256 random bits, of which only a BLAKE3 hash is stored. Nothing about rights is
//! kept in a token; whether it is valid and which roles it carries is worked out from users, projects
//! and grants at every use, so that disabling, deleting, revoking or changing a password takes effect
//! at once.

mod access_rules;
mod app_credentials;
mod assignments;
mod auth_request;
mod bootstrap;
mod bounds;
mod callers;
mod calls;
mod catalog;
mod delegations;
mod domains;
mod endpoints;
mod ext;
mod grants;
mod groups;
mod inference;
mod limiter;
mod login;
mod operations;
mod options;
mod password;
mod project_calls;
mod projects;
mod proofs;
mod records;
mod regions;
mod reset;
mod resource;
mod rights;
mod roles;
mod routes;
mod service_entries;
mod tags;
#[cfg(test)]
mod tests;
mod texts;
mod token_calls;
mod tokens;
mod trust_calls;
mod trusts;
mod users;
mod v2;

pub use bootstrap::bootstrap;
pub(crate) use bounds::{Bounds, Called};
pub(crate) use callers::Callers;
pub(crate) use limiter::LoginLimiter;
pub use records::{Domain, Group, Project, Role, User};
pub use reset::{Reset, WasReset, reset_password};
#[cfg(test)]
pub(crate) use routes::untold_paths;
pub(crate) use routes::{operations, routes};
pub(crate) use texts::expecting;
pub(crate) use tokens::{TokenKey, caller_of, known_caller};
pub(crate) use v2::{
    fault_name as legacy_fault_name, fault_shape as legacy_fault, operations as legacy_operations,
    without_secrets,
};
