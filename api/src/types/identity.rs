//! Identity v3 bodies: tokens, projects, users, roles, domains and the catalogue.
//!
//! As with Block Storage, readers accept absent and unknown fields. Passwords are in requests alone
//! and never shown by `Debug`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Something named by an id, a name or both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The domain that the name is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Box<Reference>>,
}

/// Body of a request for a token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuthBody {
    /// Who asks and for what.
    pub auth: Auth,
}

/// Who asks and for what.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Auth {
    /// Who.
    pub identity: Identity,
    /// For what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<AuthScope>,
}

/// How a caller proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `password` or `token`.
    pub methods: Vec<String>,
    /// For the method `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordMethod>,
    /// For the method `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenMethod>,
}

/// Method `password`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordMethod {
    /// The user.
    pub user: PasswordUser,
}

/// A user with the password.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordUser {
    /// Id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name, together with a domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The domain of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Reference>,
    /// The password.
    pub password: String,
}

impl std::fmt::Debug for PasswordUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordUser")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// Method `token`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMethod {
    /// A valid token.
    pub id: String,
}

impl std::fmt::Debug for TokenMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMethod").finish_non_exhaustive()
    }
}

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AuthScope {
    /// A project, a domain or the system.
    Of(ScopeOf),
    /// The text `unscoped`.
    Text(String),
}

/// A project, a domain or the system; exactly one is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScopeOf {
    /// A project by id, or by name and domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Reference>,
    /// A domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Reference>,
    /// `{"all": true}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Map<String, Value>>,
}

/// An id with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
}

/// A project or user within a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamedInDomain {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// The domain it is in.
    pub domain: Named,
    /// When the password ends; users only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_expires_at: Option<Option<String>>,
}

/// An address of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CatalogEndpoint {
    /// Id.
    pub id: String,
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// Region.
    pub region: Option<String>,
    /// Region.
    pub region_id: Option<String>,
    /// The address.
    pub url: String,
}

/// A service with its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CatalogService {
    /// Id.
    pub id: String,
    /// Such as `block-storage`.
    #[serde(rename = "type")]
    pub service_type: String,
    /// Name.
    pub name: String,
    /// Addresses.
    pub endpoints: Vec<CatalogEndpoint>,
}

/// A token's content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Token {
    /// How its owner proved who it is.
    pub methods: Vec<String>,
    /// Owner.
    pub user: NamedInDomain,
    /// Audit ids.
    pub audit_ids: Vec<String>,
    /// End.
    pub expires_at: String,
    /// Beginning.
    pub issued_at: String,
    /// Project of the scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<NamedInDomain>,
    /// Whether that project acts as a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_domain: Option<bool>,
    /// Domain of the scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<Named>,
    /// `{"all": true}` for the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Map<String, Value>>,
    /// Roles within the scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Named>>,
    /// Where the services are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Vec<CatalogService>>,
}

/// One token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenBody {
    /// The token.
    pub token: Token,
}

/// `{"self": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfLink {
    /// The object's own address.
    #[serde(rename = "self")]
    pub own: String,
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Domain.
    pub domain_id: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Whether tokens are issued for it.
    pub enabled: bool,
    /// The project or domain above.
    pub parent_id: Option<String>,
    /// Whether it acts as a domain.
    pub is_domain: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// Options.
    pub options: Map<String, Value>,
    /// Own address.
    pub links: SelfLink,
}

/// One project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectBody {
    /// The project.
    pub project: Project,
}

/// All projects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Projects {
    /// The projects.
    pub projects: Vec<Project>,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Domain.
    pub domain_id: String,
    /// Whether the user may log in.
    pub enabled: bool,
    /// When the password ends.
    pub password_expires_at: Option<String>,
    /// The project tokens are scoped to by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_id: Option<String>,
    /// Options.
    pub options: Map<String, Value>,
    /// Own address.
    pub links: SelfLink,
}

/// One user.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UserBody {
    /// The user.
    pub user: User,
}

/// All users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Users {
    /// The users.
    pub users: Vec<User>,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Role {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Domain; null for roles of all.
    pub domain_id: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Options.
    pub options: Map<String, Value>,
    /// Own address.
    pub links: SelfLink,
}

/// One role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoleBody {
    /// The role.
    pub role: Role,
}

/// All roles.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Roles {
    /// The roles.
    pub roles: Vec<Role>,
}

#[cfg(test)]
mod tests {
    use super::{AuthBody, AuthScope, TokenBody};

    #[test]
    fn scopes_and_secrets() {
        let text = r#"{"auth": {"identity": {"methods": ["password"], "password": {"user":
            {"name": "admin", "domain": {"name": "Default"}, "password": "hunter2"}}},
            "scope": {"project": {"name": "demo", "domain": {"id": "default"}}}}}"#;
        let body: AuthBody = serde_json::from_str(text).unwrap();
        assert!(matches!(&body.auth.scope, Some(AuthScope::Of(of)) if of.project.is_some()));
        assert!(!format!("{body:?}").contains("hunter2"));
    }

    #[test]
    fn an_unscoped_token_is_read() {
        let body: TokenBody = serde_json::from_str(r#"{"token": {"x": 1}}"#).unwrap();
        assert!(body.token.catalog.is_none());
    }
}
