//! `/v3/OS-TRUST/trusts`.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::app_credentials::find_role;
use super::bootstrap::new_id;
use super::calls::{find, shown as shown_object};
use super::delegations::{BY_TRUSTEE, Trust};
use super::operations::{collection, page, shown as shown_shape};
use super::records::{BY_USER, Role};
use super::resource::{
    Attributes, Reply, created, list as listed, no_content, ok, require_reader, require_self,
};
use super::texts;
use super::trusts::{self, REDELEGATIONS_MAX};
use crate::auth::Caller;
use crate::body::IdentityBody;
use crate::catalogue::{Key, Query, View};
use crate::clock::identity_time;
use crate::fault::Fault;
use crate::openapi::shape::{
    Shape, any, field, flag, int, list, map_of, maybe, null, object, text, time, wrapped,
};
use crate::openapi::{Operation, Parameter, Routes, parameter};
use crate::page::Params;
use crate::server::Services;

/// Longest id.
const ID_MAX: usize = 255;
/// Most roles of a trust.
const ROLES_MAX: usize = 64;

const ALL: &str = "/v3/OS-TRUST/trusts";
const ONE: &str = "/v3/OS-TRUST/trusts/{trust_id}";
const ROLES: &str = "/v3/OS-TRUST/trusts/{trust_id}/roles";
const ROLE: &str = "/v3/OS-TRUST/trusts/{trust_id}/roles/{role_id}";
const FILTERS: &[Parameter] = &[
    parameter("trustor_user_id", text, "Those that this user lends."),
    parameter("trustee_user_id", text, "Those that this user borrows."),
];

/// The routes of trusts.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(
            Operation::get(ALL, "List trusts.")
                .query(&[FILTERS])
                .answers(200, || collection("trusts", trust(false))),
            index,
        )
        .on(
            Operation::post(ALL, "Create a trust.")
                .body(new)
                .answers(201, || wrapped("trust", trust(true))),
            create,
        )
        .on(
            Operation::get(ONE, "Show a trust.").answers(200, || wrapped("trust", trust(true))),
            show,
        )
        .on(Operation::delete(ONE, "End a trust.").empty(204), delete)
        .on(
            Operation::get(ROLES, "List the roles of a trust.").answers(200, page::<Role>),
            roles,
        )
        .on(
            Operation::get(ROLE, "Show a role of a trust.").answers(200, shown_shape::<Role>),
            role,
        )
}

fn trust(with_roles: bool) -> Shape {
    let mut fields = vec![
        field("id", text()),
        field("trustor_user_id", text()),
        field("trustee_user_id", text()),
        field("project_id", text().or_null()),
        field("impersonation", flag()),
        field("expires_at", time().or_null()),
        field("deleted_at", null()),
        field("remaining_uses", int().or_null()),
        field("redelegated_trust_id", text().or_null()),
        field("redelegation_count", int()),
        field("links", wrapped("self", text())),
    ];
    if with_roles {
        fields.push(field("roles", list(map_of(any()))));
        fields.push(field("roles_links", map_of(text().or_null())));
    }
    object(fields)
}

fn new() -> Shape {
    let role = object([maybe("id", text()), maybe("name", text())]);
    let trust = object([
        field("trustor_user_id", text()),
        field("trustee_user_id", text()),
        field("impersonation", flag()),
        maybe("project_id", text().or_null()),
        maybe("remaining_uses", int().or_null()),
        maybe("expires_at", text().or_null()),
        maybe("allow_redelegation", flag().or_null()),
        maybe("redelegation_count", int().or_null()),
        maybe("roles", list(role)),
    ]);
    wrapped("trust", trust.open())
}

/// 403 of a token that a program has got with a credential: it must not lend on.
fn check_delegation(caller: &Caller) -> Result<(), Fault> {
    match &caller.bounds.app_credential {
        Some(_) => Err(texts::forbidden("Delegated tokens cannot manage trusts.")),
        None => Ok(()),
    }
}

fn required(attributes: &Attributes, field: &str) -> Result<String, Fault> {
    let given = attributes.text(field, ID_MAX)?;
    given.ok_or_else(|| attributes.missing(field))
}

/// The trust that a body asks for, with its roles as they are named.
fn asked(
    attributes: &Attributes,
    caller: &Caller,
    now_us: u64,
) -> Result<(Trust, Vec<Value>), Fault> {
    let impersonation = attributes.flag("impersonation")?;
    let impersonation = impersonation.ok_or_else(|| attributes.missing("impersonation"))?;
    let count = attributes.count("redelegation_count")?;
    let redelegates = attributes.flag("allow_redelegation")? == Some(true) && count != Some(0);
    let remaining_uses = attributes.count("remaining_uses")?;
    if redelegates && count.is_some_and(|count| count > REDELEGATIONS_MAX) {
        return Err(texts::forbidden_as_such(format!(
            "Requested redelegation depth of {} is greater than allowed {REDELEGATIONS_MAX}",
            count.unwrap_or_default()
        )));
    }
    if remaining_uses == Some(0) {
        let reason = "0 is less than the minimum of 1";
        return Err(texts::invalid("remaining_uses", "0", reason));
    }
    if redelegates && remaining_uses.is_some() {
        let message = "remaining_uses must not be set if redelegation is allowed";
        return Err(Fault::bad_request(message));
    }
    let roles = attributes.list("roles", ROLES_MAX)?.unwrap_or_default();
    let project_id = attributes.text("project_id", ID_MAX)?;
    if project_id.is_some() && roles.is_empty() {
        return Err(texts::forbidden("At least one role should be specified"));
    }
    let trust = Trust {
        id: new_id(),
        trustor_id: required(attributes, "trustor_user_id")?,
        trustee_id: required(attributes, "trustee_user_id")?,
        project_id: project_id.filter(|id| !id.is_empty()),
        roles: Vec::new(),
        impersonation,
        expires_us: attributes.future("expires_at", now_us)?,
        remaining_uses,
        allow_redelegation: redelegates,
        redelegation_count: match redelegates {
            true => count.unwrap_or(REDELEGATIONS_MAX),
            false => 0,
        },
        redelegated_from: caller.bounds.trust.clone(),
    };
    Ok((trust, roles.to_vec()))
}

async fn create(
    State(services): State<Services>,
    caller: Caller,
    IdentityBody(body): IdentityBody,
) -> Reply {
    let attributes = Attributes::of(body, "trust")?;
    if attributes.raw("trustor_user_id") != Some(&json!(caller.user_id)) {
        return Err(texts::forbidden("identity:create_trust").into());
    }
    check_delegation(&caller)?;
    let (mut trust, roles) = asked(&attributes, &caller, services.now_us())?;
    let body = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                for role in &roles {
                    trust.roles.push(find_role(writer, role)?);
                }
                let trust = trusts::create(writer, trust, services.now_us())?;
                with_roles(services, writer, &trust)
            })
        })
        .await?;
    created(json!({ "trust": body }))
}

fn shown(services: &Services, trust: &Trust) -> Value {
    let base = services.config().identity_base();
    json!({
        "id": trust.id,
        "trustor_user_id": trust.trustor_id,
        "trustee_user_id": trust.trustee_id,
        "project_id": trust.project_id,
        "impersonation": trust.impersonation,
        "expires_at": trust.expires_us.map(identity_time),
        "deleted_at": null,
        "remaining_uses": trust.remaining_uses,
        "redelegated_trust_id": trust.redelegated_from,
        "redelegation_count": trust.redelegation_count,
        "links": {"self": format!("{base}{ALL}/{}", trust.id)},
    })
}

fn with_roles(services: &Services, view: &impl View, trust: &Trust) -> Result<Value, Fault> {
    let base = services.config().identity_base();
    let mut roles = Vec::new();
    for id in &trust.roles {
        roles.extend(
            view.get::<Role>(id)?
                .map(|role| shown_object(services, role)),
        );
    }
    let mut body = shown(services, trust);
    body["roles"] = Value::Array(roles);
    body["roles_links"] = json!({
        "self": format!("{base}{ALL}/{}/roles", trust.id),
        "next": null,
        "previous": null,
    });
    Ok(body)
}

/// The trust, if the caller lends or borrows by it, is admin or reads the whole system.
fn permitted(
    services: &Services,
    view: &impl View,
    caller: &Caller,
    id: &str,
    rule: &str,
) -> Result<Trust, Fault> {
    let trust = trusts::find(view, id, services.now_us())?;
    if ![&trust.trustor_id, &trust.trustee_id].contains(&&caller.user_id) {
        require_reader(caller, rule)?;
    }
    check_delegation(caller)?;
    Ok(trust)
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> Reply {
    let query = match (params.get("trustor_user_id"), params.get("trustee_user_id")) {
        (Some(id), _) => {
            require_self(&caller, id, "identity:list_trusts_for_trustor")?;
            Query::by(BY_USER, Key::new().text(id))
        }
        (None, Some(id)) => {
            require_self(&caller, id, "identity:list_trusts_for_trustee")?;
            Query::by(BY_TRUSTEE, Key::new().text(id))
        }
        (None, None) => {
            require_reader(&caller, "identity:list_trusts")?;
            Query::all()
        }
    };
    check_delegation(&caller)?;
    let mut found = services
        .blocking(move |services| Ok(services.catalogue().read(|r| r.list::<Trust>(&query))?))
        .await?;
    let now_us = services.now_us();
    found.retain(|trust| trusts::is_live(trust, now_us));
    let items = found.iter().map(|trust| shown(&services, trust));
    listed(&services, "trusts", &uri, items.collect())
}

async fn show(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    let body = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let trust = permitted(services, reader, &caller, &id, "identity:get_trust")?;
                with_roles(services, reader, &trust)
            })
        })
        .await?;
    ok(json!({ "trust": body }))
}

async fn delete(State(services): State<Services>, caller: Caller, Path(id): Path<String>) -> Reply {
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let trust = trusts::find(writer, &id, services.now_us())?;
                if trust.trustor_id != caller.user_id && !caller.is_identity_admin() {
                    return Err(texts::forbidden("identity:delete_trust"));
                }
                check_delegation(&caller)?;
                Ok(trusts::remove(writer, &trust.id)?)
            })
        })
        .await?;
    no_content()
}

async fn roles(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Reply {
    let rule = "identity:list_roles_for_trust";
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let trust = permitted(services, reader, &caller, &id, rule)?;
                let mut found = Vec::new();
                for id in &trust.roles {
                    found.extend(reader.get::<Role>(id)?);
                }
                Ok::<_, Fault>(found)
            })
        })
        .await?;
    let items = found.into_iter().map(|role| shown_object(&services, role));
    listed(&services, "roles", &uri, items.collect())
}

/// The path of a role of a trust.
#[derive(Deserialize)]
struct RolePath {
    trust_id: String,
    role_id: String,
}

async fn role(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RolePath>,
) -> Reply {
    let rule = "identity:get_role_for_trust";
    let found = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let trust = permitted(services, reader, &caller, &path.trust_id, rule)?;
                match trust.roles.contains(&path.role_id) {
                    true => find::<Role>(reader, &path.role_id),
                    false => Err(texts::not_found("role", &path.role_id)),
                }
            })
        })
        .await?;
    ok(json!({ "role": shown_object(&services, found) }))
}
