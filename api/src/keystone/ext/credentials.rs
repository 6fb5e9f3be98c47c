//! `/v3/credentials`: secrets that users keep in Identity for other services, such as keys of EC2.
//!
//! A blob is the credential itself and may be any text. It is shown to its owner and administrators,
//! and nothing else is told of it: it is in no log and no `Debug`. It lies in the catalogue as it is,
//! for it must be shown again; the catalogue's file is for the daemon's user alone.

use axum::extract::{Path, State};
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::auth::{Caller, Scope};
use crate::body::IdentityBody;
use crate::catalogue::{self, Index, Key, Query, Record, View, Writer};
use crate::fault::{Fault, FaultKind};
use crate::keystone::bootstrap::new_id;
use crate::keystone::operations::{collection, links};
use crate::keystone::resource::{Reply, created, link, list, no_content, ok};
use crate::keystone::texts;
use crate::openapi::shape::{Shape, field, maybe, object, text, text_of, wrapped};
use crate::openapi::{Operation, Parameter, Routes, parameter};
use crate::page::Params;
use crate::server::Services;

/// Most credentials of a user: any user can make them.
const PER_USER_MAX: usize = 256;
/// Longest blob.
const BLOB_CHARS_MAX: usize = 64 << 10;
/// Longest type and id.
const NAME_MAX: usize = 255;
/// The type whose blobs are JSON with an access key, from which the id follows.
pub(super) const EC2: &str = "ec2";
/// What a blob says of the token that made it, and no update can change.
const BOUND_KEYS: [&str; 4] = ["trust_id", "app_cred_id", "access_token_id", "access_id"];

/// Credentials by their user.
const BY_OWNER: Index = Index("owner");

/// A stored credential.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Credential {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) blob: String,
    pub(super) user_id: String,
    pub(super) project_id: Option<String>,
}

impl Record for Credential {
    const TABLE: &'static str = "credentials";
    type Id = str;

    fn id(&self) -> &str {
        &self.id
    }

    fn index_keys(&self) -> Vec<(Index, Key)> {
        vec![(BY_OWNER, Key::new().text(&self.user_id))]
    }
}

impl Credential {
    /// The blob of a credential for EC2.
    pub(super) fn keys(&self) -> Result<Map<String, Value>, Fault> {
        let blob = serde_json::from_str(&self.blob);
        let keys = blob.map_err(|_| Fault::bad_request("Invalid blob in credential"))?;
        match keys {
            Value::Object(keys) if keys.get("access").is_some_and(|key| !key.is_null()) => Ok(keys),
            _ => Err(texts::expecting("access", "credential")),
        }
    }

    fn view(&self, services: &Services) -> Value {
        json!({
            "id": self.id,
            "type": self.kind,
            "blob": self.blob,
            "user_id": self.user_id,
            "project_id": self.project_id,
            "links": link(services, "credentials", &self.id),
        })
    }
}

/// The id of the credential with an access key, by which it is found.
pub(super) fn id_of_access(access: &str) -> String {
    blake3::hash(access.as_bytes()).to_hex().to_string()
}

const FILTERS: &[Parameter] = &[
    parameter("user_id", text, "Those of this user."),
    parameter("type", text, "Those of this type."),
];

const INDEX: Operation = Operation::get("/v3/credentials", "List credentials.")
    .query(&[FILTERS])
    .answers(200, || collection("credentials", shape()));
const CREATE: Operation = Operation::post("/v3/credentials", "Keep a credential.")
    .body(|| {
        let attributes = object([
            field("blob", text_of(0, BLOB_CHARS_MAX)),
            field("type", text_of(0, NAME_MAX)),
            field("user_id", text_of(0, NAME_MAX)),
            maybe("project_id", text_of(0, NAME_MAX).or_null()),
        ]);
        wrapped("credential", attributes.open()).open()
    })
    .answers(201, || wrapped("credential", shape()));
const SHOW: Operation = Operation::get("/v3/credentials/{credential_id}", "Show a credential.")
    .answers(200, || wrapped("credential", shape()));
const UPDATE: Operation = Operation::patch(
    "/v3/credentials/{credential_id}",
    "Change a credential's blob.",
)
.body(|| {
    let blob = wrapped("blob", text_of(0, BLOB_CHARS_MAX));
    wrapped("credential", blob).open()
})
.answers(200, || wrapped("credential", shape()));
const DELETE: Operation =
    Operation::delete("/v3/credentials/{credential_id}", "Delete a credential.").empty(204);

fn shape() -> Shape {
    object([
        field("id", text()),
        field("type", text()),
        field("blob", text()),
        field("user_id", text()),
        field("project_id", text().or_null()),
        field("links", links()),
    ])
    .named("Credential")
}

pub(super) fn routes() -> Routes {
    Routes::new()
        .on(INDEX, index)
        .on(CREATE, create)
        .on(SHOW, show)
        .on(UPDATE, update)
        .on(DELETE, delete)
}

/// Whether the caller may see what belongs to a user.
pub(super) fn may_see(caller: &Caller, user_id: &str) -> bool {
    let reads_system = caller.scope == Scope::System && caller.has_role("reader");
    is_itself(caller) && reads_system || may_change(caller, user_id)
}

/// Whether the caller may change what belongs to a user.
pub(super) fn may_change(caller: &Caller, user_id: &str) -> bool {
    is_itself(caller) && (caller.is_identity_admin() || caller.user_id == user_id)
}

/// Whether the token was not lent: who has a part of somebody's rights must not come by the rest
/// through a credential.
pub(super) fn is_itself(caller: &Caller) -> bool {
    caller.bounds.app_credential.is_none() && caller.bounds.trust.is_none()
}

/// A credential that the caller may reach. To those who could not, what is not there is forbidden.
fn find(
    view: &impl View,
    caller: &Caller,
    id: &str,
    rule: &str,
    permits: fn(&Caller, &str) -> bool,
) -> Result<Credential, Fault> {
    let found = view.get::<Credential>(id)?;
    let owner = found.as_ref().map_or("", |found| &found.user_id);
    if !permits(caller, owner) {
        return Err(texts::forbidden(rule));
    }
    found.ok_or_else(|| texts::not_found("credential", id))
}

/// A user's credentials.
pub(super) fn of_user(view: &impl View, user_id: &str) -> catalogue::Result<Vec<Credential>> {
    view.list(&Query::by(BY_OWNER, Key::new().text(user_id)))
}

/// Keeps a new credential.
pub(super) fn insert(writer: &Writer, credential: &Credential) -> Result<(), Fault> {
    if of_user(writer, &credential.user_id)?.len() >= PER_USER_MAX {
        let message = format!(
            "Unable to create additional credentials, maximum of {PER_USER_MAX} already exceeded for user."
        );
        return Err(Fault::new(FaultKind::Forbidden, message));
    }
    if writer.get::<Credential>(&credential.id)?.is_some() {
        let detail = format!("Duplicate entry found with ID {}", credential.id);
        return Err(texts::conflict("credential", &detail));
    }
    Ok(writer.insert(credential)?)
}

/// Removes the credentials of a user who goes.
pub(crate) fn remove_of_user(writer: &Writer, user_id: &str) -> catalogue::Result<()> {
    for credential in of_user(writer, user_id)? {
        writer.delete::<Credential>(&credential.id)?;
    }
    Ok(())
}

/// Removes the credentials for a project that goes.
pub(crate) fn remove_of_project(writer: &Writer, project_id: &str) -> catalogue::Result<()> {
    for credential in writer.list::<Credential>(&Query::all())? {
        if credential.project_id.as_deref() == Some(project_id) {
            writer.delete::<Credential>(&credential.id)?;
        }
    }
    Ok(())
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    let found = services
        .blocking(move |services| {
            let (catalogue, user) = (services.catalogue(), params.get("user_id"));
            let mut found = catalogue.read(|view| match user {
                Some(user) => of_user(view, user),
                None if may_see(&caller, "") => view.list::<Credential>(&Query::all()),
                None => of_user(view, &caller.user_id),
            })?;
            let kind = params.get("type");
            found.retain(|credential| {
                let is_of = kind.is_none_or(|kind| kind == credential.kind);
                is_of && may_see(&caller, &credential.user_id)
            });
            Ok(found)
        })
        .await?;
    let items = found.iter().map(|credential| credential.view(&services));
    list(&services, "credentials", &uri, items.collect())
}

/// The object that a body wraps.
fn wrapped_in(mut body: Value) -> Result<Map<String, Value>, Fault> {
    match body.get_mut("credential").map(Value::take) {
        Some(Value::Object(attributes)) => Ok(attributes),
        Some(_) | None => Err(texts::expecting("credential", "request body")),
    }
}

/// A text of the body; faults name the field and never repeat its value.
fn required(attributes: &Map<String, Value>, name: &str, max: usize) -> Result<String, Fault> {
    match attributes.get(name) {
        Some(Value::String(text)) if text.chars().count() <= max => Ok(text.clone()),
        Some(Value::String(_)) => Err(Fault::bad_request(format!("'{name}' is too long"))),
        Some(_) => Err(Fault::bad_request(format!(
            "'{name}' is not of type 'string'"
        ))),
        None => Err(Fault::bad_request(format!(
            "'{name}' is a required property"
        ))),
    }
}

fn new_credential(attributes: &Map<String, Value>) -> Result<Credential, Fault> {
    let project_id = match attributes.get("project_id") {
        None | Some(Value::Null) => None,
        Some(_) => Some(required(attributes, "project_id", NAME_MAX)?),
    };
    let mut credential = Credential {
        id: new_id(),
        kind: required(attributes, "type", NAME_MAX)?,
        blob: required(attributes, "blob", BLOB_CHARS_MAX)?,
        user_id: required(attributes, "user_id", NAME_MAX)?,
        project_id,
    };
    if credential.kind.eq_ignore_ascii_case(EC2) {
        if credential.project_id.is_none() {
            return Err(Fault::bad_request("'project_id' is a required property"));
        }
        let keys = credential.keys()?;
        let access = keys["access"].as_str();
        let access = access.ok_or_else(|| texts::expecting("access", "credential"))?;
        credential.id = id_of_access(access);
    }
    Ok(credential)
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let credential = new_credential(&wrapped_in(body)?)?;
    if !may_change(&caller, &credential.user_id) {
        return Err(texts::forbidden("identity:create_credential").into());
    }
    let credential = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.write(|writer| insert(writer, &credential))?;
            Ok(credential)
        })
        .await?;
    created(json!({"credential": credential.view(&services)}))
}

async fn show(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    let rule = "identity:get_credential";
    let found = services
        .blocking(move |services| {
            let catalogue = services.catalogue();
            catalogue.read(|view| find(view, &caller, &id, rule, may_see))
        })
        .await?;
    ok(json!({"credential": found.view(&services)}))
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = wrapped_in(body)?;
    let blob = required(&attributes, "blob", BLOB_CHARS_MAX)?;
    if attributes.len() > 1 {
        let message = "Additional properties are not allowed: only the blob can be changed";
        return Err(Fault::bad_request(message).into());
    }
    let rule = "identity:update_credential";
    let changed = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let old = find(writer, &caller, &id, rule, may_change)?;
                let new = Credential {
                    blob,
                    ..old.clone()
                };
                check_update(&old, &new)?;
                writer.put(&new)?;
                Ok::<_, Fault>(new)
            })
        })
        .await?;
    ok(json!({"credential": changed.view(&services)}))
}

/// Refuses a blob for EC2 that is none, or that would widen what its maker could do.
fn check_update(old: &Credential, new: &Credential) -> Result<(), Fault> {
    if !old.kind.eq_ignore_ascii_case(EC2) {
        return Ok(());
    }
    let (old, new) = (old.keys()?, new.keys()?);
    match BOUND_KEYS
        .iter()
        .find(|key| old.get(**key) != new.get(**key))
    {
        Some(key) => {
            let message = format!("{key} can not be updated for credential");
            Err(Fault::bad_request(message))
        }
        None => Ok(()),
    }
}

async fn delete(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    let rule = "identity:delete_credential";
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                find(writer, &caller, &id, rule, may_change)?;
                writer.delete::<Credential>(&id)?;
                Ok::<_, Fault>(())
            })
        })
        .await?;
    no_content()
}
