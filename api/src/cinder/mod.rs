//! The Block Storage API.
//!
//! Handlers see paths below `/v3` with the project segment and a `.json` suffix already taken off
//! (see [`crate::server`]); [`crate::auth::Caller`] and [`crate::microversion::Microversion`] are
//! extractors.

mod attaching;
mod attachments;
mod backends;
mod backups;
mod default_types;
#[cfg(test)]
mod detail_tests;
#[cfg(test)]
mod encrypted_tests;
mod encryption;
mod exports;
mod filter;
mod group_types;
mod groups;
pub(crate) mod images;
mod limits;
#[cfg(test)]
mod list_tests;
mod managing;
mod messages;
mod metadata;
mod misc;
mod moving;
#[cfg(test)]
mod object_tests;
mod operations;
mod qos;
mod quota_calls;
mod quotas;
pub mod records;
mod reset_status;
mod retype;
mod services;
mod shapes;
mod snapshot_actions;
mod snapshots;
mod specs;
#[cfg(test)]
mod tests;
mod transfers;
mod type_calls;
mod type_order;
mod type_specs;
mod types;
mod validate;
mod volume_actions;
mod volume_delete;
mod volume_encryption;
mod volume_list;
mod volume_row;
mod volume_view;
mod volumes;
mod work;

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::Value;

pub use exports::{
    ExportTarget, all_volumes, backend_of_snapshot, backend_of_volume, io_limits, resolve_export,
    volumes_named,
};
pub use qos::{IoLimits, Rate};
pub(crate) use shapes::hold as hold_bodies;
pub(crate) use specs::domain as shared_domain;
pub(crate) use validate::{quoted as python_quoted, repr};
pub(crate) use volumes::find as find_volume;

use crate::catalogue::{self, Writer};
use crate::fault::Fault;
use crate::jobs::Registry;
use crate::openapi::Routes;

/// The routes below `/v3`.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .merge(volumes::routes())
        .merge(snapshots::routes())
        .merge(backups::routes())
        .merge(attachments::routes())
        .merge(metadata::routes())
        .merge(type_calls::routes())
        .merge(type_specs::routes())
        .merge(default_types::routes())
        .merge(group_types::routes())
        .merge(groups::routes())
        .merge(quota_calls::routes())
        .merge(limits::routes())
        .merge(backends::routes())
        .merge(messages::routes())
        .merge(transfers::routes())
        .merge(qos::routes())
        .merge(encryption::routes())
        .merge(services::routes())
        .merge(volume_encryption::routes())
        .merge(managing::routes())
        .merge(misc::routes())
}

/// Registers the handlers of this service's jobs.
pub fn register(registry: &mut Registry) {
    work::register(registry);
    backups::register(registry);
    groups::register(registry);
    moving::register(registry);
    managing::register(registry);
    images::register(registry);
}

/// Writes what the service expects to exist, the default volume type among it. Idempotent.
///
/// # Errors
/// Those of the catalogue.
pub fn bootstrap(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    messages::purge(writer, now_us)?;
    types::bootstrap(writer, now_us)?;
    group_types::bootstrap(writer, now_us)
}

/// The one action that a body asks for, and its arguments.
fn action_of(body: &Value) -> Result<(String, Value), Fault> {
    let only = body.as_object().filter(|map| map.len() == 1);
    match only.and_then(|map| map.iter().next()) {
        Some((name, args)) => Ok((name.clone(), args.clone())),
        // The real service counts keys before it knows that there are any.
        None if has_one_without_keys(body) => Err(Fault::version_not_found()),
        None => Err(Fault::bad_request("Malformed request body")),
    }
}

/// Whether a body that is no object cannot even be counted, or has one part.
fn has_one_without_keys(body: &Value) -> bool {
    match body {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.chars().count() == 1,
        Value::Array(items) => items.len() == 1,
        Value::Object(_) => false,
    }
}

/// The answer of calls for which the real service's framework, not its interface, makes one.
fn accepted() -> Response {
    let html = [(header::CONTENT_TYPE, "text/html; charset=UTF-8")];
    (StatusCode::ACCEPTED, html).into_response()
}

/// 400 of an action that there is not.
fn no_action(name: &str) -> Fault {
    Fault::bad_request(format!(
        "There is no such action: {name}. Verify the request body and Content-Type header and try again."
    ))
}
