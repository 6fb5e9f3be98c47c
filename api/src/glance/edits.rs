//! Tags, and whether an image may be used.

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::json;

use super::images::lookup;
use super::limits::check_tags;
use super::records::{Image, Status, find_visible};
use super::rights::{self, Right};
use super::{checker, schemas};
use crate::auth::Caller;
use crate::catalogue::Writer;
use crate::fault::{Fault, ImageFault};
use crate::server::Services;

/// Changes an image in one transaction.
async fn change(
    services: &Services,
    work: impl FnOnce(&Writer) -> Result<Option<Image>, Fault> + Send + 'static,
) -> Result<StatusCode, ImageFault> {
    services
        .blocking(move |services| {
            let now_us = services.now_us();
            services.catalogue().write(|writer| match work(writer)? {
                None => Ok(()),
                Some(mut image) => {
                    image.updated_us = now_us;
                    Ok(writer.put(&image)?)
                }
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v2/images/{id}/tags/{tag}`.
pub(super) async fn add_tag(
    State(services): State<Services>,
    caller: Caller,
    Path((id, tag)): Path<(String, String)>,
) -> Result<StatusCode, ImageFault> {
    checker::check(schemas::image(), &json!({"tags": [tag]}))?;
    change(&services, move |writer| {
        let mut image = lookup(writer, &caller, &id)?;
        rights::check_owner(&caller, &image, rights::MODIFY)?;
        image.tags.insert(tag);
        check_tags(&image)?;
        Ok(Some(image))
    })
    .await
}

/// `DELETE /v2/images/{id}/tags/{tag}`.
pub(super) async fn remove_tag(
    State(services): State<Services>,
    caller: Caller,
    Path((id, tag)): Path<(String, String)>,
) -> Result<StatusCode, ImageFault> {
    change(&services, move |writer| {
        let mut image = lookup(writer, &caller, &id)?;
        rights::check_owner(&caller, &image, rights::MODIFY)?;
        match image.tags.remove(&tag) {
            true => Ok(Some(image)),
            false => Err(Fault::version_not_found()),
        }
    })
    .await
}

/// A change between active and deactivated.
async fn switch(
    services: &Services,
    caller: Caller,
    id: String,
    right: Right,
    (from, to, word): (Status, Status, &'static str),
) -> Result<StatusCode, ImageFault> {
    change(services, move |writer| {
        let mut image = find_visible(writer, &caller, &id)?;
        rights::check_owner(&caller, &image, right)?;
        if image.status == to {
            return Ok(None);
        }
        if image.status != from {
            return Err(rights::forbidden(format!(
                "Not allowed to {word} image in status '{}'",
                image.status.word()
            )));
        }
        image.status = to;
        Ok(Some(image))
    })
    .await
}

/// `POST /v2/images/{id}/actions/deactivate`.
pub(super) async fn deactivate(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ImageFault> {
    let step = (Status::Active, Status::Deactivated, "deactivate");
    switch(&services, caller, id, rights::DEACTIVATE, step).await
}

/// `POST /v2/images/{id}/actions/reactivate`.
pub(super) async fn reactivate(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, ImageFault> {
    let step = (Status::Deactivated, Status::Active, "reactivate");
    switch(&services, caller, id, rights::REACTIVATE, step).await
}
