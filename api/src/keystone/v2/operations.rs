//! The operations of Identity v2.0, as [`crate::keystone::operations`] has those of v3. The document
//! tells of JSON; XML has the same parts.

use crate::openapi::shape::{
    Shape, any_of, field, flag, int_of, list, maybe, null, object, text, time, words, wrapped,
};
use crate::openapi::{Operation, Parameter, parameter};

pub(super) const VERSION: Operation = Operation::get(
    "/v2.0/",
    "Show version 2.0 of Identity, which is deprecated.",
)
.open()
.answers(200, || wrapped("version", version()));
pub(super) const ISSUE: Operation = Operation::post("/v2.0/tokens", "Ask for a token.")
    .open()
    .body(auth)
    .answers(200, access)
    .faults(&[401, 403, 404, 413]);
pub(super) const VALIDATE: Operation = Operation::get(
    "/v2.0/tokens/{token_id}",
    "Show a token to an administrator.",
)
.query(&[BELONGS_TO])
.answers(200, access);
pub(super) const CHECK: Operation =
    Operation::head("/v2.0/tokens/{token_id}", "Ask whether a token is valid.")
        .query(&[BELONGS_TO])
        .empty(200);
pub(super) const REVOKE: Operation =
    Operation::delete("/v2.0/tokens/{token_id}", "End a token.").empty(204);
pub(super) const ENDPOINTS: Operation = Operation::get(
    "/v2.0/tokens/{token_id}/endpoints",
    "List the endpoints that a token shows.",
)
.answers(200, || {
    let endpoint = endpoint([field("name", text()), field("type", text())]);
    object([
        field("endpoints", list(endpoint)),
        field("endpoints_links", no_links()),
    ])
});
pub(super) const TENANTS: Operation = Operation::get("/v2.0/tenants", "List the caller's tenants.")
    .query(&[TENANT_PAGES])
    .answers(200, || {
        object([
            field("tenants", list(tenant())),
            field("tenants_links", no_links()),
        ])
    });

const BELONGS_TO: &[Parameter] = &[parameter(
    "belongsTo",
    text,
    "The tenant that the token must be for.",
)];
const TENANT_PAGES: &[Parameter] = &[
    parameter("marker", text, "The tenant after which the page begins."),
    parameter("limit", text, "Tenants of a page at most."),
];

/// Lists that v2.0 has a place for and nothing to put into.
fn no_links() -> Shape {
    list(null())
}

/// An entry of a list of versions, whichever it is.
pub(in crate::keystone) fn version() -> Shape {
    let link = object([
        field("rel", text()),
        field("href", text()),
        maybe("type", text()),
    ]);
    let kind = object([field("base", text()), field("type", text())]);
    object([
        field("id", text()),
        field("status", words(&["stable", "deprecated"])),
        field("updated", time()),
        field("links", list(link)),
        field("media-types", list(kind)),
    ])
    .named("IdentityVersion")
}

fn auth() -> Shape {
    let credentials = object([field("username", text()), field("password", text())]);
    let auth = object([
        maybe("tenantName", text().or_null()),
        maybe("tenantId", text().or_null()),
        maybe("passwordCredentials", credentials.open()),
        maybe("token", wrapped("id", text()).open()),
    ]);
    wrapped("auth", auth.open())
        .open()
        .named("LegacyAuthRequest")
}

fn tenant() -> Shape {
    object([
        field("description", text().or_null()),
        field("enabled", flag()),
        field("id", text()),
        field("name", text()),
    ])
    .named("Tenant")
}

fn endpoint(others: impl IntoIterator<Item = crate::openapi::shape::Field>) -> Shape {
    let own = [
        field("id", text()),
        field("region", text().or_null()),
        maybe("adminURL", text()),
        maybe("internalURL", text()),
        maybe("publicURL", text()),
    ];
    object(own.into_iter().chain(others))
}

fn access() -> Shape {
    let token = object([
        field("issued_at", time()),
        field("expires", time()),
        field("id", text()),
        maybe("tenant", tenant()),
    ]);
    let service = object([
        field("endpoints", list(endpoint([]))),
        field("endpoints_links", no_links()),
        field("type", text()),
        field("name", text()),
    ]);
    let user = object([
        field("username", text()),
        field("roles_links", no_links()),
        field("id", text()),
        field("roles", list(wrapped("name", text()))),
        field("name", text()),
    ]);
    let metadata = object([
        field("is_admin", int_of(0, 1)),
        field("roles", list(text())),
    ]);
    let access = object([
        field("token", token),
        field("serviceCatalog", list(service)),
        field("user", user),
        field("metadata", metadata),
    ]);
    wrapped("access", access).named("Access")
}

/// The fault of a status, under any of these names.
pub(crate) fn fault(names: impl IntoIterator<Item = &'static str>, code: &Shape) -> Shape {
    let inner = || {
        object([
            field("code", code.clone()),
            field("message", text()),
            field("details", text()),
        ])
    };
    any_of(names.into_iter().map(|name| wrapped(name, inner())))
}
