//! `/volumes/{id}/…`: what a volume's owner may know of it beyond Block Storage.

use axum::Json;
use axum::extract::{Path, State};
use serde_json::Value;
use store::{ErrorKind, ExtentKind, VolumeId};

use super::stats::of_volume;
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::{Key, Query, View};
use crate::cinder::find_volume;
use crate::cinder::records::{BY_VOLUME, Snapshot, Volume};
use crate::fault::{Fault, FaultKind};
use crate::policy::Rule;
use crate::server::Services;
use crate::types::native as wire;

/// Extents asked of the engine at a time.
const EXTENTS_STEP: usize = 4096;
/// Extents looked at for one answer, a second or two of work; a volume of more is not explained.
const EXTENTS_MAX: u64 = 1 << 22;

/// The volume, if the caller may read what is told of it.
pub(super) fn readable(
    services: &Services,
    caller: &Caller,
    id: &str,
    rule: Rule,
) -> Result<Volume, Fault> {
    let volume = services
        .catalogue()
        .read(|reader| find_volume(reader, caller, id))?;
    caller.check(rule, &volume)?;
    Ok(volume)
}

pub(super) async fn stats(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::VolumeStats>, Fault> {
    services
        .blocking(move |services| {
            let volume = readable(services, &caller, &id, Rule::NativeGetVolumeStats)?;
            Ok(Json(counted(services, &volume)?))
        })
        .await
}

/// Statistics of a volume; before its job has made it in the engine there is nothing in it.
fn counted(services: &Services, volume: &Volume) -> Result<wire::VolumeStats, Fault> {
    let store = services.store_of(volume.backend.as_deref());
    match store.and_then(|store| store.volume_stats(VolumeId(volume.id))) {
        Ok(stats) => Ok(of_volume(volume.id, &stats)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(wire::VolumeStats {
            id: volume.id.to_string(),
            logical_bytes: volume.size_gib << 30,
            ..wire::VolumeStats::default()
        }),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn source_length(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::SourceLength>, Fault> {
    services
        .blocking(move |services| {
            let volume = readable(services, &caller, &id, Rule::NativeGetSourceLength)?;
            Ok(Json(wire::SourceLength {
                source_length_bytes: volume.source_length,
            }))
        })
        .await
}

/// The length in a body; null takes it away.
fn length_of(body: &Value) -> Result<Option<u64>, Fault> {
    match body.get("source_length_bytes") {
        Some(Value::Null) => Ok(None),
        Some(value) if value.is_u64() => Ok(value.as_u64()),
        Some(_) | None => Err(Fault::bad_request(
            "source_length_bytes must be a number of bytes or null",
        )),
    }
}

pub(super) async fn set_source_length(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Json<wire::SourceLength>, Fault> {
    let length = length_of(&body)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let mut volume = find_volume(writer, &caller, &id)?;
                caller.check(Rule::NativeSetSourceLength, &volume)?;
                if length.is_some_and(|bytes| bytes > volume.size_gib << 30) {
                    let message = "source_length_bytes is more than the volume holds";
                    return Err(Fault::bad_request(message));
                }
                volume.source_length = length;
                volume.updated_us = Some(services.now_us());
                writer.put(&volume)?;
                Ok(())
            })?;
            Ok(Json(wire::SourceLength {
                source_length_bytes: length,
            }))
        })
        .await
}

pub(super) async fn explain(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<wire::Explain>, Fault> {
    services
        .blocking(move |services| {
            let volume = readable(services, &caller, &id, Rule::NativeExplainVolume)?;
            let of_it = Query::by(BY_VOLUME, Key::new().uuid(volume.id));
            let snapshots = services
                .catalogue()
                .read(|reader| reader.count::<Snapshot>(&of_it))?;
            let store = services.store_of(volume.backend.as_deref())?;
            let content = content(&store.volume(VolumeId(volume.id))?)?;
            Ok(Json(wire::Explain {
                volume_id: volume.id.to_string(),
                stats: counted(services, &volume)?,
                snapshots,
                source_length_bytes: volume.source_length,
                ..content
            }))
        })
        .await
}

/// Sizes and number of the runs that make up a volume.
fn content(volume: &store::Volume) -> Result<wire::Explain, Fault> {
    let size_bytes = volume.size_bytes();
    let mut sums = wire::Explain::default();
    let mut offset = 0;
    let mut last = None;
    while offset < size_bytes {
        for extent in volume.extents(offset, size_bytes - offset, EXTENTS_STEP)? {
            // The engine merges equal neighbours within one call only.
            sums.extents += u64::from(last != Some(extent.kind));
            last = Some(extent.kind);
            offset += extent.len;
            match extent.kind {
                ExtentKind::Data => sums.data_bytes += extent.len,
                ExtentKind::Zero => sums.zero_bytes += extent.len,
                ExtentKind::Hole => sums.hole_bytes += extent.len,
            }
        }
        if sums.extents > EXTENTS_MAX {
            let message = "The volume is in too many pieces to be explained.";
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
    }
    Ok(sums)
}
