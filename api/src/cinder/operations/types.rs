//! Volume types: extra specs, access, encryption and defaults of projects.

use super::volume_actions::of;
use super::{shown_specs, specs, spelled_flag, words_or_null};
use crate::cinder::validate::{CONTROL_LOCATIONS, TEXT_MAX};
use crate::openapi::shape::{
    Shape, any_of, field, flag, int, int_of, list, map_of, maybe, null, object, text, text_of,
    time, uuid, wire, words, wrapped,
};
use crate::openapi::{ORDER, Operation, PAGES, Parameter, parameter};
use crate::policy::Rule;
use crate::types::cinder::{DefaultTypeBody, DefaultTypes, VolumeTypeBody, VolumeTypeList};

/// The microversion that brought defaults of projects.
const DEFAULTS_SINCE: u16 = 62;

const FILTERS: &[Parameter] = &[
    parameter(
        "is_public",
        || words(&["true", "false", "none"]),
        "Public types, private ones or both; admins only.",
    ),
    parameter(
        "extra_specs",
        text,
        "Types with these specs, as a dictionary.",
    )
    .since(52),
];

pub(in crate::cinder) const LIST: Operation = Operation::get("/types", "List volume types.")
    .rule(Rule::TypeGetAll)
    .query(&[PAGES, ORDER, FILTERS])
    .answers(200, wire::<VolumeTypeList>);
pub(in crate::cinder) const CREATE: Operation = Operation::post("/types", "Create a volume type.")
    .rule(Rule::TypeCreate)
    .body(new)
    .answers(200, wire::<VolumeTypeBody>)
    .faults(&[409]);
pub(in crate::cinder) const SHOW: Operation = Operation::get(
    "/types/{type_id}",
    "Show a volume type; `default` is the default type.",
)
.rule(Rule::TypeGet)
.answers(200, wire::<VolumeTypeBody>);
pub(in crate::cinder) const UPDATE: Operation =
    Operation::put("/types/{type_id}", "Change a volume type.")
        .rule(Rule::TypeUpdate)
        .body(changes)
        .answers(200, wire::<VolumeTypeBody>)
        .faults(&[409]);
pub(in crate::cinder) const DELETE: Operation =
    Operation::delete("/types/{type_id}", "Delete a volume type.")
        .rule(Rule::TypeDelete)
        .empty(202);

pub(in crate::cinder) const SPECS: Operation = Operation::get(
    "/types/{type_id}/extra_specs",
    "Show the extra specs of a type.",
)
.rule(Rule::TypesExtraSpecsIndex)
.answers(200, || wrapped("extra_specs", shown_specs()));
pub(in crate::cinder) const ADD_SPECS: Operation =
    Operation::post("/types/{type_id}/extra_specs", "Add extra specs to a type.")
        .rule(Rule::TypesExtraSpecsCreate)
        .body(|| wrapped("extra_specs", specs()).open())
        .answers(200, || wrapped("extra_specs", shown_specs()).open());
pub(in crate::cinder) const SPEC: Operation =
    Operation::get("/types/{type_id}/extra_specs/{key}", "Show one extra spec.")
        .rule(Rule::TypesExtraSpecsShow)
        .answers(200, shown_specs);
pub(in crate::cinder) const SET_SPEC: Operation =
    Operation::put("/types/{type_id}/extra_specs/{key}", "Set one extra spec.")
        .rule(Rule::TypesExtraSpecsUpdate)
        .body(|| specs().filled())
        .answers(200, shown_specs);
pub(in crate::cinder) const REMOVE_SPEC: Operation = Operation::delete(
    "/types/{type_id}/extra_specs/{key}",
    "Remove one extra spec.",
)
.rule(Rule::TypesExtraSpecsDelete)
.empty(202);

pub(in crate::cinder) const ACCESS: Operation = Operation::get(
    "/types/{type_id}/os-volume-type-access",
    "List the projects that may use a private type.",
)
.rule(Rule::VolumeTypeAccessGetAllForType)
.answers(200, access);

const fn action(name: &'static str, summary: &'static str, rule: Rule) -> Operation {
    Operation::action("/types/{type_id}/action", name, summary)
        .rule(rule)
        .empty(202)
}

pub(in crate::cinder) const ACTIONS: [Operation; 2] = [
    action(
        "addProjectAccess",
        "Let a project use a private type.",
        Rule::VolumeTypeAccessAddProjectAccess,
    )
    .body(|| of("addProjectAccess", [field("project", text_of(1, TEXT_MAX))]))
    .faults(&[409]),
    action(
        "removeProjectAccess",
        "Let a project no longer use a private type.",
        Rule::VolumeTypeAccessRemoveProjectAccess,
    )
    .body(|| {
        of(
            "removeProjectAccess",
            [field("project", text_of(1, TEXT_MAX))],
        )
    }),
];

pub(in crate::cinder) const ENCRYPTION: Operation = Operation::get(
    "/types/{type_id}/encryption",
    "Show how volumes of a type are encrypted.",
)
.rule(Rule::VolumeTypeEncryptionGet)
.answers(200, || any_of([encryption(), object([])]));
pub(in crate::cinder) const CREATE_ENCRYPTION: Operation = Operation::post(
    "/types/{type_id}/encryption",
    "Say how volumes of a type are encrypted.",
)
.rule(Rule::VolumeTypeEncryptionCreate)
.body(|| {
    encryption_body([
        field("provider", provider()),
        field("control_location", place()),
    ])
})
.answers(200, || {
    wrapped("encryption", map_of(any_of([text(), int(), null()])))
});
pub(in crate::cinder) const ENCRYPTION_KEY: Operation = Operation::get(
    "/types/{type_id}/encryption/{key}",
    "Show one value of how volumes of a type are encrypted.",
)
.rule(Rule::VolumeTypeEncryptionGet)
.answers(200, || map_of(any_of([text(), int(), flag(), null()])));
pub(in crate::cinder) const UPDATE_ENCRYPTION: Operation = Operation::put(
    "/types/{type_id}/encryption/{key}",
    "Change how volumes of a type are encrypted.",
)
.rule(Rule::VolumeTypeEncryptionUpdate)
.body(|| {
    encryption_body([
        maybe("provider", provider()),
        maybe("control_location", place()),
    ])
})
.answers(200, || {
    wrapped("encryption", map_of(any_of([text(), int(), null()])))
});
pub(in crate::cinder) const DELETE_ENCRYPTION: Operation = Operation::delete(
    "/types/{type_id}/encryption/{key}",
    "No longer encrypt volumes of a type.",
)
.rule(Rule::VolumeTypeEncryptionDelete)
.empty(202);

pub(in crate::cinder) const DEFAULTS: Operation =
    Operation::get("/default-types", "List the default types of projects.")
        .since(DEFAULTS_SINCE)
        .rule(Rule::DefaultGetAll)
        .answers(200, wire::<DefaultTypes>);
pub(in crate::cinder) const DEFAULT: Operation = Operation::get(
    "/default-types/{project_id}",
    "Show the default type of a project.",
)
.since(DEFAULTS_SINCE)
.rule(Rule::DefaultGet)
.answers(200, wire::<DefaultTypeBody>);
pub(in crate::cinder) const SET_DEFAULT: Operation = Operation::put(
    "/default-types/{project_id}",
    "Set the default type of a project.",
)
.since(DEFAULTS_SINCE)
.rule(Rule::DefaultSetOrUpdate)
.body(|| of("default_type", [field("volume_type", text_of(1, TEXT_MAX))]))
.answers(200, wire::<DefaultTypeBody>);
pub(in crate::cinder) const UNSET_DEFAULT: Operation = Operation::delete(
    "/default-types/{project_id}",
    "Let a project have the default type of all.",
)
.since(DEFAULTS_SINCE)
.rule(Rule::DefaultUnset)
.empty(204);

fn new() -> Shape {
    let volume_type = object([
        field("name", text_of(1, TEXT_MAX)),
        maybe("description", words_or_null()),
        maybe("extra_specs", specs()),
        maybe("os-volume-type-access:is_public", spelled_flag()),
    ]);
    wrapped("volume_type", volume_type)
        .open()
        .named("VolumeTypeCreate")
}

fn changes() -> Shape {
    let volume_type = object([
        maybe("name", words_or_null()),
        maybe("description", words_or_null()),
        maybe("is_public", spelled_flag()),
    ]);
    wrapped("volume_type", volume_type)
        .open()
        .named("VolumeTypeUpdate")
}

fn access() -> Shape {
    let one = object([field("volume_type_id", uuid()), field("project_id", text())]);
    wrapped("volume_type_access", list(one))
}

fn provider() -> Shape {
    text_of(0, TEXT_MAX)
}

fn place() -> Shape {
    words(&CONTROL_LOCATIONS)
}

fn encryption_body(own: [crate::openapi::shape::Field; 2]) -> Shape {
    let key_size = any_of([int_of(0, 2_147_483_647), text().like("^[0-9]+$"), null()]);
    let common = [
        maybe("cipher", words_or_null()),
        maybe("key_size", key_size),
    ];
    wrapped("encryption", object(own.into_iter().chain(common)).open()).open()
}

fn encryption() -> Shape {
    object([
        field("volume_type_id", uuid()),
        field("encryption_id", uuid()),
        field("provider", text()),
        field("control_location", place()),
        field("cipher", text().or_null()),
        field("key_size", int().or_null()),
        field("created_at", time()),
        field("updated_at", time().or_null()),
        field("deleted", flag()),
        field("deleted_at", time().or_null()),
    ])
    .named("TypeEncryption")
}
