//! Data of images that arrives: `PUT .../file` and `PUT .../stage`.
//!
//! The body is read by a task of its own, so that an upload ends in good order when its client is
//! gone: either the image has all of its data, or it is queued again and a job removes what came.
//! A thread is held only while a piece is written, never while a client is awaited.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use tracing::Instrument;
use uuid::Uuid;

use super::inspecting;
use super::records::{Image, ImageData, Staged, Status, Upload, find_visible};
use super::sink::{PIECE_BYTES, Sink, Taken};
use super::{data, rights, stores};
use crate::auth::Caller;
use crate::catalogue::View;
use crate::fault::{Fault, FaultKind, ImageFault};
use crate::server::Services;

/// What the data is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The image itself.
    File,
    /// An import that is asked for later.
    Stage,
}

/// The statuses that an image may not come from, in the words of the real service.
pub(super) fn transition(from: Status, to: &str) -> Fault {
    Fault::conflict(format!(
        "Image status transition from {} to {to} is not allowed",
        from.word()
    ))
}

/// `PUT /v2/images/{id}/file`.
pub(super) async fn file(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, ImageFault> {
    receive(services, caller, id, request, Purpose::File).await
}

/// `PUT /v2/images/{id}/stage`.
pub(super) async fn stage(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, ImageFault> {
    receive(services, caller, id, request, Purpose::Stage).await
}

async fn receive(
    services: Services,
    caller: Caller,
    id: String,
    request: Request,
    purpose: Purpose,
) -> Result<StatusCode, ImageFault> {
    let (parts, body) = request.into_parts();
    check_type(&parts.headers)?;
    let expected_bytes = expected(&parts.headers)?;
    let store = stores::asked(&services, &parts.headers)?;
    let begun = services
        .blocking(move |services| begin(services, &caller, &id, &store, purpose))
        .await?;
    let arrival = Arrival {
        services,
        purpose,
        image: begun.0,
        place: begun.1,
        expected_bytes,
    };
    let task = arrival.run(body).instrument(tracing::Span::current());
    tokio::spawn(task).await.map_err(Fault::internal)??;
    Ok(StatusCode::NO_CONTENT)
}

fn check_type(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.map_or("", |value| value.to_str().unwrap_or_default());
    let kind = given.split(';').next().unwrap_or_default().trim();
    match kind {
        "application/octet-stream" => Ok(()),
        _ => {
            let told = if given.is_empty() { "None" } else { given };
            let message = format!("Invalid content type {told}");
            Err(Fault::new(FaultKind::BadMediaType, message))
        }
    }
}

/// The length that the client says its data has.
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let number = |name: &str| {
        let value = headers.get(name)?;
        Some(
            value
                .to_str()
                .ok()
                .and_then(|text| text.parse::<u64>().ok()),
        )
    };
    match number("x-openstack-image-size") {
        Some(None) => Err(Fault::bad_request(
            "Invalid or missing image size in request headers.",
        )),
        Some(told) => Ok(told),
        None => Ok(number("content-length").flatten()),
    }
}

/// Notes that data is arriving, and for which volume, before that is made.
fn begin(
    services: &Services,
    caller: &Caller,
    id: &str,
    store: &str,
    purpose: Purpose,
) -> Result<(Image, ImageData), Fault> {
    let now_us = services.now_us();
    services.catalogue().write(|writer| {
        let mut image = find_visible(writer, caller, id)?;
        let (right, next) = match purpose {
            Purpose::File => (rights::UPLOAD, Status::Saving),
            Purpose::Stage => (rights::MODIFY, Status::Uploading),
        };
        rights::check_owner(caller, &image, right)?;
        if image.status != Status::Queued {
            return Err(transition(image.status, next.word()));
        }
        if purpose == Purpose::File {
            has_formats(&image)?;
        }
        let place = ImageData::fresh(image.id, store, 0);
        writer.insert(&Upload {
            volume: place.volume,
            backend: place.backend.clone(),
            image: image.id,
        })?;
        image.status = next;
        image.updated_us = now_us;
        writer.put(&image)?;
        Ok((image, place))
    })
}

/// 400 unless an image says what its data is.
pub(super) fn has_formats(image: &Image) -> Result<(), Fault> {
    let both = [
        ("disk_format", &image.disk_format),
        ("container_format", &image.container_format),
    ];
    let missing = both.into_iter().filter(|(_, format)| format.is_none());
    let missing: Vec<&str> = missing.map(|(name, _)| name).collect();
    let word = match missing.len() {
        0 => return Ok(()),
        1 => "Property",
        _ => "Properties",
    };
    let names = missing.join(", ");
    Err(Fault::bad_request(format!(
        "{word} {names} must be set prior to saving data."
    )))
}

/// An upload that has begun.
struct Arrival {
    services: Services,
    purpose: Purpose,
    image: Image,
    place: ImageData,
    expected_bytes: Option<u64>,
}

impl Arrival {
    async fn run(self, body: Body) -> Result<(), Fault> {
        let volume = self.place.volume;
        let services = self.services.clone();
        let result = self.all(body).await;
        if result.is_err() {
            // What else is wrong, the next start makes good.
            let cleared = services
                .blocking(move |services| {
                    let now_us = services.now_us();
                    services
                        .catalogue()
                        .write(|writer| Ok(data::drop_upload(writer, volume, now_us)?))
                })
                .await;
            if let Err(fault) = cleared {
                tracing::error!(%volume, %fault, "an upload that failed is not cleared away yet");
            }
        }
        result
    }

    async fn all(self, body: Body) -> Result<(), Fault> {
        let (owner, place) = (self.image.owner.clone(), self.place.clone());
        let expected = self.expected_bytes;
        let mut sink = self
            .services
            .blocking(move |services| Sink::open(services, owner.as_deref(), place, expected))
            .await?;
        let mut incoming = Incoming::of(body);
        let mut piece = incoming.piece().await?;
        while !piece.is_empty() {
            let taken = self.services.blocking(move |services| {
                sink.take(services, &piece)?;
                Ok(sink)
            });
            // The next piece is awaited while this one is written.
            let (taken, following) = tokio::join!(taken, incoming.piece());
            (sink, piece) = (taken?, following?);
        }
        let (image, purpose) = (self.image.id, self.purpose);
        let format = inspecting::Claim::of(&self.image);
        self.services
            .blocking(move |services| {
                let taken = sink.close(services)?;
                let virtual_size_bytes = match purpose {
                    Purpose::File => format.check(services, &taken.data)?,
                    Purpose::Stage => None,
                };
                finish(services, image, taken, virtual_size_bytes, purpose)
            })
            .await
    }
}

/// Gives an image its data, unless it went meanwhile.
fn finish(
    services: &Services,
    image: Uuid,
    taken: Taken,
    virtual_size_bytes: Option<u64>,
    purpose: Purpose,
) -> Result<(), Fault> {
    let now_us = services.now_us();
    let volume = taken.data.volume;
    services.catalogue().write(|writer| {
        let found = writer.get::<Image>(&image)?;
        let waits = |row: &Image| match purpose {
            Purpose::File => row.status == Status::Saving,
            Purpose::Stage => row.status == Status::Uploading && row.staged.is_none(),
        };
        let Some(mut row) = found.filter(waits) else {
            return Err(Fault::new(
                FaultKind::Gone,
                format!(
                    "Image {image} could not be found after upload. The image may have been \
                     deleted during the upload, cleaning up the chunks uploaded."
                ),
            ));
        };
        writer.delete::<Upload>(&volume)?;
        row.size_bytes = Some(taken.data.size_bytes);
        row.updated_us = now_us;
        match purpose {
            Purpose::File => {
                row.status = Status::Active;
                row.hashes = Some(taken.hashes);
                row.virtual_size_bytes = virtual_size_bytes;
                row.data = Some(taken.data);
            }
            Purpose::Stage => {
                row.staged = Some(Staged {
                    data: taken.data,
                    hashes: taken.hashes,
                });
            }
        }
        Ok(writer.put(&row)?)
    })
}

/// A body by pieces of one length.
struct Incoming {
    body: Body,
    /// What came beyond the last piece.
    rest: Bytes,
}

impl Incoming {
    fn of(body: Body) -> Self {
        Self {
            body,
            rest: Bytes::new(),
        }
    }

    /// The next piece: whole but for the last one; empty at the end.
    async fn piece(&mut self) -> Result<Vec<u8>, Fault> {
        let mut piece = Vec::new();
        while piece.len() < PIECE_BYTES {
            if self.rest.is_empty() && !self.more().await? {
                break;
            }
            let len = self.rest.len().min(PIECE_BYTES - piece.len());
            piece.extend_from_slice(&self.rest[..len]);
            self.rest.advance(len);
        }
        Ok(piece)
    }

    /// Waits for more; `false` at the end. How long, is for whoever listens to say.
    async fn more(&mut self) -> Result<bool, Fault> {
        let broken = || Fault::bad_request("The image data ended before its end.");
        loop {
            let Some(frame) = self.body.frame().await else {
                return Ok(false);
            };
            // Trailers say nothing of the data.
            if let Ok(bytes) = frame.map_err(|_| broken())?.into_data()
                && !bytes.is_empty()
            {
                self.rest = bytes;
                return Ok(true);
            }
        }
    }
}
