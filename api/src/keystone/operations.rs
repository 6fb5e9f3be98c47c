//! The operations of Identity: one constant each, from which its route and its entry in the OpenAPI
//! document are made.
//!
//! The bodies of an object are described beside what reads and shows it: see
//! [`super::calls::Resource`].

use super::calls::Resource;
use super::records::Region;
use super::v2::version_shape as version;
use crate::openapi::shape::{
    Shape, any, any_of, field, flag, list, map_of, maybe, null, object, text, text_of, time, words,
    wrapped,
};
use crate::openapi::{Operation, Parameter, parameter, truth};

/// The operations that every kind of object has.
pub(super) struct Calls {
    pub(super) index: Operation,
    pub(super) create: Operation,
    pub(super) show: Operation,
    pub(super) update: Operation,
    pub(super) delete: Operation,
}

/// Those of a kind, given the path of all and the path of one.
pub(super) const fn calls<R: Resource>(all: &'static str, one: &'static str) -> Calls {
    Calls {
        index: Operation::get(all, R::SUMMARIES[0])
            .query(&[FILTERS])
            .answers(200, page::<R>),
        create: Operation::post(all, R::SUMMARIES[1])
            .body(new::<R>)
            .answers(201, shown::<R>),
        show: Operation::get(one, R::SUMMARIES[2]).answers(200, shown::<R>),
        update: Operation::patch(one, R::SUMMARIES[3])
            .body(changes::<R>)
            .answers(200, changed::<R>),
        delete: Operation::delete(one, R::SUMMARIES[4]).empty(204),
    }
}

const FILTERS: &[Parameter] = &[
    parameter("name", text, "Those of this name."),
    parameter("domain_id", text, "Those of this domain."),
    parameter("enabled", truth, "Those that are enabled, or not."),
];

pub(super) const VERSIONS: Operation = Operation::get("/", "List the versions of Identity.")
    .open()
    .answers(300, versions);
pub(super) const VERSION: Operation = Operation::get("/v3", "Show version 3 of Identity.")
    .open()
    .answers(200, || wrapped("version", version()));
pub(super) const ISSUE: Operation = Operation::post("/v3/auth/tokens", "Ask for a token.")
    .open()
    .query(&[NO_CATALOG])
    .body(auth)
    .answers(201, token)
    .faults(&[401, 403, 404, 429]);
pub(super) const VALIDATE: Operation = Operation::get("/v3/auth/tokens", "Show a token.")
    .query(&[NO_CATALOG])
    .headers(SUBJECT)
    .answers(200, token);
pub(super) const CHECK: Operation =
    Operation::head("/v3/auth/tokens", "Ask whether a token is valid.")
        .headers(SUBJECT)
        .empty(200);
pub(super) const REVOKE: Operation = Operation::delete("/v3/auth/tokens", "End a token.")
    .headers(SUBJECT)
    .empty(204);
pub(super) const CATALOG: Operation =
    Operation::get("/v3/auth/catalog", "Show where the services are.").answers(200, || {
        let links = wrapped("self", text());
        object([field("catalog", catalog()), field("links", links)])
    });
pub(super) const SYSTEM: Operation = Operation::get(
    "/v3/auth/system",
    "Show whether the caller has roles on the system.",
)
.answers(200, || {
    let links = wrapped("self", text());
    object([
        field("system", list(wrapped("all", flag()))),
        field("links", links),
    ])
});
pub(super) const CHANGE_PASSWORD: Operation = Operation::post(
    "/v3/users/{user_id}/password",
    "Change a password, knowing the old one.",
)
.open()
.body(password)
.empty(204)
.faults(&[401]);
pub(super) const END_TOKENS: Operation =
    Operation::delete("/v3/users/{user_id}/tokens", "End all tokens of a user.").empty(204);
pub(super) const PUT_REGION: Operation =
    Operation::put("/v3/regions/{region_id}", "Create the region of this id.")
        .body(new::<Region>)
        .answers(201, shown::<Region>);
pub(super) const ASSIGNMENTS: Operation =
    Operation::get("/v3/role_assignments", "List who has which role on what.")
        .query(&[ASSIGNMENT_FILTERS])
        .answers(200, || collection("role_assignments", assignment()));

const NO_CATALOG: &[Parameter] = &[parameter("nocatalog", text, "Leave out the catalogue.")];
const SUBJECT: &[Parameter] =
    &[parameter("X-Subject-Token", text, "The token asked about.").required()];
const ASSIGNMENT_FILTERS: &[Parameter] = &[
    parameter("user.id", text, "Those of this user."),
    parameter("group.id", text, "Those of this group."),
    parameter("role.id", text, "Those of this role."),
    parameter("scope.project.id", text, "Those on this project."),
    parameter("scope.domain.id", text, "Those on this domain."),
    parameter("scope.system", text, "Those on the system."),
    parameter(
        "scope.OS-INHERIT:inherited_to",
        text,
        "Those that hold on the projects below: `projects`.",
    ),
    parameter(
        "include_subtree",
        truth,
        "Those on the projects below the project as well.",
    ),
    parameter(
        "effective",
        truth,
        "As they come out: for each user of a group, on each project, with implied roles.",
    ),
    parameter("include_names", truth, "With names."),
];

/// Lists of a kind that only those see that they belong to.
pub(super) const fn own<R: Resource>(path: &'static str, summary: &'static str) -> Operation {
    Operation::get(path, summary).answers(200, page::<R>)
}

/// The operations on roles of users on a target.
pub(super) struct Grants {
    pub(super) index: Operation,
    pub(super) head: Operation,
    pub(super) check: Operation,
    pub(super) put: Operation,
    pub(super) delete: Operation,
}

/// Those on a kind of target, given the path of all and the path of one.
pub(super) const fn grants<R: Resource>(all: &'static str, one: &'static str) -> Grants {
    Grants {
        index: Operation::get(all, "List the roles there.").answers(200, page::<R>),
        head: Operation::head(one, "Ask whether a user has a role there.").empty(204),
        check: Operation::get(one, "Ask whether a user has a role there.").empty(204),
        put: Operation::put(one, "Give a role there.").empty(204),
        delete: Operation::delete(one, "Take a role there.").empty(204),
    }
}

/// The links of an object.
pub(super) fn links() -> Shape {
    wrapped("self", text()).named("SelfLink")
}

/// A list of objects, which has always one page.
pub(super) fn collection(plural: &str, of: Shape) -> Shape {
    let links = object([
        field("self", text()),
        field("previous", null()),
        field("next", null()),
    ])
    .named("CollectionLinks");
    object([field(plural, list(of)), field("links", links)])
}

fn view<R: Resource>() -> Shape {
    let fields = R::fields()
        .into_iter()
        .chain([field("id", text()), field("links", links())]);
    object(fields).open().named(R::TITLE)
}

pub(super) fn page<R: Resource>() -> Shape {
    collection(R::PLURAL, view::<R>())
}

pub(super) fn shown<R: Resource>() -> Shape {
    wrapped(R::KIND, view::<R>())
}

fn changed<R: Resource>() -> Shape {
    let extra = maybe("extra", map_of(any()));
    let fields = R::fields().into_iter();
    let changed = object(fields.chain([field("id", text()), field("links", links()), extra]));
    wrapped(R::KIND, changed.open())
}

fn new<R: Resource>() -> Shape {
    wrapped(R::KIND, object(R::attributes(true)).open()).open()
}

fn changes<R: Resource>() -> Shape {
    wrapped(R::KIND, object(R::attributes(false)).open()).open()
}

fn versions() -> Shape {
    wrapped("versions", wrapped("values", list(version())))
}

fn auth() -> Shape {
    let domain = || object([maybe("id", text()), maybe("name", text())]).open();
    let reference = || {
        object([
            maybe("id", text()),
            maybe("name", text()),
            maybe("domain", domain()),
        ])
        .open()
    };
    let user = object([
        maybe("id", text()),
        maybe("name", text()),
        maybe("domain", domain()),
        field("password", text()),
    ])
    .open();
    let credential = object([
        maybe("id", text()),
        maybe("name", text()),
        maybe("user", reference()),
        field("secret", text()),
    ])
    .open();
    let methods = words(&["password", "token", "application_credential"]);
    let identity = object([
        field("methods", list(methods)),
        maybe("application_credential", credential),
        maybe("password", wrapped("user", user).open()),
        maybe("token", wrapped("id", text()).open()),
    ])
    .open();
    let scope = object([
        maybe("project", reference()),
        maybe("domain", domain()),
        maybe("system", wrapped("all", flag())),
        maybe("unscoped", map_of(any())),
        maybe("OS-TRUST:trust", wrapped("id", text()).open()),
    ])
    .open();
    let auth = object([
        field("identity", identity),
        maybe("scope", any_of([scope, words(&["unscoped"])])),
    ]);
    wrapped("auth", auth.open()).open().named("AuthRequest")
}

fn named() -> [crate::openapi::shape::Field; 2] {
    [field("id", text()), field("name", text())]
}

fn token() -> Shape {
    let domain = || object(named());
    let in_domain = || named().into_iter().chain([field("domain", domain())]);
    let expiry = field("password_expires_at", null());
    let token = object([
        field("methods", list(text())),
        field("user", object(in_domain().chain([expiry]))),
        field("audit_ids", list(text())),
        field("issued_at", time()),
        field("expires_at", time()),
        maybe("project", object(in_domain())),
        maybe("is_domain", flag()),
        maybe("domain", domain()),
        maybe("system", wrapped("all", flag())),
        maybe("roles", list(object(named()))),
        maybe("catalog", catalog()),
        maybe("application_credential", app_credential()),
        maybe("OS-TRUST:trust", trust()),
    ]);
    wrapped("token", token).named("Token")
}

fn app_credential() -> Shape {
    object([
        field("id", text()),
        field("name", text()),
        field("restricted", flag()),
        maybe("access_rules", list(super::access_rules::shape(false))),
    ])
}

fn trust() -> Shape {
    object([
        field("id", text()),
        field("impersonation", flag()),
        field("trustor_user", wrapped("id", text())),
        field("trustee_user", wrapped("id", text())),
    ])
}

fn catalog() -> Shape {
    let endpoint = object([
        field("id", text()),
        field("interface", words(&["public", "internal", "admin"])),
        field("region", text().or_null()),
        field("region_id", text().or_null()),
        field("url", text()),
    ]);
    let entry = named()
        .into_iter()
        .chain([field("type", text()), field("endpoints", list(endpoint))]);
    list(object(entry)).named("Catalog")
}

fn password() -> Shape {
    let user = object([
        field("original_password", text_of(1, 1024)),
        field("password", text_of(1, 1024)),
    ]);
    wrapped("user", user.open()).open()
}

fn assignment() -> Shape {
    let domain = || object([field("id", text()), maybe("name", text())]);
    let in_domain = || {
        object([
            field("id", text()),
            maybe("name", text()),
            maybe("domain", domain()),
        ])
    };
    let scope = object([
        maybe("project", in_domain()),
        maybe("domain", domain()),
        maybe("system", wrapped("all", flag())),
        maybe("OS-INHERIT:inherited_to", words(&["projects"])),
    ]);
    let links = object([
        field("assignment", text()),
        maybe("prior_role", text()),
        maybe("membership", text()),
    ]);
    object([
        field("links", links),
        field("role", in_domain()),
        field("scope", scope),
        maybe("user", in_domain()),
        maybe("group", in_domain()),
    ])
    .named("RoleAssignment")
}
