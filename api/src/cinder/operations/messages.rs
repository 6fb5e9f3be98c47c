//! Messages.

use super::links;
use crate::openapi::shape::{Shape, field, list, maybe, object, text, time, uuid, wrapped};
use crate::openapi::{ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;

/// The microversion these calls came with.
const SINCE: u16 = 3;

const FILTERS: &[Parameter] = &[
    parameter("resource_uuid", text, "Messages about this object.").since(5),
    parameter(
        "resource_type",
        text,
        "Messages about objects of this kind.",
    )
    .since(5),
    parameter("event_id", text, "Messages of this event.").since(5),
    parameter("request_id", text, "Messages caused by this request.").since(5),
    parameter("message_level", text, "Messages of this level.").since(5),
];

pub(in crate::cinder) const LIST: Operation =
    Operation::get("/messages", "List what went wrong out of sight.")
        .since(SINCE)
        .rule(Rule::MessageGetAll)
        .query(&[PAGES, ORDER, FILTERS])
        .answers(200, || {
            let messages = field("messages", list(message()));
            object([messages, maybe("messages_links", links())])
        });
pub(in crate::cinder) const SHOW: Operation = Operation::get("/messages/{id}", "Show a message.")
    .since(SINCE)
    .rule(Rule::MessageGet)
    .answers(200, || wrapped("message", message()));
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/messages/{id}", "Delete a message.")
        .since(SINCE)
        .rule(Rule::MessageDelete)
        .empty(204);

fn message() -> Shape {
    object([
        field("id", uuid()),
        field("event_id", text()),
        field("user_message", text()),
        field("message_level", text()),
        field("created_at", time()),
        field("guaranteed_until", time().or_null()),
        field("request_id", text().or_null()),
        field("resource_type", text().or_null()),
        field("resource_uuid", uuid().or_null()),
        field("links", links()),
    ])
    .named("Message")
}
