//! The stored objects of Identity.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalogue::{Index, Key, Record};

/// Objects by name, where it is unique in its domain together with that.
pub(super) const BY_NAME: Index = Index("name");
/// Grants by user and target.
pub(super) const BY_USER: Index = Index("user");
/// Grants by target and user.
pub(super) const BY_TARGET: Index = Index("target");
/// Grants by role.
pub(super) const BY_ROLE: Index = Index("role");
/// Tokens by the end of their life.
pub(super) const BY_EXPIRY: Index = Index("expiry");
/// Endpoints by service.
pub(super) const BY_SERVICE: Index = Index("service");

/// A container of users and projects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Domain {
    /// Its id.
    pub id: String,
    /// Its name, unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether its users and projects can be used.
    pub enabled: bool,
}

/// What volumes belong to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain it is in.
    pub domain_id: String,
    /// The project or domain above it.
    pub parent_id: String,
    /// What it is for.
    pub description: String,
    /// Whether tokens for it are valid.
    pub enabled: bool,
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Who can log in.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain it is in.
    pub domain_id: String,
    /// Whether it can log in.
    pub enabled: bool,
    /// The project of a token without a scope.
    pub default_project_id: Option<String>,
    /// Other attributes its creator gave, such as `email` and `description`.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// The password's hash; `None` is a user who cannot log in by password.
    pub(super) password: Option<super::password::Hash>,
    /// Raised by what ends all tokens of the user.
    pub(super) epoch: u64,
}

/// A set of rights, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name, unique.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Ids of the roles that come with it.
    pub implies: Vec<String>,
    /// Whether it must stay as it is.
    pub immutable: bool,
}

/// What a role is granted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Target {
    /// A project, by id.
    Project(String),
    /// A domain, by id.
    Domain(String),
    /// The whole system.
    System,
}

impl Target {
    /// Appends the target to an index key.
    pub(super) fn key(&self, key: Key) -> Key {
        match self {
            Self::Project(id) => key.text("project").text(id),
            Self::Domain(id) => key.text("domain").text(id),
            Self::System => key.text("system").text("all"),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Project(id) => format!("project/{id}"),
            Self::Domain(id) => format!("domain/{id}"),
            Self::System => "system/all".to_owned(),
        }
    }
}

/// A role of a user on a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Derived from the other fields.
    pub(super) id: String,
    pub(super) target: Target,
    pub(super) user_id: String,
    pub(super) role_id: String,
}

impl Grant {
    pub(super) fn new(target: Target, user_id: &str, role_id: &str) -> Self {
        Self {
            id: format!("{}/{user_id}/{role_id}", target.text()),
            target,
            user_id: user_id.to_owned(),
            role_id: role_id.to_owned(),
        }
    }
}

/// A service of the service catalogue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    pub(super) enabled: bool,
}

/// An address of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) service_id: String,
    /// `public`, `internal` or `admin`.
    pub(super) interface: String,
    pub(super) region_id: Option<String>,
    /// What follows the base; may hold `$(project_id)s`.
    pub(super) url: String,
    pub(super) base: Base,
    pub(super) enabled: bool,
}

/// What an endpoint's URL is relative to, so that moving the daemon moves its own endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base {
    /// Nothing: the URL is whole.
    Absolute,
    /// Where Identity is reached.
    Identity,
    /// Where Block Storage is reached.
    Volume,
    /// Where Image is reached.
    Image,
    /// Where the native API is reached.
    Native,
}

/// A region of endpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Region {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) parent_region_id: Option<String>,
}

/// What a token was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenScope {
    /// Nothing yet.
    Unscoped,
    /// A target.
    On(Target),
}

/// An issued token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    /// Hex of the hash of the token's text.
    pub(super) id: String,
    pub(super) user_id: String,
    /// The user's epoch when it was issued.
    pub(super) epoch: u64,
    pub(super) scope: TokenScope,
    pub(super) methods: Vec<String>,
    pub(super) audit_ids: Vec<String>,
    pub(super) issued_us: u64,
    pub(super) expires_us: u64,
}

macro_rules! record {
    ($type:ty, $table:literal, $self:ident => $keys:expr) => {
        record!($type, $table, true, $self => $keys);
    };
    ($type:ty, $table:literal, $watched_new:literal, $self:ident => $keys:expr) => {
        impl Record for $type {
            const TABLE: &'static str = $table;
            // What a token is good for follows from these.
            const WATCHED: bool = true;
            const WATCHED_NEW: bool = $watched_new;
            type Id = str;

            fn id(&self) -> &str {
                &self.id
            }

            fn index_keys(&$self) -> Vec<(Index, Key)> {
                $keys
            }
        }
    };
}

record!(Domain, "domains", self => vec![(BY_NAME, Key::new().text(&self.name))]);
record!(Project, "projects", self => {
    vec![(BY_NAME, Key::new().text(&self.name).text(&self.domain_id))]
});
record!(User, "users", self => {
    vec![(BY_NAME, Key::new().text(&self.name).text(&self.domain_id))]
});
record!(Role, "roles", self => vec![(BY_NAME, Key::new().text(&self.name))]);
record!(Grant, "grants", self => vec![
    (BY_USER, self.target.key(Key::new().text(&self.user_id))),
    (BY_TARGET, self.target.key(Key::new()).text(&self.user_id)),
    (BY_ROLE, Key::new().text(&self.role_id)),
]);
record!(Service, "services", self => vec![(BY_NAME, Key::new().text(&self.kind))]);
record!(Endpoint, "endpoints", self => vec![(BY_SERVICE, Key::new().text(&self.service_id))]);
record!(Region, "regions", self => Vec::new());
// A new token changes nothing about the others.
record!(Token, "tokens", false, self => vec![(BY_EXPIRY, Key::new().number(self.expires_us))]);
