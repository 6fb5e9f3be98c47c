//! The OpenAPI document of all services, made from the code that serves them.
//!
//! Each operation is a constant `Operation` from which both its route and its entry in the
//! document are made; bodies are described by what their structs derive or beside the handlers
//! (`shape`). Tests hold every answer that any of them gets from the router against the document
//! (`conformance`), so that it can neither lack a route nor tell of a field that is not there.

mod document;
mod family;
mod operation;
mod parameters;
pub(crate) mod shape;

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
mod tests;

use document::Service;
use family::Family;

use crate::{cinder, glance, keystone, native, server};

pub use document::document;
pub(crate) use operation::{Operation, Parameter, Routes};
pub(crate) use parameters::{ALL_TENANTS, COUNT, ORDER, PAGES, parameter, truth};

/// All services of the listener.
fn services() -> Vec<Service> {
    let service = |family, prefix, operations| Service {
        family,
        prefix,
        operations,
    };
    vec![
        service(Family::BlockStorage, "", server::root_operations()),
        service(Family::BlockStorage, "/volume", server::volume_operations()),
        service(
            Family::BlockStorage,
            "/volume/v3",
            cinder::routes().operations(),
        ),
        service(Family::Identity, "/identity", keystone::operations()),
        service(Family::Image, "/image", server::image_operations()),
        service(Family::Image, "/image/v2", glance::routes().operations()),
        service(
            Family::LegacyIdentity,
            "/identity",
            keystone::legacy_operations(),
        ),
        service(
            Family::Native,
            "/cinderblock/v1",
            native::routes().operations(),
        ),
    ]
}
