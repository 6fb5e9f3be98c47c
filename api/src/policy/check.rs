//! A parsed expression, and what it is evaluated against.

use crate::auth::Scope;

/// What absent credentials compare equal to, as in the real service.
const NONE: &str = "None";

/// An expression; `R` is how it refers to rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check<R> {
    /// `@` and the empty expression.
    Always,
    /// `!`.
    Never,
    /// `not a`.
    Not(Box<Self>),
    /// `a and b`.
    All(Vec<Self>),
    /// `a or b`.
    Any(Vec<Self>),
    /// `rule:name`.
    Rule(R),
    /// `role:name`, in lower case.
    Role(String),
    /// `credential:text`.
    Is(Credential, String),
    /// `credential:%(field)s`.
    Matches(Credential, Field),
    /// `'text':%(field)s`.
    Has(String, Field),
}

/// What is known of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    UserId,
    UserDomainId,
    ProjectId,
    ProjectDomainId,
    DomainId,
    SystemScope,
    IsAdmin,
    IsAdminProject,
}

impl Credential {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "user_id" => Self::UserId,
            "user_domain_id" => Self::UserDomainId,
            "project_id" => Self::ProjectId,
            "project_domain_id" => Self::ProjectDomainId,
            "domain_id" => Self::DomainId,
            "system_scope" => Self::SystemScope,
            "is_admin" => Self::IsAdmin,
            "is_admin_project" => Self::IsAdminProject,
            _ => return None,
        })
    }
}

/// What is known of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Project,
    User,
    /// No object of Block Storage is of a domain: matches nobody.
    Domain,
}

impl Field {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "project_id" => Self::Project,
            "user_id" => Self::User,
            "domain_id" => Self::Domain,
            _ => return None,
        })
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The user's id.
    pub user_id: &'a str,
    /// The domain of the user.
    pub user_domain_id: &'a str,
    /// What the token is good for.
    pub scope: &'a Scope,
    /// Names of the roles.
    pub roles: &'a [String],
    /// What `is_admin` is.
    pub is_admin: bool,
}

impl<'a> Credentials<'a> {
    fn value(&self, credential: Credential) -> Option<&'a str> {
        match (credential, self.scope) {
            (Credential::UserId, _) => Some(self.user_id),
            (Credential::UserDomainId, _) => Some(self.user_domain_id),
            (Credential::ProjectId, Scope::Project { id, .. })
            | (Credential::DomainId, Scope::Domain { id }) => Some(id),
            (Credential::ProjectDomainId, Scope::Project { domain_id, .. }) => Some(domain_id),
            (Credential::SystemScope, Scope::System) => Some("all"),
            (Credential::IsAdmin, _) => Some(if self.is_admin { "True" } else { "False" }),
            // No project is set apart for admins, so that each is as good as the other.
            (Credential::IsAdminProject, _) => Some("True"),
            (
                Credential::ProjectId
                | Credential::ProjectDomainId
                | Credential::DomainId
                | Credential::SystemScope,
                _,
            ) => None,
        }
    }
}

/// What is to be acted on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Target<'a> {
    /// The project it is in; `None` matches nobody's.
    pub project_id: Option<&'a str>,
    /// The user who made it, where that is known.
    pub user_id: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn value(&self, field: Field) -> Option<&'a str> {
        match field {
            Field::Project => self.project_id,
            Field::User => self.user_id,
            Field::Domain => None,
        }
    }
}

/// An object of a project.
impl<'a> From<&'a str> for Target<'a> {
    fn from(project: &'a str) -> Self {
        Self {
            project_id: Some(project),
            user_id: None,
        }
    }
}

/// An object of a project.
impl<'a> From<&'a String> for Target<'a> {
    fn from(project: &'a String) -> Self {
        Self::from(project.as_str())
    }
}

impl Check<usize> {
    /// Whether it holds; `rules` are what it refers to.
    pub(super) fn holds(
        &self,
        rules: &[Self],
        credentials: &Credentials<'_>,
        target: &Target<'_>,
    ) -> bool {
        let holds = |check: &Self| check.holds(rules, credentials, target);
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Not(check) => !holds(check),
            Self::All(checks) => checks.iter().all(holds),
            Self::Any(checks) => checks.iter().any(holds),
            Self::Rule(index) => holds(&rules[*index]),
            Self::Role(wanted) => {
                let mut roles = credentials.roles.iter();
                roles.any(|role| role.to_lowercase() == *wanted)
            }
            Self::Is(credential, text) => credentials.value(*credential).unwrap_or(NONE) == text,
            Self::Matches(credential, field) => {
                // What neither side has is not the same.
                let own = credentials.value(*credential);
                own.is_some() && own == target.value(*field)
            }
            Self::Has(text, field) => target.value(*field) == Some(text),
        }
    }
}
