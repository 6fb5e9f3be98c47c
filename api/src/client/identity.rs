//! Users, projects and roles, and the client's own token.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::secret::Secret;
use super::volumes::{escape, only};
use super::{Client, Error, ErrorKind, Result, Service};
use crate::types::identity::{Project, Role, User};

/// What a user is made with or changed to; what is absent stays.
#[derive(Clone, Default, Serialize)]
#[serde(default)]
pub struct UserSpec {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Domain; only of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<String>,
    /// The project that tokens are for unless they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_id: Option<String>,
    /// Address for mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// A text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the user may log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What a project is made with or changed to; what is absent stays.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProjectSpec {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Domain; only of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain_id: Option<String>,
    /// A text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What a role is granted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A project, by id.
    Project(String),
    /// A domain, by id.
    Domain(String),
    /// The whole system.
    System,
}

impl Target {
    /// The path of a user's roles there.
    fn roles(&self, user_id: &str) -> String {
        let user = escape(user_id);
        match self {
            Self::Project(id) => format!("projects/{}/users/{user}/roles", escape(id)),
            Self::Domain(id) => format!("domains/{}/users/{user}/roles", escape(id)),
            Self::System => format!("system/users/{user}/roles"),
        }
    }
}

/// The client's own token.
#[derive(Clone, Serialize)]
pub struct OwnToken {
    /// Its text, a secret.
    pub id: String,
    /// When it ends.
    pub expires_at: String,
    /// Whose it is.
    pub user_id: String,
    /// The project that it is for.
    pub project_id: Option<String>,
}

/// A kind of objects: its name and that of lists of it.
type Kind = (&'static str, &'static str);

const USER: Kind = ("user", "users");
const PROJECT: Kind = ("project", "projects");
const ROLE: Kind = ("role", "roles");
const DOMAIN: Kind = ("domain", "domains");

impl Client {
    /// The users, of one domain or of all.
    ///
    /// # Errors
    /// Any kind.
    pub fn users(&self, domain_id: Option<&str>) -> Result<Vec<User>> {
        self.all(USER, &in_domain(domain_id))
    }

    /// A user by id or name. An id wins; a name of several users is `Ambiguous`.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous` and any other kind.
    pub fn find_user(&self, name_or_id: &str, domain_id: Option<&str>) -> Result<User> {
        self.find(USER, name_or_id, domain_id, |user: &User| &user.id)
    }

    /// Makes a user.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_user(&self, spec: &UserSpec) -> Result<User> {
        self.create(USER, spec)
    }

    /// Changes a user.
    ///
    /// # Errors
    /// Any kind.
    pub fn update_user(&self, id: &str, spec: &UserSpec) -> Result<User> {
        self.update(USER, id, spec)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_user(&self, id: &str) -> Result<()> {
        self.delete(Service::Identity, &path_of(USER, id))
    }

    /// The projects, of one domain or of all.
    ///
    /// # Errors
    /// Any kind.
    pub fn projects(&self, domain_id: Option<&str>) -> Result<Vec<Project>> {
        self.all(PROJECT, &in_domain(domain_id))
    }

    /// A project by id or name. An id wins; a name of several projects is `Ambiguous`.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous` and any other kind.
    pub fn find_project(&self, name_or_id: &str, domain_id: Option<&str>) -> Result<Project> {
        self.find(PROJECT, name_or_id, domain_id, |project: &Project| {
            &project.id
        })
    }

    /// Makes a project.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_project(&self, spec: &ProjectSpec) -> Result<Project> {
        self.create(PROJECT, spec)
    }

    /// Changes a project.
    ///
    /// # Errors
    /// Any kind.
    pub fn update_project(&self, id: &str, spec: &ProjectSpec) -> Result<Project> {
        self.update(PROJECT, id, spec)
    }

    /// Deletes a project.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_project(&self, id: &str) -> Result<()> {
        self.delete(Service::Identity, &path_of(PROJECT, id))
    }

    /// The id of a domain by id or name.
    ///
    /// # Errors
    /// `NotFound` and any other kind.
    pub fn find_domain(&self, name_or_id: &str) -> Result<String> {
        let found: Value = self.find(DOMAIN, name_or_id, None, |domain: &Value| {
            domain["id"].as_str().unwrap_or_default()
        })?;
        Ok(found["id"].as_str().unwrap_or_default().to_owned())
    }

    /// The roles that can be granted.
    ///
    /// # Errors
    /// Any kind.
    pub fn roles(&self) -> Result<Vec<Role>> {
        self.all(ROLE, "")
    }

    /// A role by id or name.
    ///
    /// # Errors
    /// `NotFound` and any other kind.
    pub fn find_role(&self, name_or_id: &str) -> Result<Role> {
        self.find(ROLE, name_or_id, None, |role: &Role| &role.id)
    }

    /// Makes a role.
    ///
    /// # Errors
    /// Any kind.
    pub fn create_role(&self, name: &str, description: Option<&str>) -> Result<Role> {
        let mut spec = json!({ "name": name });
        if let Some(description) = description {
            spec["description"] = json!(description);
        }
        self.create(ROLE, &spec)
    }

    /// Deletes a role.
    ///
    /// # Errors
    /// Any kind.
    pub fn delete_role(&self, id: &str) -> Result<()> {
        self.delete(Service::Identity, &path_of(ROLE, id))
    }

    /// The roles of a user on a target, without those that they imply.
    ///
    /// # Errors
    /// Any kind.
    pub fn roles_of(&self, user_id: &str, target: &Target) -> Result<Vec<Role>> {
        let body: Value = self.get(Service::Identity, &target.roles(user_id))?;
        taken(body, ROLE.1)
    }

    /// Gives a user a role.
    ///
    /// # Errors
    /// Any kind.
    pub fn grant_role(&self, role_id: &str, user_id: &str, target: &Target) -> Result<()> {
        let path = format!("{}/{}", target.roles(user_id), escape(role_id));
        self.put_empty(Service::Identity, &path)
    }

    /// Takes a role of a user.
    ///
    /// # Errors
    /// Any kind.
    pub fn revoke_role(&self, role_id: &str, user_id: &str, target: &Target) -> Result<()> {
        let path = format!("{}/{}", target.roles(user_id), escape(role_id));
        self.delete(Service::Identity, &path)
    }

    /// A token of the cloud's credentials, which stays valid.
    ///
    /// # Errors
    /// Those of logging in.
    pub fn token(&self) -> Result<OwnToken> {
        let session = self.session()?;
        Ok(OwnToken {
            id: session.token.reveal().to_owned(),
            expires_at: session.expires_at.clone(),
            user_id: session.user.clone(),
            project_id: session.project.clone(),
        })
    }

    /// Ends a token.
    ///
    /// # Errors
    /// Any kind.
    pub fn revoke_token(&self, token: &str) -> Result<()> {
        self.delete_subject("auth/tokens", &Secret::new(token))
    }

    fn all<T: DeserializeOwned>(&self, kind: Kind, query: &str) -> Result<Vec<T>> {
        let body: Value = self.get(Service::Identity, &format!("{}{query}", kind.1))?;
        taken(body, kind.1)
    }

    fn find<T: DeserializeOwned>(
        &self,
        kind: Kind,
        name_or_id: &str,
        domain_id: Option<&str>,
        id: impl Fn(&T) -> &str,
    ) -> Result<T> {
        let path = path_of(kind, name_or_id);
        match self.get::<Value>(Service::Identity, &path) {
            Ok(body) => return taken(body, kind.0),
            // Those who may see some of them only are not told which ids there are.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Forbidden) => {}
            Err(error) => return Err(error),
        }
        let domain = domain_id.map_or_else(String::new, |id| format!("&domain_id={}", escape(id)));
        let query = format!("?name={}{domain}", escape(name_or_id));
        only(kind.0, name_or_id, self.all(kind, &query)?, id)
    }

    fn create<T: DeserializeOwned>(&self, kind: Kind, spec: &impl Serialize) -> Result<T> {
        let body = json!({ kind.0: spec });
        taken(self.post(Service::Identity, kind.1, &body)?, kind.0)
    }

    fn update<T: DeserializeOwned>(
        &self,
        kind: Kind,
        id: &str,
        spec: &impl Serialize,
    ) -> Result<T> {
        let body = json!({ kind.0: spec });
        taken(
            self.patch(Service::Identity, &path_of(kind, id), &body)?,
            kind.0,
        )
    }
}

fn in_domain(domain_id: Option<&str>) -> String {
    domain_id.map_or_else(String::new, |id| format!("?domain_id={}", escape(id)))
}

fn path_of(kind: Kind, id: &str) -> String {
    format!("{}/{}", kind.1, escape(id))
}

/// What a body wraps.
fn taken<T: DeserializeOwned>(mut body: Value, key: &str) -> Result<T> {
    serde_json::from_value(body[key].take()).map_err(|error| {
        let text = format!("the service's answer is not understood: {error}");
        Error::new(ErrorKind::Protocol, text)
    })
}
