//! What a token stands for, as v2.0 shows it: one value, written as JSON or as XML.

use serde_json::{Value, json};

use super::catalog::ServiceEntry;
use super::xml::Element;
use crate::clock::volume_time;
use crate::keystone::bootstrap::DEFAULT_DOMAIN;
use crate::keystone::records::{Project, Role};
use crate::keystone::tokens::{Resolved, ResolvedScope};

/// A tenant as v2.0 shows it.
pub(super) struct Tenant {
    id: String,
    name: String,
    description: Option<String>,
    enabled: bool,
}

impl Tenant {
    pub(super) fn of(project: Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            description: Some(project.description).filter(|text| !text.is_empty()),
            enabled: project.enabled,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "description": self.description,
            "enabled": self.enabled,
            "id": self.id,
            "name": self.name,
        })
    }

    /// Without the description when there is none: XML has no null.
    pub(super) fn xml(&self) -> Element {
        let element = Element::new("tenant")
            .with("enabled", self.enabled.to_string())
            .with("name", self.name.as_str())
            .with("id", self.id.as_str());
        match &self.description {
            Some(text) => element.with("description", text.as_str()),
            None => element,
        }
    }
}

/// A token with all that it stands for.
pub(super) struct Access {
    token: String,
    issued_at: String,
    expires: String,
    tenant: Option<Tenant>,
    services: Vec<ServiceEntry>,
    user_id: String,
    user_name: String,
    roles: Vec<Role>,
}

impl Access {
    /// That of a token, given its text; `None` when v2.0 has no words for it: a user or project of
    /// another domain than `default`, or a scope that is no project.
    pub(super) fn of(token: &str, resolved: Resolved, services: Vec<ServiceEntry>) -> Option<Self> {
        let tenant = match resolved.scope {
            ResolvedScope::Unscoped => None,
            ResolvedScope::Project(project, domain) if domain.id == DEFAULT_DOMAIN => {
                Some(Tenant::of(*project))
            }
            ResolvedScope::Project(..) | ResolvedScope::Domain(_) | ResolvedScope::System => {
                return None;
            }
        };
        (resolved.user_domain.id == DEFAULT_DOMAIN).then(|| Self {
            token: token.to_owned(),
            issued_at: volume_time(resolved.token.issued_us),
            expires: whole_seconds(resolved.token.expires_us),
            tenant,
            services,
            user_id: resolved.user.id,
            user_name: resolved.user.name,
            roles: resolved.roles,
        })
    }

    pub(super) fn tenant_id(&self) -> Option<&str> {
        self.tenant.as_ref().map(Tenant::id)
    }

    pub(super) fn services(&self) -> &[ServiceEntry] {
        &self.services
    }

    /// 1 for those with the role admin, as a number: booleans came later.
    fn is_admin(&self) -> u8 {
        u8::from(self.roles.iter().any(|role| role.name == "admin"))
    }

    /// `{"access": {...}}`.
    pub(super) fn json(&self) -> Value {
        let mut token = json!({
            "issued_at": self.issued_at,
            "expires": self.expires,
            "id": self.token,
        });
        if let Some(tenant) = &self.tenant {
            token["tenant"] = tenant.json();
        }
        let roles = self.roles.iter();
        let names: Vec<Value> = roles
            .clone()
            .map(|role| json!({"name": role.name}))
            .collect();
        let ids: Vec<&str> = roles.map(|role| role.id.as_str()).collect();
        let services: Vec<Value> = self.services.iter().map(ServiceEntry::json).collect();
        json!({"access": {
            "token": token,
            "serviceCatalog": services,
            "user": {
                "username": self.user_name,
                "roles_links": [],
                "id": self.user_id,
                "roles": names,
                "name": self.user_name,
            },
            "metadata": {"is_admin": self.is_admin(), "roles": ids},
        }})
    }

    /// `<access>`.
    pub(super) fn xml(&self) -> Element {
        let token = Element::new("token")
            .with("issued_at", self.issued_at.as_str())
            .with("expires", self.expires.as_str())
            .with("id", self.token.as_str())
            .holding(self.tenant.as_ref().map(Tenant::xml));
        let services = self.services.iter().map(ServiceEntry::xml);
        let names = self.roles.iter();
        let names = names.map(|role| Element::new("role").with("name", role.name.as_str()));
        let ids = self.roles.iter();
        let ids = ids.map(|role| Element::new("role").saying(&role.id));
        let user = Element::new("user")
            .with("username", self.user_name.as_str())
            .with("id", self.user_id.as_str())
            .with("name", self.user_name.as_str())
            .holding([Element::new("roles_links")])
            .holding(names);
        let metadata = Element::new("metadata")
            .with("is_admin", self.is_admin().to_string())
            .holding([Element::new("roles").holding(ids)]);
        let catalog = Element::new("serviceCatalog").holding(services);
        Element::new("access").holding([token, catalog, user, metadata])
    }
}

/// `2014-01-31T15:30:58Z`.
fn whole_seconds(us: u64) -> String {
    let time = volume_time(us);
    format!("{}Z", time.split('.').next().unwrap_or(&time))
}
