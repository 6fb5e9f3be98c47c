//! The stored objects of Identity.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::catalogue::{self, Error, ErrorKind, Index, Key, Record};

/// Objects by name, where it is unique in its domain together with that.
pub(super) const BY_NAME: Index = Index("name");
/// Grants by who has them and target; what users own, by user.
pub(super) const BY_USER: Index = Index("user");
/// Grants by target and user.
pub(super) const BY_TARGET: Index = Index("target");
/// Grants by role.
pub(super) const BY_ROLE: Index = Index("role");
/// Tokens by the end of their life.
pub(super) const BY_EXPIRY: Index = Index("expiry");
/// Memberships by group.
pub(super) const BY_GROUP: Index = Index("group");
/// What belongs to a project, by project.
pub(super) const BY_PROJECT: Index = Index("project");
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
    /// Labels.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether it must stay as it is, if anybody said so.
    #[serde(default)]
    pub immutable: Option<bool>,
    /// Other attributes its creator gave.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// Raised by what ends all tokens for the domain and of its users.
    #[serde(default)]
    pub(super) epoch: u64,
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
    /// Whether it must stay as it is, if anybody said so.
    #[serde(default)]
    pub immutable: Option<bool>,
    /// Other attributes its creator gave.
    #[serde(default)]
    pub extra: Map<String, Value>,
    /// Raised by what ends all tokens for the project.
    #[serde(default)]
    pub(super) epoch: u64,
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
    /// Switches of its own, such as `lock_password`.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// The password's hash; `None` is a user who cannot log in by password.
    pub(super) password: Option<super::password::Hash>,
    /// Raised by what ends all tokens of the user.
    pub(super) epoch: u64,
}

/// Users who are given roles together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain it is in.
    pub domain_id: String,
    /// What it is for.
    pub description: String,
    /// Other attributes its creator gave.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// That a user is in a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Membership {
    /// Derived from the other fields.
    id: String,
    pub(super) group_id: String,
    pub(super) user_id: String,
}

impl Membership {
    pub(super) fn new(group_id: &str, user_id: &str) -> Self {
        Self {
            id: Self::id_of(group_id, user_id),
            group_id: group_id.to_owned(),
            user_id: user_id.to_owned(),
        }
    }

    pub(super) fn id_of(group_id: &str, user_id: &str) -> String {
        format!("{group_id}/{user_id}")
    }
}

/// A set of rights, by name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Role {
    /// Its id, 32 hex digits.
    pub id: String,
    /// Its name, unique in its domain or among those of none.
    pub name: String,
    /// The domain it belongs to; such a role is only good for what it implies.
    #[serde(default)]
    pub domain_id: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Ids of the roles that come with it.
    pub implies: Vec<String>,
    /// Whether it must stay as it is, if anybody said so.
    pub immutable: Option<bool>,
    /// Other attributes its creator gave.
    #[serde(default)]
    pub extra: Map<String, Value>,
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

/// Who can be given roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Actor {
    /// A user, by id.
    User(String),
    /// A group, by id.
    Group(String),
}

impl Actor {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::User(id) | Self::Group(id) => id,
        }
    }
}

/// A role of a user or group on a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    /// Derived from the other fields.
    pub(super) id: String,
    pub(super) target: Target,
    pub(super) actor: Actor,
    pub(super) role_id: String,
    /// Whether it holds on the projects below the target instead of on the target.
    pub(super) inherited: bool,
}

impl Grant {
    pub(super) fn new(target: Target, actor: Actor, role_id: &str, inherited: bool) -> Self {
        let below = if inherited { "/inherited" } else { "" };
        Self {
            id: format!("{}/{}/{role_id}{below}", target.text(), actor.id()),
            target,
            actor,
            role_id: role_id.to_owned(),
            inherited,
        }
    }
}

impl Record for Grant {
    const TABLE: &'static str = "grants";
    const VERSION: u8 = 2;
    const WATCHED: bool = true;
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        let actor = self.actor.id();
        vec![
            (BY_USER, self.target.key(Key::new().text(actor))),
            (BY_TARGET, self.target.key(Key::new()).text(actor)),
            (BY_ROLE, Key::new().text(&self.role_id)),
        ]
    }

    /// Grants of version 1 were to users, on the target itself.
    fn upgrade(version: u8, mut value: Value) -> catalogue::Result<Value> {
        let user = value.as_object_mut().and_then(|map| map.remove("user_id"));
        match (version, user) {
            (1, Some(user)) => {
                value["actor"] = json!({ "user": user });
                value["inherited"] = json!(false);
                Ok(value)
            }
            _ => Err(Error::new(
                ErrorKind::UnsupportedFormat,
                format!("{}: record of version {version}", Self::TABLE),
            )),
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
    #[serde(default)]
    pub(super) extra: Map<String, Value>,
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
    /// Whether its region is to be made with it.
    #[serde(skip)]
    pub(super) makes_region: bool,
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) extra: Map<String, Value>,
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
    #[serde(default)]
    pub(super) extra: Map<String, Value>,
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

/// On whose behalf a token acts, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Delegation {
    /// An application credential, by id.
    AppCredential(String),
    /// A trust, by id.
    Trust(String),
}

/// An issued token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    /// Hex of the hash of the token's text.
    pub(super) id: String,
    /// Who asked for it; with a trust, the trustee.
    pub(super) user_id: String,
    /// The sum of the epochs of all it stands for when it was issued: as none ever falls, an equal sum
    /// means that none has risen.
    pub(super) epoch: u64,
    pub(super) scope: TokenScope,
    #[serde(default)]
    pub(super) delegation: Option<Delegation>,
    pub(super) methods: Vec<String>,
    pub(super) audit_ids: Vec<String>,
    pub(super) issued_us: u64,
    pub(super) expires_us: u64,
}

macro_rules! record {
    ($type:ty, $table:expr, $self:ident => $keys:expr) => {
        record!($type, $table, true, $self => $keys);
    };
    ($type:ty, $table:expr, $watched_new:literal, $self:ident => $keys:expr) => {
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

pub(super) use record;

record!(Domain, "domains", self => vec![(BY_NAME, Key::new().text(&self.name))]);
record!(Project, "projects", self => {
    vec![(BY_NAME, Key::new().text(&self.name).text(&self.domain_id))]
});
// Block Storage has groups of its own.
record!(Group, "user_groups", self => {
    vec![(BY_NAME, Key::new().text(&self.name).text(&self.domain_id))]
});
record!(Membership, "memberships", self => vec![
    (BY_USER, Key::new().text(&self.user_id)),
    (BY_GROUP, Key::new().text(&self.group_id)),
]);
record!(User, "users", self => {
    vec![(BY_NAME, Key::new().text(&self.name).text(&self.domain_id))]
});
record!(Role, "roles", self => {
    let name = Key::new().text(&self.name);
    vec![(BY_NAME, match &self.domain_id {
        Some(domain) => name.text(domain),
        None => name,
    })]
});
record!(Service, "services", self => vec![(BY_NAME, Key::new().text(&self.kind))]);
record!(Endpoint, "endpoints", self => vec![(BY_SERVICE, Key::new().text(&self.service_id))]);
record!(Region, "regions", self => Vec::new());
// A new token changes nothing about the others.
record!(Token, "tokens", false, self => vec![(BY_EXPIRY, Key::new().number(self.expires_us))]);
