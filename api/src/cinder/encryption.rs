//! `/types/{id}/encryption`: how volumes of a type are to be encrypted.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::records::VolumeType;
use super::validate::CONTROL_LOCATIONS;
use super::{moving, type_calls, validate};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{self, Record, View, Writer};
use crate::cinder::operations::types as ops;
use crate::clock::volume_time;
use crate::fault::Fault;
use crate::openapi::Routes;
use crate::policy::Rule;
use crate::server::Services;

/// Longest text.
const TEXT_MAX: usize = 255;
/// Largest key in bits.
const KEY_SIZE_MAX: u64 = 0x7fff_ffff;

/// How volumes of a type are to be encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Encryption {
    pub(super) volume_type_id: Uuid,
    pub(super) encryption_id: Uuid,
    pub(super) provider: String,
    /// `front-end` or `back-end`.
    pub(super) control_location: String,
    pub(super) cipher: Option<String>,
    /// In bits.
    pub(super) key_size: Option<u64>,
    /// Microseconds since 1970.
    pub(super) created_us: u64,
    /// Microseconds since 1970, once something has changed.
    pub(super) updated_us: Option<u64>,
}

impl Record for Encryption {
    const TABLE: &'static str = "type_encryptions";
    type Id = Uuid;

    fn id(&self) -> &Uuid {
        &self.volume_type_id
    }
}

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(ops::ENCRYPTION, index)
        .on(ops::CREATE_ENCRYPTION, create)
        .on(ops::ENCRYPTION_KEY, show)
        .on(ops::UPDATE_ENCRYPTION, update)
        .on(ops::DELETE_ENCRYPTION, remove)
}

/// How volumes of a type are to be encrypted, if they are.
///
/// # Errors
/// Those of the catalogue.
pub(super) fn of_type(view: &impl View, id: Uuid) -> catalogue::Result<Option<Encryption>> {
    view.get(&id)
}

/// Whether two types ask for different encryption, or one of them for none.
///
/// # Errors
/// Those of the catalogue.
pub(super) fn differs(view: &impl View, one: Uuid, other: Uuid) -> catalogue::Result<bool> {
    let wanted = |found: Encryption| {
        let how = (found.provider, found.control_location);
        (how, found.cipher, found.key_size)
    };
    Ok(of_type(view, one)?.map(wanted) != of_type(view, other)?.map(wanted))
}

/// What the key of an encrypted volume or backup is called. No client can do anything with it but
/// tell keys apart: the store keeps them to itself.
pub(super) fn key_id(object: Uuid) -> Uuid {
    Uuid::new_v5(&object, b"encryption key")
}

/// Refuses a type for a volume that comes from one of another type, if they ask for different
/// encryption: a clone shares chunks with its source, which are encrypted or are not.
///
/// # Errors
/// 400 when they differ, and those of the catalogue.
pub(super) fn check_same(
    view: &impl View,
    from: Option<Uuid>,
    volume_type: &VolumeType,
) -> Result<(), Fault> {
    let Some(from) = from else { return Ok(()) };
    if !differs(view, from, volume_type.id)? {
        return Ok(());
    }
    Err(Fault::bad_request(format!(
        "Invalid input received: Invalid volume_type provided: {} (requested type is not \
         compatible; recommend omitting the type argument).",
        volume_type.id
    )))
}

/// Removes what a type that goes said of encryption.
///
/// # Errors
/// Those of the catalogue.
pub(super) fn forget(writer: &Writer, id: Uuid) -> catalogue::Result<()> {
    writer.delete::<Encryption>(&id).map(drop)
}

fn missing(type_id: &str) -> Fault {
    Fault::not_found(format!(
        "Volume type encryption for type {type_id} does not exist."
    ))
}

fn view(found: &Encryption) -> Map<String, Value> {
    let shown = json!({
        "volume_type_id": found.volume_type_id,
        "encryption_id": found.encryption_id,
        "provider": found.provider,
        "control_location": found.control_location,
        "cipher": found.cipher,
        "key_size": found.key_size,
        "created_at": volume_time(found.created_us),
        "updated_at": found.updated_us.map(volume_time),
        "deleted": false,
        "deleted_at": null,
    });
    match shown {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

async fn read(services: &Services, type_id: String) -> Result<Option<Encryption>, Fault> {
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let found = type_calls::find(reader, None, &type_id)?;
                Ok(of_type(reader, found.id)?)
            })
        })
        .await
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(type_id): Path<String>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeTypeEncryptionGet)?;
    let found = read(&services, type_id).await?;
    Ok(Json(Value::Object(
        found.as_ref().map(view).unwrap_or_default(),
    )))
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path((type_id, key)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    caller.check_own(Rule::VolumeTypeEncryptionGet)?;
    let found = read(&services, type_id.clone()).await?;
    let value = found.and_then(|found| view(&found).remove(&key));
    match value {
        Some(value) => Ok(Json(json!({ key: value }))),
        None => Err(missing(&type_id)),
    }
}

/// What a body says; what it does not say is absent.
#[derive(Default)]
struct Wanted {
    provider: Option<String>,
    control_location: Option<String>,
    cipher: Option<String>,
    key_size: Option<u64>,
}

impl Wanted {
    fn parse(map: &Map<String, Value>) -> Result<Self, Fault> {
        Ok(Self {
            provider: provider(map)?,
            control_location: control_location(map)?,
            cipher: validate::text(map, "cipher")?,
            key_size: key_size(map)?,
        })
    }

    fn apply(self, to: &mut Encryption) {
        if let Some(provider) = self.provider {
            to.provider = provider;
        }
        if let Some(control_location) = self.control_location {
            to.control_location = control_location;
        }
        to.cipher = self.cipher.or(to.cipher.take());
        to.key_size = self.key_size.or(to.key_size);
    }
}

fn provider(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match map.get("provider") {
        None => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= TEXT_MAX => Ok(Some(text.clone())),
        Some(value @ Value::String(text)) => Err(validate::invalid(
            "provider",
            value,
            &format!("'{text}' is too long"),
        )),
        Some(other) => {
            let reason = format!("{} is not of type 'string'", validate::repr(other));
            Err(validate::invalid("provider", other, &reason))
        }
    }
}

fn control_location(map: &Map<String, Value>) -> Result<Option<String>, Fault> {
    match map.get("control_location") {
        None => Ok(None),
        Some(Value::String(word)) if CONTROL_LOCATIONS.contains(&word.as_str()) => {
            Ok(Some(word.clone()))
        }
        Some(other) => {
            let shown = validate::repr(other);
            let reason = format!("{shown} is not one of ['front-end', 'back-end']");
            Err(validate::invalid("control_location", other, &reason))
        }
    }
}

/// A number of bits, which may be a text of digits.
fn key_size(map: &Map<String, Value>) -> Result<Option<u64>, Fault> {
    let value = match map.get("key_size") {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    match number.filter(|bits| *bits <= KEY_SIZE_MAX) {
        Some(bits) => Ok(Some(bits)),
        None => {
            let reason = format!("{} is not a 'key_size'", validate::repr(value));
            Err(validate::invalid("key_size", value, &reason))
        }
    }
}

/// 400 when volumes have the type already, or soon: they would not be what it says.
fn check_unused(view: &impl View, id: Uuid, verb: &str) -> Result<(), Fault> {
    match type_calls::in_use(view, id)? || moving::is_awaited(view, id)? {
        false => Ok(()),
        true => Err(Fault::bad_request(format!(
            "Cannot {verb} encryption specs. Volume type in use."
        ))),
    }
}

/// A body's object with its key size as a number, which is how answers repeat it.
fn repeated(mut map: Map<String, Value>, key_size: Option<u64>) -> Map<String, Value> {
    if let Some(bits) = key_size {
        map.insert("key_size".to_owned(), json!(bits));
    }
    map
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    Path(type_id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "encryption")?.clone();
    let mut wanted = Wanted::parse(&map)?;
    let required = |key: &str| {
        let reason = format!("'{key}' is a required property");
        validate::invalid("encryption", &Value::Object(map.clone()), &reason)
    };
    let provider = wanted.provider.take().ok_or_else(|| required("provider"))?;
    let control_location = wanted.control_location.take();
    let control_location = control_location.ok_or_else(|| required("control_location"))?;
    caller.check_own(Rule::VolumeTypeEncryptionCreate)?;
    services
        .blocking(move |services| {
            let created_us = services.now_us();
            let new = services.catalogue().write(|writer| {
                let found = type_calls::find(writer, None, &type_id)?;
                check_unused(writer, found.id, "create")?;
                if of_type(writer, found.id)?.is_some() {
                    return Err(Fault::bad_request(format!(
                        "Volume type encryption for type {type_id} already exists."
                    )));
                }
                let new = Encryption {
                    volume_type_id: found.id,
                    encryption_id: Uuid::new_v4(),
                    provider,
                    control_location,
                    cipher: wanted.cipher,
                    key_size: wanted.key_size,
                    created_us,
                    updated_us: None,
                };
                writer.insert(&new)?;
                Ok(new)
            })?;
            let mut shown = repeated(map, new.key_size);
            shown.insert("encryption_id".to_owned(), json!(new.encryption_id));
            shown.insert("volume_type_id".to_owned(), json!(new.volume_type_id));
            Ok(Json(json!({ "encryption": shown })))
        })
        .await
}

async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path((type_id, _)): Path<(String, String)>,
    JsonBody(body): JsonBody,
) -> Result<Json<Value>, Fault> {
    let map = validate::wrapped(&body, "encryption")?.clone();
    let wanted = Wanted::parse(&map)?;
    caller.check_own(Rule::VolumeTypeEncryptionUpdate)?;
    services
        .blocking(move |services| {
            let key_size = wanted.key_size;
            services.catalogue().write(|writer| {
                let found = type_calls::find(writer, None, &type_id)?;
                check_unused(writer, found.id, "update")?;
                let mut own = of_type(writer, found.id)?.ok_or_else(|| missing(&type_id))?;
                wanted.apply(&mut own);
                own.updated_us = Some(services.now_us());
                Ok::<_, Fault>(writer.put(&own)?)
            })?;
            Ok(Json(json!({"encryption": repeated(map, key_size)})))
        })
        .await
}

async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path((type_id, _)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    caller.check_own(Rule::VolumeTypeEncryptionDelete)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let id = Uuid::parse_str(&type_id).map_err(|_| missing(&type_id))?;
                check_unused(writer, id, "delete")?;
                match writer.delete::<Encryption>(&id)? {
                    Some(_) => Ok(()),
                    None => Err(missing(&type_id)),
                }
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}
