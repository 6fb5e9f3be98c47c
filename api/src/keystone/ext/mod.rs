//! Extensions of Identity v3 that its clients manage: credentials, keys for EC2, consumers of OAuth,
//! policies, groups of endpoints and the configuration of domains.
//!
//! All are kept in the catalogue and shown as the real service shows them. Groups of endpoints say
//! what a project's catalogue has; the others are kept for those who ask, and nothing here obeys
//! them: this Identity has its own users, its own rules and no OAuth.

mod associations;
mod consumers;
mod credentials;
mod domain_config;
mod domain_options;
mod ec2;
mod endpoint_groups;
mod limits;
mod policies;
#[cfg(test)]
mod tests;

use crate::catalogue::{self, Writer};
use crate::openapi::Routes;

pub(super) use associations::{remove_of_endpoint, shown_to};
pub(super) use credentials::remove_of_user;
pub(super) use domain_config::remove_of_domain;

/// Removes what belongs to a project that goes.
pub(super) fn remove_of_project(writer: &Writer, project_id: &str) -> catalogue::Result<()> {
    credentials::remove_of_project(writer, project_id)?;
    associations::remove_of_project(writer, project_id)
}

/// All routes; they need a token.
pub(super) fn routes() -> Routes {
    credentials::routes()
        .merge(ec2::routes())
        .merge(consumers::routes())
        .merge(policies::routes())
        .merge(endpoint_groups::routes())
        .merge(limits::routes())
        .merge(associations::routes())
        .merge(domain_config::routes())
}
