//! The Image API, version 2.
//!
//! Images are records of the catalogue; their bytes are volumes of the store that nothing else
//! names (`data`). Handlers see paths below `/v2`. Rights are the real service's defaults.

mod body;
mod checker;
pub(crate) mod data;
mod download;
mod edits;
mod filter;
mod hashing;
mod images;
mod import;
mod inspecting;
mod limits;
mod list;
mod locations;
mod members;
mod metadefs;
mod operations;
mod patch;
mod python;
mod range;
pub(crate) mod records;
mod rights;
mod schemas;
mod sink;
mod stores;
mod tasks;
#[cfg(test)]
mod tests;
mod upload;
pub(crate) mod versions;
mod view;

use crate::catalogue::{self, Writer};
use crate::jobs::Registry;
use crate::openapi::Routes;

use operations as ops;

pub(crate) use sink::runs;

/// The routes below `/v2`.
pub(crate) fn routes() -> Routes {
    Routes::new()
        .on(ops::LIST, list::index)
        .on(ops::CREATE, images::create)
        .on(ops::SHOW, images::show)
        .on(ops::UPDATE, patch::update)
        .on(ops::DELETE, images::delete)
        .on(ops::UPLOAD, upload::file)
        .on(ops::DOWNLOAD, download::file)
        .on(ops::STAGE, upload::stage)
        .on(ops::IMPORT, import::start)
        .on(ops::IMAGE_TASKS, import::tasks_of)
        .on(ops::DEACTIVATE, edits::deactivate)
        .on(ops::REACTIVATE, edits::reactivate)
        .on(ops::ADD_TAG, edits::add_tag)
        .on(ops::REMOVE_TAG, edits::remove_tag)
        .on(ops::MEMBERS, members::index)
        .on(ops::ADD_MEMBER, members::add)
        .on(ops::MEMBER, members::one)
        .on(ops::UPDATE_MEMBER, members::update)
        .on(ops::REMOVE_MEMBER, members::remove)
        .on(ops::LOCATIONS, locations::index)
        .on(ops::ADD_LOCATION, locations::add)
        .on(ops::STORE_DELETE, images::delete_from_store)
        .on(ops::SCHEMA, schemas::show)
        .on(ops::METADEF_SCHEMA, schemas::show_metadef)
        .on(ops::IMPORT_INFO, stores::import)
        .on(ops::STORES, stores::index)
        .on(ops::STORES_DETAIL, stores::detail)
        .on(ops::TASKS, tasks::index)
        .on(ops::TASK, tasks::show)
        .on(ops::CREATE_TASK, tasks::create)
        .merge(metadefs::routes())
        .untold("/tasks/{task_id}", axum::routing::delete(tasks::delete))
}

/// Registers the handlers of this service's jobs.
pub(crate) fn register(registry: &mut Registry) {
    data::register(registry);
    hashing::register(registry);
    import::register(registry);
}

/// Ends what an earlier run of the daemon left half done.
///
/// # Errors
/// Those of the catalogue.
pub(crate) fn bootstrap(writer: &Writer, now_us: u64) -> catalogue::Result<()> {
    data::drop_uploads(writer, now_us)
}
