//! What there is to say of the calls of Image.

use crate::openapi::shape::{
    self, Shape, any, any_of, distinct, field, flag, int, list, map_of, maybe, object, text,
    text_of, time, uuid, words, wrapped,
};
use crate::openapi::{ORDER, Operation, Parameter, parameter};

fn limit() -> Shape {
    shape::int_of(0, i64::from(i32::MAX))
}

fn truth() -> Shape {
    words(&["true", "false"])
}

/// Pages of a list.
const PAGES: &[Parameter] = &[
    parameter("limit", limit, "Most items of a page; 25 without it."),
    parameter("marker", text, "Id of the item before the page."),
];

/// Conditions of the list of images; any property is one as well.
const FILTERS: &[Parameter] = &[
    parameter("name", text, "A name, or `in:` and several."),
    parameter("id", text, "An id, or `in:` and several."),
    parameter("status", text, "A status, or `in:` and several."),
    parameter("visibility", text, "Who sees it, or `all`."),
    parameter("owner", text, "A project's id."),
    parameter("container_format", text, "A format, or `in:` and several."),
    parameter("disk_format", text, "A format, or `in:` and several."),
    parameter("protected", truth, "Whether it cannot be deleted."),
    parameter("os_hidden", truth, "Those that lists leave out."),
    parameter("tag", text, "A tag; may be given more than once."),
    parameter("size_min", int, "Least length in bytes."),
    parameter("size_max", int, "Greatest length in bytes."),
    parameter(
        "member_status",
        text,
        "Of shared images: what has become of the offer.",
    ),
    parameter(
        "created_at",
        text,
        "A time, behind an operator such as `gte:`.",
    ),
    parameter(
        "updated_at",
        text,
        "A time, behind an operator such as `gte:`.",
    ),
];

fn or_null(shape: Shape) -> Shape {
    shape.or_null()
}

fn image() -> Shape {
    object([
        field("id", uuid()),
        field("name", or_null(text_of(0, 255))),
        field("status", text()),
        field(
            "visibility",
            words(&["community", "public", "private", "shared"]),
        ),
        field("protected", flag()),
        field("os_hidden", flag()),
        field("checksum", or_null(text())),
        field("os_hash_algo", or_null(text())),
        field("os_hash_value", or_null(text())),
        field("owner", or_null(text())),
        field("size", or_null(int())),
        field("virtual_size", or_null(int())),
        field("container_format", or_null(text())),
        field("disk_format", or_null(text())),
        field("created_at", time()),
        field("updated_at", time()),
        field("tags", list(text())),
        field("min_ram", int()),
        field("min_disk", int()),
        field("self", text()),
        field("file", text()),
        field("schema", text()),
        maybe("stores", text()),
    ])
    .others(text())
    .named("Image")
}

fn images() -> Shape {
    object([
        field("images", list(image())),
        field("first", text()),
        field("schema", text()),
        maybe("next", text()),
    ])
}

fn new_image() -> Shape {
    object([
        maybe("id", uuid()),
        maybe("name", or_null(text_of(0, 255))),
        maybe(
            "visibility",
            words(&["community", "public", "private", "shared"]),
        ),
        maybe("protected", flag()),
        maybe("os_hidden", flag()),
        maybe("owner", or_null(text())),
        maybe("container_format", or_null(text())),
        maybe("disk_format", or_null(text())),
        maybe("tags", list(text_of(0, 255))),
        maybe("min_ram", int()),
        maybe("min_disk", int()),
    ])
    .others(text())
}

fn changes() -> Shape {
    let newer = object([
        field("op", words(&["add", "replace", "remove"])),
        field("path", text()),
        maybe("value", any()),
    ]);
    let older = object([
        maybe("add", text()),
        maybe("replace", text()),
        maybe("remove", text()),
        maybe("value", any()),
    ]);
    list(any_of([newer, older]))
}

fn member() -> Shape {
    object([
        field("member_id", text()),
        field("image_id", uuid()),
        field("status", words(&["pending", "accepted", "rejected"])),
        field("created_at", time()),
        field("updated_at", time()),
        field("schema", text()),
    ])
    .named("ImageMember")
}

fn members() -> Shape {
    object([field("members", list(member())), field("schema", text())])
}

fn task() -> Shape {
    object([
        field("id", uuid()),
        field(
            "status",
            words(&["pending", "processing", "success", "failure"]),
        ),
        field("type", text()),
    ])
    .open()
    .named("ImageTask")
}

fn tasks() -> Shape {
    object([
        field("tasks", list(task())),
        field("first", text()),
        field("schema", text()),
        maybe("next", text()),
    ])
}

fn stores() -> Shape {
    let store = object([
        field("id", text()),
        maybe("default", text()),
        maybe("type", text()),
        maybe("weight", int()),
        maybe("properties", map_of(any())),
    ]);
    wrapped("stores", list(store))
}

fn methods() -> Shape {
    let methods = object([
        field("description", text()),
        field("type", text()),
        field("value", list(text())),
    ]);
    wrapped("import-methods", methods)
}

fn import() -> Shape {
    object([
        field("method", object([field("name", text())]).open()),
        maybe("stores", distinct(text()).may_be_empty()),
        maybe("all_stores", flag()),
        maybe("all_stores_must_succeed", flag()),
    ])
    .open()
}

fn location() -> Shape {
    object([field("url", text()), field("metadata", map_of(text()))])
}

pub(super) const LIST: Operation = Operation::get("/images", "List images.")
    .query(&[PAGES, ORDER, FILTERS])
    .answers(200, images);
pub(super) const CREATE: Operation = Operation::post("/images", "Make an image without data.")
    .body(new_image)
    .answers(201, image)
    .faults(&[409]);
pub(super) const SHOW: Operation =
    Operation::get("/images/{image_id}", "Show an image.").answers(200, image);
pub(super) const UPDATE: Operation =
    Operation::patch("/images/{image_id}", "Change an image by a JSON patch.")
        .body(changes)
        .answers(200, image)
        .faults(&[409]);
pub(super) const DELETE: Operation = Operation::delete("/images/{image_id}", "Delete an image.")
    .empty(204)
    .faults(&[409]);
pub(super) const UPLOAD: Operation =
    Operation::put("/images/{image_id}/file", "Upload the data of an image.")
        .empty(204)
        .faults(&[409, 410, 413, 415]);
pub(super) const DOWNLOAD: Operation =
    Operation::get("/images/{image_id}/file", "Download the data of an image.")
        .data(&[204, 206])
        .faults(&[416]);
pub(super) const STAGE: Operation =
    Operation::put("/images/{image_id}/stage", "Upload data for an import.")
        .empty(204)
        .faults(&[409, 410, 413, 415]);
pub(super) const IMPORT: Operation =
    Operation::post("/images/{image_id}/import", "Import the data of an image.")
        .body(import)
        .empty(202)
        .faults(&[409]);
pub(super) const IMAGE_TASKS: Operation =
    Operation::get("/images/{image_id}/tasks", "List the imports of an image.")
        .answers(200, || wrapped("tasks", list(task())));
pub(super) const DEACTIVATE: Operation = Operation::post(
    "/images/{image_id}/actions/deactivate",
    "Keep the data of an image for administrators.",
)
.empty(204);
pub(super) const REACTIVATE: Operation = Operation::post(
    "/images/{image_id}/actions/reactivate",
    "Give the data of an image to all again who see it.",
)
.empty(204);
pub(super) const ADD_TAG: Operation =
    Operation::put("/images/{image_id}/tags/{tag}", "Add a tag to an image.")
        .empty(204)
        .faults(&[413]);
pub(super) const REMOVE_TAG: Operation =
    Operation::delete("/images/{image_id}/tags/{tag}", "Take a tag from an image.").empty(204);
pub(super) const MEMBERS: Operation = Operation::get(
    "/images/{image_id}/members",
    "List the projects that an image is shared with.",
)
.answers(200, members);
pub(super) const ADD_MEMBER: Operation = Operation::post(
    "/images/{image_id}/members",
    "Share an image with a project.",
)
.body(|| wrapped("member", text_of(1, 255)))
.answers(200, member)
.faults(&[409]);
pub(super) const MEMBER: Operation = Operation::get(
    "/images/{image_id}/members/{member_id}",
    "Show what a project made of the offer of an image.",
)
.answers(200, member);
pub(super) const UPDATE_MEMBER: Operation = Operation::put(
    "/images/{image_id}/members/{member_id}",
    "Accept or reject the offer of an image.",
)
.body(|| wrapped("status", words(&["pending", "accepted", "rejected"])))
.answers(200, member);
pub(super) const REMOVE_MEMBER: Operation = Operation::delete(
    "/images/{image_id}/members/{member_id}",
    "End the sharing of an image with a project.",
)
.empty(204);
pub(super) const LOCATIONS: Operation = Operation::get(
    "/images/{image_id}/locations",
    "Show where the data of an image is; services only.",
)
.answers(200, || list(location()));
pub(super) const ADD_LOCATION: Operation = Operation::post(
    "/images/{image_id}/locations",
    "Name a place for the data of an image, which is refused.",
)
.body(|| wrapped("url", text()).open())
.empty(202)
.faults(&[409]);
pub(super) const STORE_DELETE: Operation = Operation::delete(
    "/stores/{store}/{image_id}",
    "Take an image out of one of its stores, which is refused: it has no other.",
)
.empty(204)
.faults(&[409]);
pub(super) const SCHEMA: Operation = Operation::get(
    "/schemas/{name}",
    "Show the JSON schema of an object or list.",
)
.answers(200, || map_of(any()));
pub(super) const METADEF_SCHEMA: Operation = Operation::get(
    "/schemas/metadefs/{name}",
    "Show the JSON schema of a metadata definition or list.",
)
.answers(200, || map_of(any()));
pub(super) const IMPORT_INFO: Operation =
    Operation::get("/info/import", "List the import methods.").answers(200, methods);
pub(super) const STORES: Operation =
    Operation::get("/info/stores", "List the stores.").answers(200, stores);
pub(super) const STORES_DETAIL: Operation = Operation::get(
    "/info/stores/detail",
    "List the stores; services and administrators.",
)
.answers(200, stores);
pub(super) const TASKS: Operation = Operation::get("/tasks", "List imports; administrators only.")
    .query(&[PAGES])
    .answers(200, tasks);
pub(super) const TASK: Operation =
    Operation::get("/tasks/{task_id}", "Show an import; administrators only.").answers(200, task);
pub(super) const CREATE_TASK: Operation = Operation::post(
    "/tasks",
    "Import from an address, which is refused whatever the address.",
)
.body(|| object([field("type", text()), field("input", map_of(any()))]).open())
.answers(201, task);
