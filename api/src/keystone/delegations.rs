//! What a user hands to others: application credentials with their access rules, and trusts.

use serde::{Deserialize, Serialize};

use super::password::Hash;
use super::records::{BY_PROJECT, BY_USER, record};
use crate::catalogue::{Index, Key, Record};

/// Trusts by trustee.
pub(super) const BY_TRUSTEE: Index = Index("trustee");

/// A name and secret that a program logs in with instead of its user's password.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct AppCredential {
    pub(super) id: String,
    /// Unique among the user's.
    pub(super) name: String,
    pub(super) user_id: String,
    pub(super) project_id: String,
    pub(super) description: Option<String>,
    /// Ids of the roles that tokens have at most.
    pub(super) roles: Vec<String>,
    pub(super) expires_us: Option<u64>,
    /// Whether its tokens may make and end credentials; as it was given.
    pub(super) unrestricted: Option<bool>,
    /// The only calls its tokens may make, by id of their rules; none at all when empty.
    pub(super) access_rules: Option<Vec<String>>,
    pub(super) secret: Hash,
}

/// A call that is permitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AccessRule {
    pub(super) id: String,
    pub(super) user_id: String,
    /// The type of the service.
    pub(super) service: String,
    /// A path with `*`, `**` and `{name}` for what may vary.
    pub(super) path: String,
    pub(super) method: String,
}

/// Roles that one user lends another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Trust {
    pub(super) id: String,
    /// Who lends.
    pub(super) trustor_id: String,
    /// Who borrows.
    pub(super) trustee_id: String,
    pub(super) project_id: Option<String>,
    /// Ids of the roles, without implied ones.
    pub(super) roles: Vec<String>,
    /// Whether the trustee's tokens are as if the trustor's.
    pub(super) impersonation: bool,
    pub(super) expires_us: Option<u64>,
    /// Tokens that may still be had.
    pub(super) remaining_uses: Option<u64>,
    pub(super) allow_redelegation: bool,
    /// How often it may be handed on.
    pub(super) redelegation_count: u64,
    /// The trust that it was handed on from.
    pub(super) redelegated_from: Option<String>,
}

record!(AppCredential, "application_credentials", self => vec![
    (BY_USER, Key::new().text(&self.user_id).text(&self.name)),
    (BY_PROJECT, Key::new().text(&self.project_id)),
]);
record!(AccessRule, "access_rules", self => vec![(BY_USER, Key::new().text(&self.user_id))]);
record!(Trust, "trusts", self => vec![
    (BY_USER, Key::new().text(&self.trustor_id)),
    (BY_TRUSTEE, Key::new().text(&self.trustee_id)),
]);
