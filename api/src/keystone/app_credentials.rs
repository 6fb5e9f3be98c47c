//! `/v3/users/{id}/application_credentials`: names and secrets that programs log in with.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access_rules::{self, shown as shown_rule};
use super::bootstrap::new_id;
use super::calls::is_same;
use super::delegations::{AccessRule, AppCredential};
use super::operations::collection;
use super::options;
use super::password::Hash;
use super::records::{BY_NAME, BY_USER, Role, Target};
use super::resource::{Attributes, Reply, created, list as listed, no_content, ok, require_self};
use super::rights::{roles_of, with_implied};
use super::{texts, tokens};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{self, Key, Query, View, Writer};
use crate::clock::volume_time;
use crate::fault::{Fault, IdentityFault};
use crate::openapi::shape::{
    Field, Shape, any, field, flag, list, map_of, maybe, null, object, text, text_of, time, wrapped,
};
use crate::openapi::{Operation, Parameter, Routes, parameter};
use crate::page::Params;
use crate::server::Services;

/// Longest name.
const NAME_MAX: usize = 255;
/// Longest secret; hashing more would only burn time.
const SECRET_MAX: usize = 255;
/// Longest description.
const DESCRIPTION_MAX: usize = 4096;
/// Random bytes of a secret that is made here, as many as the real service's.
const SECRET_BYTES: usize = 64;
/// Most credentials of a user, so that no user can fill the catalogue.
const OF_USER_MAX: usize = 500;
/// Most roles a body may name.
const ROLES_MAX: usize = 64;
/// What the real service's texts call one.
const KIND: &str = "Application Credential";

const ALL: &str = "/v3/users/{user_id}/application_credentials";
const ONE: &str = "/v3/users/{user_id}/application_credentials/{application_credential_id}";
const FILTERS: &[Parameter] = &[parameter("name", text, "Those of this name.")];

/// The routes of application credentials.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(
            Operation::get(ALL, "List a user's application credentials.")
                .query(&[FILTERS])
                .answers(200, || {
                    collection("application_credentials", object(fields()))
                }),
            index,
        )
        .on(
            Operation::post(ALL, "Create an application credential.")
                .body(new)
                .answers(201, made),
            create,
        )
        .on(
            Operation::get(ONE, "Show an application credential.")
                .answers(200, || wrapped("application_credential", object(fields()))),
            show,
        )
        .on(
            Operation::delete(ONE, "End an application credential.").empty(204),
            delete,
        )
}

fn fields() -> Vec<Field> {
    let role = object([
        field("id", text()),
        field("name", text()),
        field("domain_id", text().or_null()),
        field("description", text().or_null()),
        field("options", map_of(any())),
    ]);
    vec![
        field("id", text()),
        field("name", text()),
        field("description", text().or_null()),
        field("user_id", text()),
        field("project_id", text()),
        field("system", null()),
        field("roles", list(role.open())),
        field("expires_at", time().or_null()),
        field("unrestricted", flag().or_null()),
        maybe("access_rules", list(access_rules::shape(false))),
        field("links", wrapped("self", text())),
    ]
}

fn made() -> Shape {
    let secret = [field("secret", text())];
    wrapped(
        "application_credential",
        object(fields().into_iter().chain(secret)),
    )
}

fn new() -> Shape {
    let role = object([maybe("id", text()), maybe("name", text())]);
    let credential = object([
        maybe("id", text()),
        field("name", text_of(1, NAME_MAX)),
        maybe("secret", text_of(0, SECRET_MAX).or_null()),
        maybe("description", text_of(0, DESCRIPTION_MAX).or_null()),
        maybe("project_id", text().or_null()),
        maybe("roles", list(role)),
        maybe("expires_at", text().or_null()),
        maybe("unrestricted", flag().or_null()),
        maybe("access_rules", list(access_rules::shape(true))),
    ]);
    wrapped("application_credential", credential)
}

/// 403 of a token that was itself handed over, but for an unrestricted credential's.
fn check_unrestricted(caller: &Caller) -> Result<(), Fault> {
    let bounds = &caller.bounds;
    if bounds.trust.is_some() || (bounds.app_credential.is_some() && !bounds.is_unrestricted) {
        let action = "Using method 'application_credential' is not allowed for managing additional \
                      application credentials.";
        return Err(texts::forbidden(action));
    }
    Ok(())
}

fn not_found(id: &str) -> Fault {
    texts::not_found(KIND, id)
}

/// What a body asks for, as far as it can be told without looking anything up.
struct Request {
    credential: AppCredential,
    secret: String,
    /// Roles by id or name; all of the token's when there are none.
    roles: Vec<Value>,
    rules: Vec<Value>,
}

impl Request {
    fn of(
        attributes: &Attributes,
        caller: &Caller,
        project_id: &str,
        now_us: u64,
    ) -> Result<Self, Fault> {
        let secret = attributes.text("secret", SECRET_MAX)?;
        let secret = match secret.filter(|secret| !secret.is_empty()) {
            Some(secret) => secret,
            None => tokens::random_text(SECRET_BYTES)?,
        };
        let roles = attributes.list("roles", ROLES_MAX)?.unwrap_or_default();
        let rules = attributes.list("access_rules", access_rules::OF_CREDENTIAL_MAX)?;
        let expires_us = attributes.future("expires_at", now_us)?;
        Ok(Self {
            credential: AppCredential {
                id: new_id(),
                name: attributes.name("name", NAME_MAX)?,
                user_id: caller.user_id.clone(),
                project_id: project_id.to_owned(),
                description: attributes.text("description", DESCRIPTION_MAX)?,
                roles: Vec::new(),
                expires_us,
                unrestricted: attributes.flag("unrestricted")?,
                access_rules: None,
                secret: Hash::new(&secret)?,
            },
            secret,
            roles: roles.to_vec(),
            rules: rules.unwrap_or_default().to_vec(),
        })
    }

    /// Keeps the credential if the user may hand over what it asks for.
    fn keep(mut self, writer: &Writer, caller: &Caller) -> Result<(AppCredential, String), Fault> {
        let user = &caller.user_id;
        let own = Query::by(BY_USER, Key::new().text(user));
        if writer.count::<AppCredential>(&own)? >= OF_USER_MAX as u64 {
            return Err(texts::forbidden_as_such(format!(
                "Unable to create additional application credentials, maximum of {OF_USER_MAX} \
                 already exceeded for user."
            )));
        }
        let name = &self.credential.name;
        let same = Query::by(BY_USER, Key::new().text(user).text(name));
        if writer.first::<AppCredential>(&same)?.is_some() {
            let detail = format!("Duplicate entry found with name {name}");
            return Err(texts::conflict("application_credential", &detail));
        }
        self.credential.roles = self.find_roles(writer, caller)?;
        if !self.rules.is_empty() {
            let rules = access_rules::take(writer, user, &self.rules)?;
            self.credential.access_rules = Some(rules);
        }
        writer.insert(&self.credential)?;
        Ok((self.credential, self.secret))
    }

    /// The ids of the roles asked for and of what they imply, all of which the caller's token must
    /// have: no token can hand over more than it has.
    fn find_roles(&self, view: &impl View, caller: &Caller) -> Result<Vec<String>, Fault> {
        let target = Target::Project(self.credential.project_id.clone());
        let mut owned = roles_of(view, &caller.user_id, &target)?;
        owned.retain(|role| caller.has_role(&role.name));
        if self.roles.is_empty() {
            return Ok(owned.into_iter().map(|role| role.id).collect());
        }
        let mut wanted = Vec::new();
        for reference in &self.roles {
            wanted.push(find_role(view, reference)?);
        }
        let roles = with_implied(view, wanted)?;
        let has = |role: &Role| owned.iter().any(|own| own.id == role.id);
        match roles.iter().all(has) {
            true => Ok(roles.into_iter().map(|role| role.id).collect()),
            false => Err(fault_of_credential(
                "Cannot create an application credential with unassigned role",
            )),
        }
    }
}

fn fault_of_credential(detail: &str) -> Fault {
    Fault::bad_request(format!("Invalid application credential: {detail}"))
}

/// The id of the role that a body names by id or by name.
pub(super) fn find_role(view: &impl View, reference: &Value) -> Result<String, Fault> {
    let part = |key: &str| reference.get(key).and_then(Value::as_str);
    match (part("id"), part("name")) {
        (Some(id), _) => {
            let role = view.get::<Role>(id)?;
            let role = role.ok_or_else(|| texts::not_found("role", id))?;
            Ok(role.id)
        }
        (None, Some(name)) => {
            let named = view.list::<Role>(&Query::by(BY_NAME, Key::new().text(name)))?;
            let role = named.into_iter().find(|role| role.domain_id.is_none());
            let missing = || Fault::not_found(format!("Role {name} is not defined"));
            Ok(role.ok_or_else(missing)?.id)
        }
        (None, None) => Err(texts::invalid(
            "roles",
            &reference.to_string(),
            "a role is named by its id or name",
        )),
    }
}

/// The credential as answers show it; never with its secret.
fn shown(services: &Services, credential: &AppCredential, parts: &Parts) -> Value {
    let base = services.config().identity_base();
    let roles = parts.roles.iter().map(|role| {
        json!({
            "id": role.id,
            "name": role.name,
            "domain_id": role.domain_id,
            "description": role.description,
            "options": options::shown(role.immutable),
        })
    });
    let mut body = json!({
        "id": credential.id,
        "name": credential.name,
        "description": credential.description,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "system": null,
        "roles": roles.collect::<Vec<Value>>(),
        "expires_at": credential.expires_us.map(volume_time),
        "unrestricted": credential.unrestricted,
        // The link is as the real service has it.
        "links": {"self": format!("{base}/v3/application_credentials/{}", credential.id)},
    });
    if let Some(rules) = &parts.rules {
        body["access_rules"] = rules.iter().map(shown_rule).collect();
    }
    body
}

/// What a credential only names.
struct Parts {
    roles: Vec<Role>,
    rules: Option<Vec<AccessRule>>,
}

impl Parts {
    fn of(view: &impl View, credential: &AppCredential) -> catalogue::Result<Self> {
        let mut roles = Vec::new();
        for id in &credential.roles {
            roles.extend(view.get::<Role>(id)?);
        }
        let mut rules = None;
        for id in credential.access_rules.iter().flatten() {
            let rules: &mut Vec<AccessRule> = rules.get_or_insert_default();
            rules.extend(view.get::<AccessRule>(id)?);
        }
        Ok(Self { roles, rules })
    }
}

/// The path of a credential.
#[derive(Deserialize)]
struct CredentialPath {
    user_id: String,
    application_credential_id: String,
}

impl CredentialPath {
    fn find(&self, view: &impl View) -> Result<AppCredential, Fault> {
        let id = &self.application_credential_id;
        let credential = view.get::<AppCredential>(id)?;
        let credential = credential.filter(|credential| credential.user_id == self.user_id);
        credential.ok_or_else(|| not_found(id))
    }
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    Path(user_id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    if caller.user_id != user_id {
        let rule = "identity:create_application_credential";
        return Err(texts::forbidden(rule).into());
    }
    check_unrestricted(&caller)?;
    let Some(project_id) = caller.project_id().map(str::to_owned) else {
        let detail = "the token is for no project";
        return Err(fault_of_credential(detail).into());
    };
    let attributes = Attributes::of(body, "application_credential")?;
    let (credential, secret, parts) = services
        .hashing(move |services| {
            let now_us = services.now_us();
            let request = Request::of(&attributes, &caller, &project_id, now_us)?;
            services.catalogue().write(|writer| {
                let (credential, secret) = request.keep(writer, &caller)?;
                let parts = Parts::of(writer, &credential)?;
                Ok::<_, Fault>((credential, secret, parts))
            })
        })
        .await?;
    let mut body = shown(&services, &credential, &parts);
    body["secret"] = json!(secret);
    created(json!({ "application_credential": body }))
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(user_id): Path<String>,
    uri: Uri,
    params: Params,
) -> Reply {
    require_self(&caller, &user_id, "identity:list_application_credentials")?;
    let items = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let own = Query::by(BY_USER, Key::new().text(&user_id));
                let mut items = Vec::new();
                for credential in reader.list::<AppCredential>(&own)? {
                    if is_same(&params, "name", &credential.name) {
                        let parts = Parts::of(reader, &credential)?;
                        items.push(shown(services, &credential, &parts));
                    }
                }
                Ok::<_, Fault>(items)
            })
        })
        .await?;
    listed(&services, "application_credentials", &uri, items)
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
) -> Reply {
    let rule = "identity:get_application_credential";
    require_self(&caller, &path.user_id, rule)?;
    let body = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let credential = path.find(reader)?;
                let parts = Parts::of(reader, &credential)?;
                Ok::<_, Fault>(shown(services, &credential, &parts))
            })
        })
        .await?;
    ok(json!({ "application_credential": body }))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
) -> Reply {
    let may = caller.user_id == path.user_id || caller.is_identity_admin();
    if !may {
        let rule = "identity:delete_application_credential";
        return Err(IdentityFault::from(texts::forbidden(rule)));
    }
    check_unrestricted(&caller)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let credential = path.find(writer)?;
                writer.delete::<AppCredential>(&credential.id)?;
                Ok::<_, Fault>(())
            })
        })
        .await?;
    no_content()
}
