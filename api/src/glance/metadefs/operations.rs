//! What there is to say of the calls of metadata definitions.

use super::records::Kind;
use crate::openapi::Operation;
use crate::openapi::shape::{Shape, any, field, list, map_of, object, text_of, wrapped};

/// A definition: what a client says of it, and what the service adds.
fn definition() -> Shape {
    map_of(any())
}

fn namespace_body() -> Shape {
    object([field("namespace", text_of(0, 80))]).open()
}

fn named_body() -> Shape {
    object([field("name", text_of(0, 80))]).open()
}

pub(super) const RESOURCE_TYPES: Operation = Operation::get(
    "/metadefs/resource_types",
    "List the types of resources that namespaces are meant for.",
)
.answers(200, || wrapped("resource_types", list(definition())));
pub(super) const LIST: Operation =
    Operation::get("/metadefs/namespaces", "List namespaces.").answers(200, definition);
pub(super) const CREATE: Operation = Operation::post(
    "/metadefs/namespaces",
    "Make a namespace; administrators only.",
)
.body(namespace_body)
.answers(201, definition)
.faults(&[409]);
pub(super) const SHOW: Operation = Operation::get(
    "/metadefs/namespaces/{namespace}",
    "Show a namespace with all that is in it.",
)
.answers(200, definition);
pub(super) const UPDATE: Operation = Operation::put(
    "/metadefs/namespaces/{namespace}",
    "Change a namespace; administrators only.",
)
.body(namespace_body)
.answers(200, definition)
.faults(&[409]);
pub(super) const DELETE: Operation = Operation::delete(
    "/metadefs/namespaces/{namespace}",
    "Delete a namespace; administrators only.",
)
.empty(204);
pub(super) const ADD_TAG: Operation = Operation::post(
    "/metadefs/namespaces/{namespace}/tags/{name}",
    "Add a tag to a namespace; administrators only.",
)
.answers(201, definition)
.faults(&[409, 413]);

/// The calls of one kind.
pub(super) struct Calls {
    pub(super) list: Operation,
    pub(super) create: Operation,
    pub(super) clear: Operation,
    pub(super) show: Operation,
    pub(super) update: Operation,
    pub(super) delete: Operation,
}

/// The calls of a kind; not all of them are there for resource types.
pub(super) fn of(kind: Kind) -> Calls {
    let (all, one) = paths(kind);
    let create = match kind {
        Kind::Tag => Operation::post(all, "Replace the tags of a namespace, or add to them.")
            .body(|| wrapped("tags", list(named_body()))),
        _ => Operation::post(all, "Add to a namespace; administrators only.").body(named_body),
    };
    Calls {
        list: Operation::get(all, "List what is in a namespace.").answers(200, definition),
        create: create.answers(201, definition).faults(&[409]),
        clear: Operation::delete(all, "Clear a namespace; administrators only.").empty(204),
        show: Operation::get(one, "Show what is in a namespace.").answers(200, definition),
        update: Operation::put(one, "Change what is in a namespace; administrators only.")
            .body(named_body)
            .answers(200, definition)
            .faults(&[409]),
        delete: Operation::delete(one, "Remove from a namespace; administrators only.").empty(204),
    }
}

fn paths(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Object => (
            "/metadefs/namespaces/{namespace}/objects",
            "/metadefs/namespaces/{namespace}/objects/{name}",
        ),
        Kind::Property => (
            "/metadefs/namespaces/{namespace}/properties",
            "/metadefs/namespaces/{namespace}/properties/{name}",
        ),
        Kind::Tag => (
            "/metadefs/namespaces/{namespace}/tags",
            "/metadefs/namespaces/{namespace}/tags/{name}",
        ),
        Kind::ResourceType => (
            "/metadefs/namespaces/{namespace}/resource_types",
            "/metadefs/namespaces/{namespace}/resource_types/{name}",
        ),
    }
}
