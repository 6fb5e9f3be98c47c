//! `/images`: making, showing and deleting.

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use serde_json::{Map, Value};

use super::limits::{check_properties, check_tags};
use super::records::{Image, Visibility, find_visible, parse_id};
use super::{body, checker, data, rights, schemas, stores, view};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::fault::{Fault, FaultKind, ImageFault};
use crate::server::Services;

/// What only the service sets.
const READ_ONLY: [&str; 8] = [
    "checksum",
    "created_at",
    "updated_at",
    "status",
    "size",
    "virtual_size",
    "os_hash_algo",
    "os_hash_value",
];
/// What only the service shows.
const SHOWN: [&str; 5] = ["direct_url", "self", "file", "schema", "stores"];
/// Names that no property may have.
pub(super) const RESERVED: [&str; 4] = ["location", "locations", "deleted", "deleted_at"];
/// Names that no property may begin with.
pub(super) const RESERVED_PREFIX: &str = "os_glance";
/// Characters of a property's name.
pub(super) const NAME_MAX: usize = 255;

/// 403 of what only the service sets.
pub(super) fn read_only(name: &str) -> Fault {
    rights::forbidden(format!("Attribute '{name}' is read-only."))
}

/// 403 of a name that is not to be had.
pub(super) fn reserved(name: &str) -> Fault {
    rights::forbidden(format!("Attribute '{name}' is reserved."))
}

/// What a new image may be said to have, to no effect.
const IGNORED: [&str; 2] = ["os_hash_algo", "os_hash_value"];

pub(super) fn is_read_only(name: &str) -> bool {
    READ_ONLY.contains(&name)
}

pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with(RESERVED_PREFIX)
}

/// The image that a body asks for.
struct Wanted {
    map: Map<String, Value>,
}

impl Wanted {
    fn parse(body: Value) -> Result<Self, Fault> {
        let Value::Object(map) = body else {
            return Err(Fault::bad_request("Expected a JSON object as image."));
        };
        if let Some(name) = SHOWN.iter().find(|name| map.contains_key(**name)) {
            return Err(read_only(name));
        }
        let body = Value::Object(map);
        checker::check(schemas::image(), &body)?;
        let Value::Object(map) = body else {
            return Err(Fault::malformed());
        };
        let own = schemas::image()["properties"].as_object();
        for name in map.keys() {
            if is_read_only(name) && !IGNORED.contains(&name.as_str()) {
                return Err(read_only(name));
            }
            if name == "locations" {
                return Err(reserved(name));
            }
            if is_reserved(name) {
                return Err(reserved(name).into_detail());
            }
            let is_custom = own.is_none_or(|own| !own.contains_key(name));
            if is_custom && name.chars().count() > NAME_MAX {
                return Err(Fault::bad_request(
                    "Custom property should not be greater than 255 characters.",
                ));
            }
        }
        Ok(Self { map })
    }

    /// The image, for a caller who may make it.
    fn image(self, caller: &Caller, now_us: u64) -> Result<Image, Fault> {
        let own = caller.project_id().map(str::to_owned);
        let owner = match self.map.get("owner") {
            None => own,
            Some(owner) => owner.as_str().map(str::to_owned),
        };
        rights::check_add(caller, owner.as_deref())?;
        let mut image = Image::new(owner.as_deref(), now_us);
        for (name, value) in self.map {
            match name.as_str() {
                "owner" | "os_hash_algo" | "os_hash_value" => (),
                "id" => image.id = value.as_str().and_then(parse_id).unwrap_or(image.id),
                _ => set(&mut image, &name, &value)?,
            }
        }
        if image.visibility != Visibility::Shared {
            rights::check_visibility(caller, image.visibility)?;
        }
        check_properties(&image)?;
        check_tags(&image)?;
        Ok(image)
    }
}

/// Sets an attribute to a value that its schema allows; other names are custom properties.
pub(super) fn set(image: &mut Image, name: &str, value: &Value) -> Result<(), Fault> {
    let text = || value.as_str().map(str::to_owned);
    let flag = || value.as_bool().unwrap_or_default();
    match name {
        "name" => image.name = text(),
        "owner" => image.owner = text(),
        "disk_format" => image.disk_format = text(),
        "container_format" => image.container_format = text(),
        "min_disk" => image.min_disk = number(name, value)?,
        "min_ram" => image.min_ram = number(name, value)?,
        "protected" => image.protected = flag(),
        "os_hidden" => image.hidden = flag(),
        "visibility" => {
            let known = value.as_str().and_then(Visibility::parse);
            image.visibility = known.ok_or_else(Fault::malformed)?;
        }
        "tags" => {
            let tags = value.as_array().into_iter().flatten();
            let tags = tags.filter_map(|tag| tag.as_str().map(str::to_owned));
            image.tags = tags.collect();
        }
        _ => {
            let value = text().unwrap_or_default();
            image.properties.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// A size that is not negative, nor too large for those who count in 32 bits.
fn number(name: &str, value: &Value) -> Result<i64, Fault> {
    let invalid = |why: &str| {
        Fault::bad_request(format!(
            "Invalid value '{value}' for parameter '{name}': {why}"
        ))
    };
    match value.as_i64() {
        Some(number) if number < 0 => Err(invalid("Cannot be a negative value")),
        Some(number) if number <= i64::from(i32::MAX) => Ok(number),
        Some(_) | None => Err(invalid("Out of range")),
    }
}

/// `POST /v2/images`.
pub(super) async fn create(
    State(services): State<Services>,
    caller: Caller,
    request: Request,
) -> Result<Response, ImageFault> {
    let wanted = Wanted::parse(body::json(request).await?)?;
    let image = services
        .blocking(move |services| {
            let image = wanted.image(&caller, services.now_us())?;
            services.catalogue().write(|writer| {
                if writer.get::<Image>(&image.id)?.is_some() {
                    let message = format!("Image ID {} already exists!", image.id);
                    return Err(Fault::conflict(message));
                }
                Ok(writer.insert(&image)?)
            })?;
            Ok(image)
        })
        .await?;
    let location = format!(
        "{}{}",
        services.config().image_base(),
        view::path_of(&image)
    );
    let headers = [
        (header::LOCATION, location),
        (
            HeaderName::from_static("openstack-image-import-methods"),
            stores::methods(&services).join(","),
        ),
        (
            HeaderName::from_static("openstack-image-store-ids"),
            stores::names(&services).join(","),
        ),
    ];
    Ok((StatusCode::CREATED, headers, Json(view::show(&image))).into_response())
}

/// `GET /v2/images/{id}`.
pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ImageFault> {
    let image = services
        .blocking(move |services| {
            let found = |reader: &crate::catalogue::Reader| find_visible(reader, &caller, &id);
            services.catalogue().read(found)
        })
        .await?;
    Ok(Json(view::show(&image)))
}

/// `DELETE /v2/images/{id}`.
pub(super) async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ImageFault> {
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let missing = |fault: Fault| match fault.kind() {
                    FaultKind::NotFound => {
                        Fault::not_found(format!("Failed to find image {id} to delete"))
                    }
                    _ => fault,
                };
                let image = find_visible(writer, &caller, &id).map_err(missing)?;
                rights::check_owner(&caller, &image, rights::DELETE)?;
                if image.protected {
                    return Err(rights::forbidden(format!(
                        "Image {} is protected and cannot be deleted.",
                        image.id
                    )));
                }
                Ok(data::forget(writer, &image, now_us)?)
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v2/stores/{store}/{id}`: an image is in one store, which it is not taken out of.
pub(super) async fn delete_from_store(
    State(services): State<Services>,
    caller: Caller,
    Path((store, id)): Path<(String, String)>,
) -> Result<StatusCode, ImageFault> {
    if !stores::names(&services).contains(&store) {
        let message = format!("The selected store {store} is not available on this node.");
        return Err(Fault::conflict(message).into());
    }
    let refused = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            let image = find_visible(reader, &caller, &id)
                .map_err(|_| Fault::not_found(format!("Failed to find image {id}")))?;
            rights::check_admin(&caller, rights::DELETE_LOCATION)?;
            match image.data {
                None => Err(Fault::conflict(
                    "It's not allowed to remove image data from store if image status is not \
                     'active'",
                )),
                Some(data) if data.backend == store => Err::<StatusCode, _>(rights::forbidden(
                    "Cannot delete image data from the only store containing it. Consider \
                     deleting the image instead.",
                )),
                Some(_) => Err(Fault::not_found(format!(
                    "Image {} is not stored in store {store}.",
                    image.id
                ))),
            }
        })
    });
    Ok(refused.await?)
}

/// The image of a path, for those who name it otherwise in their refusals.
pub(super) fn lookup(view: &impl View, caller: &Caller, id: &str) -> Result<Image, Fault> {
    find_visible(view, caller, id).map_err(|fault| match fault.kind() {
        FaultKind::NotFound => Fault::not_found(format!("Image {id} not found.")),
        _ => fault,
    })
}
