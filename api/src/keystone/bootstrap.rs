//! What Identity holds from the first start.

use serde_json::Map;
use uuid::Uuid;

use super::catalog::INTERFACES;
use super::password;
use super::records::{
    Actor, BY_NAME, Base, Domain, Endpoint, Grant, Project, Region, Role, Service, Target, User,
};
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::fault::Fault;
use crate::server::Services;

/// Id of the domain every cloud has.
pub(super) const DEFAULT_DOMAIN: &str = "default";
/// The services of this daemon: type, name, base, path.
const SERVICES: [(&str, &str, Base, &str); 7] = [
    ("identity", "keystone", Base::Identity, "/v3/"),
    ("volumev3", "cinderv3", Base::Volume, "/v3/$(project_id)s"),
    (
        "block-storage",
        "cinder",
        Base::Volume,
        "/v3/$(project_id)s",
    ),
    // What clients of earlier years look for.
    ("volumev2", "cinderv2", Base::Volume, "/v2/$(project_id)s"),
    ("volume", "cinder", Base::Volume, "/v3/$(project_id)s"),
    ("image", "glance", Base::Image, ""),
    ("cinderblock", "cinderblock", Base::Native, ""),
];

/// A new id: 32 hex digits.
pub(super) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// Creates the default domain, the projects admin, service and demo, the roles and their chain, the
/// admin user, the region and this daemon's services, as far as they are missing. The password is
/// used only when the admin user is created.
///
/// # Errors
/// Those of the catalogue and of hashing.
pub fn bootstrap(services: &Services, admin_password: &str) -> Result<(), Fault> {
    let admin_user = services
        .catalogue()
        .read(|reader| reader.first::<User>(&in_default("admin")))?;
    let password = match admin_user {
        Some(_) => None,
        None => Some(password::Hash::new(admin_password)?),
    };
    services.catalogue().write(|writer| {
        domain(writer)?;
        let admin_project = project(writer, "admin", "Operators of this cloud")?;
        project(writer, "service", "Services of this cloud")?;
        project(writer, "demo", "For trying things out")?;
        let admin_role = roles(writer)?;
        if let Some(password) = password {
            admin(writer, password, &admin_project, &admin_role)?;
        }
        endpoints(writer, &services.config().region)
    })?;
    Ok(())
}

fn in_default(name: &str) -> Query {
    Query::by(BY_NAME, Key::new().text(name).text(DEFAULT_DOMAIN))
}

fn domain(writer: &Writer) -> catalogue::Result<()> {
    if writer.get::<Domain>(DEFAULT_DOMAIN)?.is_some() {
        return Ok(());
    }
    writer.put(&Domain {
        id: DEFAULT_DOMAIN.to_owned(),
        name: "Default".to_owned(),
        description: "The default domain".to_owned(),
        enabled: true,
        tags: Vec::new(),
        immutable: None,
        extra: Map::new(),
        epoch: 0,
    })
}

fn project(writer: &Writer, name: &str, description: &str) -> catalogue::Result<String> {
    if let Some(project) = writer.first::<Project>(&in_default(name))? {
        return Ok(project.id);
    }
    let project = Project {
        id: new_id(),
        name: name.to_owned(),
        domain_id: DEFAULT_DOMAIN.to_owned(),
        parent_id: DEFAULT_DOMAIN.to_owned(),
        description: description.to_owned(),
        enabled: true,
        tags: Vec::new(),
        immutable: None,
        extra: Map::new(),
        epoch: 0,
    };
    writer.put(&project)?;
    Ok(project.id)
}

/// Creates the roles from the weakest up, so that each can name the one it implies; returns admin's
/// id.
fn roles(writer: &Writer) -> catalogue::Result<String> {
    let reader = role(writer, "reader", Vec::new())?;
    let member = role(writer, "member", vec![reader])?;
    let manager = role(writer, "manager", vec![member])?;
    role(writer, "service", Vec::new())?;
    role(writer, "admin", vec![manager])
}

fn role(writer: &Writer, name: &str, implies: Vec<String>) -> catalogue::Result<String> {
    let by_name = Query::by(BY_NAME, Key::new().text(name));
    let known = writer.list::<Role>(&by_name)?;
    // Domains may have roles of the same names.
    if let Some(role) = known.into_iter().find(|role| role.domain_id.is_none()) {
        return Ok(role.id);
    }
    let role = Role {
        id: new_id(),
        name: name.to_owned(),
        description: None,
        domain_id: None,
        implies,
        immutable: Some(true),
        extra: Map::new(),
    };
    writer.put(&role)?;
    Ok(role.id)
}

fn admin(
    writer: &Writer,
    password: password::Hash,
    project_id: &str,
    role_id: &str,
) -> catalogue::Result<()> {
    let user = User {
        id: new_id(),
        name: "admin".to_owned(),
        domain_id: DEFAULT_DOMAIN.to_owned(),
        enabled: true,
        default_project_id: None,
        extra: Map::new(),
        options: Map::new(),
        password: Some(password),
        epoch: 0,
    };
    writer.put(&user)?;
    let on_project = Target::Project(project_id.to_owned());
    for target in [on_project, Target::System] {
        let actor = Actor::User(user.id.clone());
        writer.put(&Grant::new(target, actor, role_id, false))?;
    }
    Ok(())
}

fn endpoints(writer: &Writer, region: &str) -> catalogue::Result<()> {
    if writer.get::<Region>(region)?.is_none() {
        writer.put(&Region {
            id: region.to_owned(),
            description: String::new(),
            parent_region_id: None,
            extra: Map::new(),
        })?;
    }
    for (kind, name, base, path) in SERVICES {
        let by_type = Query::by(BY_NAME, Key::new().text(kind));
        if writer.first::<Service>(&by_type)?.is_some() {
            continue;
        }
        let service = Service {
            id: new_id(),
            kind: kind.to_owned(),
            name: Some(name.to_owned()),
            description: Some(String::new()),
            enabled: true,
            extra: Map::new(),
        };
        writer.put(&service)?;
        for interface in INTERFACES {
            writer.put(&Endpoint {
                id: new_id(),
                service_id: service.id.clone(),
                interface: interface.to_owned(),
                region_id: Some(region.to_owned()),
                url: path.to_owned(),
                base,
                makes_region: false,
                enabled: true,
                name: None,
                extra: Map::new(),
            })?;
        }
    }
    Ok(())
}
