//! Tasks: the jobs of imports, as clients are shown them.
//!
//! New ones are made by importing to an image. The older way of making one names an address to fetch
//! from, which no address is fit for; see [`super::stores::WEB`].

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Uri, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::import::IMPORT;
use super::{body, checker, list, rights, schemas};
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View};
use crate::clock::image_time;
use crate::fault::{Fault, FaultKind, ImageFault};
use crate::jobs::{BY_CREATED, Job, JobState, OF_OBJECT};
use crate::server::Services;

fn status(job: &Job) -> &'static str {
    match job.state {
        JobState::Queued => "pending",
        JobState::Running => "processing",
        JobState::Done => "success",
        JobState::Failed => "failure",
    }
}

fn path_of(job: &Job) -> String {
    format!("/v2/tasks/{}", job.id)
}

/// What all views of a task have.
fn common(job: &Job) -> Value {
    json!({
        "id": job.id,
        "type": "api_image_import",
        "status": status(job),
        "owner": job.project,
        "created_at": image_time(job.created_us),
        "updated_at": image_time(job.updated_us),
    })
}

fn input(job: &Job) -> Value {
    json!({"image_id": job.object, "import_req": job.args["import_req"], "backend": [null]})
}

/// A task in the list of its image.
pub(super) fn record(job: &Job) -> Value {
    let mut view = common(job);
    view["image_id"] = json!(job.object);
    view["request_id"] = json!(job.request_id);
    view["user_id"] = job.args["user"].clone();
    view["input"] = input(job);
    view["result"] = json!({"image_id": job.object});
    view["message"] = json!(job.error.clone().unwrap_or_default());
    view["expires_at"] = Value::Null;
    view["deleted_at"] = Value::Null;
    view["deleted"] = json!(false);
    view
}

fn stub(job: &Job) -> Value {
    let mut view = common(job);
    view["self"] = json!(path_of(job));
    view["schema"] = json!("/v2/schemas/task");
    view
}

fn full(job: &Job) -> Value {
    let mut view = stub(job);
    view["input"] = input(job);
    view["result"] = json!({"image_id": job.object});
    view["message"] = json!(job.error.clone().unwrap_or_default());
    view["image_id"] = json!(job.object);
    view["user_id"] = job.args["user"].clone();
    if let Some(request) = &job.request_id {
        view["request_id"] = json!(request);
    }
    view
}

/// The imports of an image.
pub(super) fn of_image(view: &impl View, image: Uuid) -> Result<Vec<Job>, Fault> {
    let mut jobs = view.list::<Job>(&Query::by(OF_OBJECT, Key::new().text(&image.to_string())))?;
    jobs.retain(|job| job.kind == IMPORT);
    Ok(jobs)
}

/// `GET /v2/tasks`.
pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Value>, ImageFault> {
    rights::check_admin(&caller, rights::TASKS)?;
    let params = body::params(&uri)?;
    let limit = list::limit(&params)?;
    let marker = params
        .get("marker")
        .map(|text| Uuid::parse_str(text).map_err(|_| Fault::bad_request("Invalid marker format")));
    let (marker, wanted) = (marker.transpose()?, params.get("status").map(str::to_owned));
    let jobs = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            let mut jobs = reader.list::<Job>(&Query::by(BY_CREATED, Key::new()))?;
            jobs.retain(|job| job.kind == IMPORT);
            jobs.retain(|job| wanted.as_deref().is_none_or(|wanted| wanted == status(job)));
            let behind = marker.map(|marker| jobs.iter().position(|job| job.id == marker));
            let start = match behind {
                None => 0,
                Some(None) => return Err(Fault::bad_request("The marker is not a task.")),
                Some(Some(at)) => at + 1,
            };
            Ok(jobs.into_iter().skip(start).take(limit).collect::<Vec<_>>())
        })
    });
    let jobs = jobs.await?;
    let shown: Vec<Value> = jobs.iter().map(stub).collect();
    let mut body = json!({
        "tasks": shown,
        "first": list::link("/v2/tasks", &params, None),
        "schema": "/v2/schemas/tasks",
    });
    if let Some(last) = jobs.last().filter(|_| jobs.len() == limit) {
        let next = list::link("/v2/tasks", &params, Some(&last.id.to_string()));
        body["next"] = json!(next);
    }
    Ok(Json(body))
}

/// `GET /v2/tasks/{id}`.
pub(super) async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ImageFault> {
    rights::check_admin(&caller, rights::TASKS)?;
    let job = services.blocking(move |services| {
        let missing = || Fault::not_found(format!("Could not find task {id}"));
        let parsed = Uuid::parse_str(&id).map_err(|_| missing())?;
        services.catalogue().read(|reader| {
            let found = reader.get::<Job>(&parsed)?;
            found.filter(|job| job.kind == IMPORT).ok_or_else(missing)
        })
    });
    Ok(Json(full(&job.await?)))
}

/// `POST /v2/tasks`.
pub(super) async fn create(caller: Caller, request: Request) -> Result<Json<Value>, ImageFault> {
    rights::check_admin(&caller, rights::TASKS)?;
    let body = body::json(request).await?;
    for field in ["type", "input"] {
        if body.get(field).is_none() {
            return Err(Fault::bad_request(format!("Task '{field}' is required")).into());
        }
    }
    checker::check(schemas::task(), &body)?;
    let from = body["input"]["import_from"].as_str().unwrap_or("None");
    Err(Fault::bad_request(format!("URI for import does not pass filtering: {from}")).into())
}

/// `DELETE /v2/tasks/{id}`: tasks go by themselves.
pub(super) async fn delete(caller: Caller) -> Result<Response, ImageFault> {
    rights::check_admin(&caller, rights::TASKS)?;
    let message = "This operation is currently not permitted on Glance Tasks. They are auto \
                   deleted after reaching the time based on their expires_at property.";
    let mut response = ImageFault(Fault::new(FaultKind::BadMethod, message)).into_response();
    let allowed = HeaderValue::from_static("GET");
    response.headers_mut().insert(header::ALLOW, allowed);
    Ok(response)
}
