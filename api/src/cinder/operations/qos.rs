//! QoS specs and the types that refer to them.

use super::{SORTED, links, words_or_null};
use crate::cinder::validate::TEXT_MAX;
use crate::openapi::shape::{
    Shape, all_of, distinct, field, list, map_of, maybe, object, text, text_of, uuid, words,
    wrapped,
};
use crate::openapi::{Operation, Parameter, parameter, truth};
use crate::policy::Rule;

const TYPE: &[Parameter] = &[parameter("vol_type_id", uuid, "The volume type.").required()];

pub(in crate::cinder) const LIST: Operation = Operation::get("/qos-specs", "List QoS specs.")
    .rule(Rule::QosSpecsManageGetAll)
    .query(SORTED)
    .answers(200, || {
        object([
            field("qos_specs", list(specs())),
            maybe("qos_specs_links", links()),
        ])
    });
pub(in crate::cinder) const CREATE: Operation = Operation::post("/qos-specs", "Create QoS specs.")
    .rule(Rule::QosSpecsManageCreate)
    .body(new)
    .answers(200, shown)
    .faults(&[409]);
pub(in crate::cinder) const SHOW: Operation = Operation::get("/qos-specs/{id}", "Show QoS specs.")
    .rule(Rule::QosSpecsManageGet)
    .answers(200, shown);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/qos-specs/{id}", "Set keys of QoS specs.")
        .rule(Rule::QosSpecsManageUpdate)
        .body(changes)
        .answers(200, changes);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/qos-specs/{id}", "Delete QoS specs.")
        .rule(Rule::QosSpecsManageDelete)
        .query(&[&[parameter("force", truth, "Though types refer to them.")]])
        .empty(202);
pub(in crate::cinder) const DELETE_KEYS: Operation =
    Operation::put("/qos-specs/{id}/delete_keys", "Remove keys of QoS specs.")
        .rule(Rule::QosSpecsManageDelete)
        .body(|| wrapped("keys", keys()).open())
        .empty(202);
pub(in crate::cinder) const ASSOCIATIONS: Operation = Operation::get(
    "/qos-specs/{id}/associations",
    "List the types that refer to QoS specs.",
)
.rule(Rule::QosSpecsManageGetAll)
.answers(200, associations);
pub(in crate::cinder) const ASSOCIATE: Operation = Operation::get(
    "/qos-specs/{id}/associate",
    "Let a type refer to QoS specs. A GET, as the real service has it.",
)
.rule(Rule::QosSpecsManageUpdate)
.query(&[TYPE])
.empty(202);
pub(in crate::cinder) const DISASSOCIATE: Operation = Operation::get(
    "/qos-specs/{id}/disassociate",
    "Let a type refer to no QoS specs.",
)
.rule(Rule::QosSpecsManageUpdate)
.query(&[TYPE])
.empty(202);
pub(in crate::cinder) const DISASSOCIATE_ALL: Operation = Operation::get(
    "/qos-specs/{id}/disassociate_all",
    "Let no type refer to QoS specs.",
)
.rule(Rule::QosSpecsManageUpdate)
.empty(202);

fn specs() -> Shape {
    object([
        field("id", uuid()),
        field("name", text()),
        field("consumer", words(&["front-end", "back-end", "both"])),
        field("specs", map_of(text().or_null())),
    ])
    .named("QosSpecs")
}

fn shown() -> Shape {
    object([field("qos_specs", specs()), field("links", links())])
}

fn new() -> Shape {
    let specs = map_of(words_or_null());
    let named = object([field("name", text_of(1, TEXT_MAX).like(r"\S"))]).open();
    let both = all_of([specs, named]);
    wrapped("qos_specs", both).open()
}

fn changes() -> Shape {
    wrapped("qos_specs", map_of(words_or_null())).open()
}

fn keys() -> Shape {
    distinct(text_of(1, TEXT_MAX)).may_be_empty()
}

fn associations() -> Shape {
    let one = object([
        field("association_type", words(&["volume_type"])),
        field("name", text()),
        field("id", uuid()),
    ]);
    wrapped("qos_associations", list(one))
}
