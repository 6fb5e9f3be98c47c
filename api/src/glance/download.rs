//! `GET .../file`: the bytes of an image, or a range of them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::channel::{Channel, Sender};

use super::range::Wanted;
use super::records::{Image, ImageData, Status, find_visible};
use super::{data, rights};
use crate::auth::Caller;
use crate::fault::{Fault, ImageFault};
use crate::server::Services;

/// Bytes read at a time.
const PIECE_BYTES: u64 = 1 << 20;
/// Pieces that wait for a client that is slower than the store.
const WAITING_MAX: usize = 2;

/// `GET /v2/images/{id}/file`.
pub(super) async fn file(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ImageFault> {
    let image = services
        .blocking(move |services| {
            services
                .catalogue()
                .read(|reader| permitted(find_visible(reader, &caller, &id)?, &caller))
        })
        .await?;
    let Some(data) = image.data.clone() else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let wanted = Wanted::of(&headers, data.size_bytes)?;
    let (start, end) = wanted.bounds(data.size_bytes);
    let mut response = Body::new(stream(&services, data.clone(), start, end)).into_response();
    *response.status_mut() = wanted.status();
    let out = response.headers_mut();
    let mut set = |name, text: String| {
        // Numbers and hexadecimal digits are fit for headers.
        if let Ok(value) = text.parse() {
            out.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "application/octet-stream".to_owned());
    set(header::CONTENT_LENGTH, (end - start).to_string());
    if let Some(told) = wanted.told(data.size_bytes) {
        set(header::CONTENT_RANGE, told);
    }
    if let Some(hashes) = &image.hashes {
        let name = http::HeaderName::from_static("content-md5");
        set(name, hashes.checksum.clone());
    }
    Ok(response)
}

fn permitted(image: Image, caller: &Caller) -> Result<Image, Fault> {
    if image.status == Status::Deactivated && !caller.is_identity_admin() {
        let message = "The requested image has been deactivated. Image data download is forbidden.";
        return Err(Fault::new(crate::fault::FaultKind::Forbidden, message));
    }
    rights::check_download(caller)?;
    Ok(image)
}

/// A body that is read from the store as fast as the client takes it.
fn stream(
    services: &Services,
    data: ImageData,
    start: u64,
    end: u64,
) -> Channel<Bytes, std::io::Error> {
    let (sender, body) = Channel::new(WAITING_MAX);
    let services = services.clone();
    tokio::spawn(send(services, data, start, end, sender));
    body
}

async fn send(
    services: Services,
    data: ImageData,
    mut at: u64,
    end: u64,
    mut sender: Sender<Bytes, std::io::Error>,
) {
    while at < end {
        let len = PIECE_BYTES.min(end - at);
        let place = data.clone();
        let read = services.blocking(move |services| {
            let mut piece = vec![0; len as usize];
            data::volume_of(services, &place)?.read(at, &mut piece)?;
            Ok(Bytes::from(piece))
        });
        match read.await {
            Ok(piece) => {
                if sender.send_data(piece).await.is_err() {
                    // The client is gone.
                    return;
                }
            }
            Err(fault) => {
                // The status has been sent; a connection that is cut says that the rest is missing.
                tracing::warn!(volume = %data.volume, %fault, "an image could not be read on");
                sender.abort(std::io::Error::other("the image could not be read on"));
                return;
            }
        }
        at += len;
    }
}
