//! `/images/{id}/locations`: where the data of an image is, for services.
//!
//! Data has one place, a volume of a store. None can be added: it would be an address that the
//! daemon fetches from for whoever asks.

use axum::Json;
use axum::extract::{Path, Request, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::records::{Status, find_visible};
use super::{body, rights};
use crate::auth::Caller;
use crate::fault::{Fault, ImageFault};
use crate::server::Services;

/// `GET /v2/images/{id}/locations`.
pub(super) async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, ImageFault> {
    let image = services.blocking(move |services| {
        services.catalogue().read(|reader| {
            let image = find_visible(reader, &caller, &id)?;
            rights::check_service(&caller, rights::FETCH_LOCATION)?;
            Ok(image)
        })
    });
    let place = image.await?.data.map(|data| {
        json!({
            "url": format!("cinderblock://{}/{}", data.backend, data.volume),
            "metadata": {"store": data.backend},
        })
    });
    Ok(Json(place.into_iter().collect()))
}

/// `POST /v2/images/{id}/locations`.
pub(super) async fn add(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, ImageFault> {
    let body = body::json(request).await?;
    if !body.get("url").is_some_and(Value::is_string) {
        return Err(Fault::bad_request("A location needs a 'url'.").into());
    }
    services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let image = find_visible(reader, &caller, &id)?;
                if image.status != Status::Queued {
                    return Err(Fault::conflict(format!(
                        "It's not allowed to add locations if image status is {}.",
                        image.status.word()
                    )));
                }
                rights::check_owner(&caller, &image, rights::ADD_LOCATION)?;
                Err(rights::forbidden(
                    "http store must be enabled to use location API by normal user.",
                ))
            })
        })
        .await?;
    Ok(StatusCode::ACCEPTED)
}
