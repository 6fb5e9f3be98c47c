//! `/metadefs`: what properties of images and other resources mean, for those who show forms.
//!
//! Nothing in the daemon obeys these definitions. A namespace is one record with all that is in it:
//! namespaces are read whole and written by administrators now and then.

mod items;
mod namespaces;
mod operations;
mod records;
mod view;

use axum::extract::{Path, Request, State};
use http::Uri;

use crate::auth::Caller;
use crate::openapi::Routes;
use crate::server::Services;

use operations as ops;
use records::Kind;

/// The routes of one kind of things in namespaces.
fn routes_of(kind: Kind) -> Routes {
    type Names = Path<(String, String)>;
    let calls = ops::of(kind);
    let mut routes = Routes::new()
        .on(
            calls.list,
            move |state: State<Services>, caller: Caller, name: Path<String>, uri: Uri| {
                items::index(kind, state, caller, name, uri)
            },
        )
        .on(
            calls.create,
            move |state: State<Services>, caller: Caller, name: Path<String>, request: Request| {
                items::create(kind, state, caller, name, request)
            },
        )
        .on(
            calls.delete,
            move |state: State<Services>, caller: Caller, names: Names| {
                items::remove(kind, state, caller, names)
            },
        );
    if kind != Kind::ResourceType {
        routes = routes
            .on(
                calls.show,
                move |state: State<Services>, caller: Caller, names: Names| {
                    items::show(kind, state, caller, names)
                },
            )
            .on(
                calls.update,
                move |state: State<Services>, caller: Caller, names: Names, request: Request| {
                    items::update(kind, state, caller, names, request)
                },
            )
            .on(
                calls.clear,
                move |state: State<Services>, caller: Caller, name: Path<String>| {
                    items::clear(kind, state, caller, name)
                },
            );
    }
    routes
}

/// The routes below `/v2`.
pub(super) fn routes() -> Routes {
    let routes = Routes::new()
        .on(ops::RESOURCE_TYPES, namespaces::resource_types)
        .on(ops::LIST, namespaces::index)
        .on(ops::CREATE, namespaces::create)
        .on(ops::SHOW, namespaces::show)
        .on(ops::UPDATE, namespaces::update)
        .on(ops::DELETE, namespaces::delete)
        .on(ops::ADD_TAG, items::add_tag);
    Kind::ALL
        .into_iter()
        .fold(routes, |routes, kind| routes.merge(routes_of(kind)))
}
