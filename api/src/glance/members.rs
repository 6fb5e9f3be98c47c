//! `/images/{id}/members`: the projects that an image is shared with.

use axum::Json;
use axum::extract::{Path, Request, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::images::lookup;
use super::limits::check_members;
use super::records::{Image, Member, MemberStatus, Visibility, member_of, members_of};
use super::{body, rights};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::clock::image_time;
use crate::fault::{Fault, ImageFault};
use crate::server::Services;

/// Characters of a project's id.
const PROJECT_MAX: usize = 255;

fn show(member: &Member) -> Value {
    json!({
        "member_id": member.project,
        "image_id": member.image,
        "status": member.status.word(),
        "created_at": image_time(member.created_us),
        "updated_at": image_time(member.updated_us),
        "schema": "/v2/schemas/member",
    })
}

/// The image, which must be one that can have members.
fn shared(
    view: &impl View,
    caller: &Caller,
    id: &str,
    refusal: impl FnOnce() -> Fault,
) -> Result<Image, Fault> {
    let image = lookup(view, caller, id)?;
    match image.visibility {
        Visibility::Shared => Ok(image),
        Visibility::Public | Visibility::Community | Visibility::Private => Err(refusal()),
    }
}

const ONLY_SHARED: &str = "Only shared images have members.";

/// The members that a caller may know of: all of them for the owner, oneself for a member.
fn visible(view: &impl View, caller: &Caller, image: &Image) -> Result<Vec<Member>, Fault> {
    let all = members_of(view, image.id)?;
    let own = caller.project_id();
    let is_member = all.iter().any(|member| own == Some(&member.project));
    if !rights::sees_members(caller, image, is_member) {
        return Err(rights::denied(rights::GET_MEMBERS));
    }
    let sees_all = caller.is_identity_admin() || (own.is_some() && own == image.owner.as_deref());
    let shown = all.into_iter();
    let shown = shown.filter(|member| sees_all || own == Some(&member.project));
    Ok(shown.collect())
}

fn not_a_member(image: &Image, project: &str) -> Fault {
    Fault::not_found(format!(
        "{project} not found in the member list of the image {}.",
        image.id
    ))
}

fn find(view: &impl View, caller: &Caller, image: &Image, project: &str) -> Result<Member, Fault> {
    let mut visible = visible(view, caller, image)?.into_iter();
    let found = visible.find(|member| member.project == project);
    found.ok_or_else(|| not_a_member(image, project))
}

/// `GET /v2/images/{id}/members`.
pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ImageFault> {
    let members = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            let image = shared(reader, &caller, &id, || {
                rights::forbidden(format!(
                    "Not allowed to list members for image {id}: {ONLY_SHARED}"
                ))
            })?;
            visible(reader, &caller, &image)
        })
    });
    let shown: Vec<Value> = members.await?.iter().map(show).collect();
    Ok(Json(
        json!({"members": shown, "schema": "/v2/schemas/members"}),
    ))
}

/// `GET /v2/images/{id}/members/{project}`.
pub(super) async fn one(
    State(services): State<Services>,
    caller: Caller,
    Path((id, project)): Path<(String, String)>,
) -> Result<Json<Value>, ImageFault> {
    let member = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            // Whether there are members is told to those only who may know them.
            let image = shared(reader, &caller, &id, || Fault::not_found(ONLY_SHARED))?;
            find(reader, &caller, &image, &project).map_err(|_| not_a_member(&image, &project))
        })
    });
    Ok(Json(show(&member.await?)))
}

/// The text under a key of a body.
fn wanted<'b>(body: &'b Value, key: &str, missing: &str, form: &str) -> Result<&'b str, Fault> {
    let Value::Object(map) = body else {
        return Err(Fault::bad_request(form));
    };
    let value = map.get(key).ok_or_else(|| Fault::bad_request(missing))?;
    value.as_str().ok_or_else(|| Fault::bad_request(form))
}

/// `POST /v2/images/{id}/members`.
pub(super) async fn add(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Value>, ImageFault> {
    let body = body::json(request).await?;
    let form = "Expected a member in the form: {\"member\": \"image_id\"}";
    let project = wanted(&body, "member", "Member to be added not specified", form)?.to_owned();
    if project.is_empty() {
        return Err(Fault::bad_request("Member can't be empty").into());
    }
    if project.chars().count() > PROJECT_MAX {
        return Err(Fault::bad_request(form).into());
    }
    let member = services.blocking(move |services| {
        let now_us = services.now_us();
        services.catalogue().write(|writer| {
            let refused =
                || rights::forbidden(format!("Not allowed to create members for image {id}."));
            let image = shared(writer, &caller, &id, refused)?;
            rights::check_owner(&caller, &image, rights::ADD_MEMBER)?;
            if member_of(writer, image.id, &project)?.is_some() {
                return Err(Fault::conflict(format!(
                    "Member {project} is duplicated for image {}",
                    image.id
                )));
            }
            check_members(members_of(writer, image.id)?.len())?;
            let member = Member {
                key: Member::key(image.id, &project),
                image: image.id,
                project: project.clone(),
                status: MemberStatus::Pending,
                created_us: now_us,
                updated_us: now_us,
            };
            writer.insert(&member)?;
            Ok(member)
        })
    });
    Ok(Json(show(&member.await?)))
}

/// `PUT /v2/images/{id}/members/{project}`.
pub(super) async fn update(
    State(services): State<Services>,
    caller: Caller,
    Path((id, project)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Value>, ImageFault> {
    let body = body::json(request).await?;
    let form = "Expected a status in the form: {\"status\": \"status\"}";
    let status = wanted(&body, "status", "Status not specified", form)?.to_owned();
    let member = services.blocking(move |services| {
        let now_us = services.now_us();
        services.catalogue().write(|writer| {
            let refused =
                || rights::forbidden(format!("Not allowed to update members for image {id}."));
            let image = shared(writer, &caller, &id, refused)?;
            let mut member = find(writer, &caller, &image, &project)?;
            rights::check_own_membership(&caller, &member.project)?;
            member.status = MemberStatus::parse(&status).ok_or_else(|| {
                Fault::bad_request(
                    "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".",
                )
            })?;
            member.updated_us = now_us;
            writer.put(&member)?;
            Ok(member)
        })
    });
    Ok(Json(show(&member.await?)))
}

/// `DELETE /v2/images/{id}/members/{project}`.
pub(super) async fn remove(
    State(services): State<Services>,
    caller: Caller,
    Path((id, project)): Path<(String, String)>,
) -> Result<StatusCode, ImageFault> {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let refused =
                    || rights::forbidden(format!("Not allowed to delete members for image {id}."));
                let image = shared(writer, &caller, &id, refused)?;
                let member = find(writer, &caller, &image, &project)?;
                rights::check_owner(&caller, &image, rights::DELETE_MEMBER)?;
                writer.delete::<Member>(&member.key)?;
                Ok(())
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
