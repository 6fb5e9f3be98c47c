//! Imports: taking staged data, and what an image's imports came to.
//!
//! An import is a job; the tasks that clients are shown are these jobs.

use axum::Json;
use axum::extract::{Path, Request, State};
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::inspecting::Claim;
use super::records::{Image, Status, find_visible};
use super::{body, data, rights, stores, tasks};
use crate::auth::Caller;
use crate::catalogue::{self, View, Writer};
use crate::fault::{Fault, ImageFault};
use crate::jobs::{self, Handler, Job, JobError, Registry};
use crate::server::Services;

/// The kind of jobs that take staged data.
pub(super) const IMPORT: &str = "image.import";

pub(super) fn register(registry: &mut Registry) {
    registry.add(IMPORT, ImportImage);
}

/// The method that a body asks for, and the parameters of the method.
fn method(services: &Services, body: &Value) -> Result<(&'static str, Map<String, Value>), Fault> {
    let missing =
        |field: &str| Fault::bad_request(format!("Import request requires a '{field}' field."));
    let method = body.get("method").ok_or_else(|| missing("method"))?;
    let name = method.get("name").ok_or_else(|| missing("name"))?;
    let mut known = stores::methods(services).into_iter();
    let known = known.find(|known| name.as_str() == Some(known));
    let known = known.ok_or_else(|| {
        let name = name
            .as_str()
            .map_or_else(|| name.to_string(), str::to_owned);
        Fault::bad_request(format!("Unknown import method name '{name}'."))
    })?;
    for flag in ["all_stores_must_succeed", "all_stores"] {
        if body.get(flag).is_some_and(|value| !value.is_boolean()) {
            return Err(Fault::bad_request(format!(
                "'{flag}' must be boolean value only"
            )));
        }
    }
    Ok((known, method.as_object().cloned().unwrap_or_default()))
}

/// 409 of an image that cannot be imported to by a method.
fn check_status(image: &Image, method: &str) -> Result<(), Fault> {
    let conflict = |message: &str| Err(Fault::conflict(message));
    let status = image.status;
    if status == Status::Active && method != stores::COPY {
        return conflict("Image with status active cannot be target for import");
    }
    if status != Status::Active && method == stores::COPY {
        return conflict("Only images with status active can be targeted for copying");
    }
    if status != Status::Queued && method == stores::WEB {
        return conflict("Image needs to be in 'queued' state to use 'web-download' method");
    }
    if method == stores::DIRECT && (status != Status::Uploading || image.staged.is_none()) {
        return conflict("Image needs to be staged before 'glance-direct' method can be used");
    }
    if image.container_format.is_none() {
        return conflict("'container_format' needs to be set before import");
    }
    if image.disk_format.is_none() {
        return conflict("'disk_format' needs to be set before import");
    }
    Ok(())
}

/// The stores that a body names must be there.
fn check_stores(services: &Services, body: &Value) -> Result<(), Fault> {
    let known = stores::names(services);
    let named = body.get("stores").and_then(Value::as_array);
    for name in named.into_iter().flatten() {
        let name = name.as_str().unwrap_or_default();
        if !known.iter().any(|known| known == name) {
            let message = format!("Store for identifier {name} not found");
            return Err(Fault::conflict(message));
        }
    }
    Ok(())
}

/// `POST /v2/images/{id}/import`.
pub(super) async fn start(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, ImageFault> {
    let body = body::json(request).await?;
    services
        .blocking(move |services| {
            let (method, parameters) = method(services, &body)?;
            let now_us = services.now_us();
            services.catalogue().write(|writer| {
                let image = find_visible(writer, &caller, &id)?;
                check_status(&image, method)?;
                match method {
                    stores::COPY => rights::check_admin(&caller, rights::COPY)?,
                    _ => rights::check_owner(&caller, &image, rights::MODIFY)?,
                }
                check_stores(services, &body)?;
                match method {
                    stores::WEB => Err(refused_address(&parameters)),
                    stores::COPY => copied(&image, &body),
                    _ => queue(writer, &caller, image, &body, now_us),
                }
            })
        })
        .await?;
    Ok(StatusCode::ACCEPTED)
}

/// No address passes the filter: the daemon would fetch what only it can reach, for whoever asks.
fn refused_address(parameters: &Map<String, Value>) -> Fault {
    let uri = parameters.get("uri").and_then(Value::as_str);
    Fault::bad_request(format!(
        "URI for web-download does not pass filtering: {}",
        uri.unwrap_or("None")
    ))
}

/// A copy into the store that the image is in already: there is no other.
fn copied(image: &Image, body: &Value) -> Result<(), Fault> {
    let store = image.data.as_ref().map(|data| data.backend.as_str());
    match body.get("all_stores") {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err(Fault::bad_request(format!(
            "Image is already present at store '{}'",
            store.unwrap_or_default()
        ))),
    }
}

fn queue(
    writer: &Writer,
    caller: &Caller,
    mut image: Image,
    body: &Value,
    now_us: u64,
) -> Result<(), Fault> {
    let args = json!({"import_req": body, "user": caller.user_id});
    let (id, project) = (image.id.to_string(), caller.project_id());
    jobs::enqueue(writer, Job::new(IMPORT, &id, project, args, now_us))?;
    image.status = Status::Importing;
    image.updated_us = now_us;
    Ok(writer.put(&image)?)
}

/// `GET /v2/images/{id}/tasks`.
pub(super) async fn tasks_of(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ImageFault> {
    let tasks = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            let image = find_visible(reader, &caller, &id)?;
            tasks::of_image(reader, image.id)
        })
    });
    let shown: Vec<Value> = tasks.await?.iter().map(tasks::record).collect();
    Ok(Json(json!({ "tasks": shown })))
}

struct ImportImage;

fn id_of(job: &Job) -> Uuid {
    Uuid::parse_str(&job.object).unwrap_or_default()
}

impl Handler for ImportImage {
    fn run(&self, services: &Services, job: &Job) -> Result<(), JobError> {
        let id = id_of(job);
        let found = services
            .catalogue()
            .read(|reader| reader.get::<Image>(&id))?;
        let Some(image) = found else {
            return Ok(());
        };
        let Some(staged) = &image.staged else {
            return Err(JobError("nothing is staged".to_owned()));
        };
        let length = Claim::of(&image)
            .check(services, &staged.data)
            .map_err(|fault| JobError(fault.message().to_owned()))?;
        services.catalogue().write(|writer| {
            if let Some(mut image) = writer.get::<Image>(&id)? {
                image.virtual_size_bytes = length;
                writer.put(&image)?;
            }
            Ok(())
        })
    }

    fn finish(
        &self,
        writer: &Writer,
        job: &Job,
        result: Result<(), &JobError>,
        now_us: u64,
    ) -> catalogue::Result<()> {
        let waits = |image: &Image| image.status == Status::Importing;
        let Some(mut image) = writer.get::<Image>(&id_of(job))?.filter(waits) else {
            return Ok(());
        };
        match (result, image.staged.take()) {
            (Ok(()), Some(staged)) => {
                image.status = Status::Active;
                image.size_bytes = Some(staged.data.size_bytes);
                image.hashes = Some(staged.hashes);
                image.data = Some(staged.data);
                image.updated_us = now_us;
            }
            (_, staged) => {
                if let Some(staged) = staged {
                    data::discard(writer, image.id, &staged.data, now_us)?;
                }
                image.reset(now_us);
            }
        }
        writer.put(&image)
    }
}
