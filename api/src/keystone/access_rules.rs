//! `/v3/users/{id}/access_rules`: the calls that application credentials are held to.

use axum::extract::{Path, State};
use http::Uri;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bootstrap::new_id;
use super::calls::is_same;
use super::delegations::{AccessRule, AppCredential};
use super::operations::collection;
use super::records::BY_USER;
use super::resource::{Reply, link, list, no_content, ok, require_self};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Key, Query, View, Writer};
use crate::fault::Fault;
use crate::openapi::shape::{Shape, field, maybe, object, text, text_of, words, wrapped};
use crate::openapi::{Operation, Parameter, Routes, parameter};
use crate::page::Params;
use crate::server::Services;

/// Most rules of one credential.
pub(super) const OF_CREDENTIAL_MAX: usize = 100;
/// Longest path.
const PATH_MAX: usize = 225;
/// Longest type of a service.
const SERVICE_MAX: usize = 64;
const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
/// What the real service's texts call one.
const KIND: &str = "Access Rule";

const ALL: &str = "/v3/users/{user_id}/access_rules";
const ONE: &str = "/v3/users/{user_id}/access_rules/{access_rule_id}";
const FILTERS: &[Parameter] = &[
    parameter("service", text, "Those on this service."),
    parameter("path", text, "Those on this path."),
    parameter("method", text, "Those on this method."),
];

/// The routes of access rules.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(
            Operation::get(ALL, "List a user's access rules.")
                .query(&[FILTERS])
                .answers(200, || collection("access_rules", linked_rule())),
            index,
        )
        .on(
            Operation::get(ONE, "Show an access rule.")
                .answers(200, || wrapped("access_rule", linked_rule())),
            show,
        )
        .on(
            Operation::delete(ONE, "Delete an access rule.").empty(204),
            delete,
        )
}

fn fields() -> [crate::openapi::shape::Field; 3] {
    [
        field("service", text_of(1, SERVICE_MAX)),
        field("path", text_of(1, PATH_MAX)),
        field("method", words(&METHODS)),
    ]
}

fn linked_rule() -> Shape {
    let own = [field("id", text()), field("links", wrapped("self", text()))];
    object(own.into_iter().chain(fields()))
}

/// A rule within a credential: one that is named by its id needs nothing else.
pub(super) fn shape(new: bool) -> Shape {
    match new {
        true => object([
            maybe("id", text()),
            maybe("service", text_of(1, SERVICE_MAX)),
            maybe("path", text_of(1, PATH_MAX)),
            maybe("method", words(&METHODS)),
        ]),
        false => object([field("id", text())].into_iter().chain(fields())),
    }
}

/// A rule as answers show it within a credential.
pub(super) fn shown(rule: &AccessRule) -> Value {
    json!({"id": rule.id, "service": rule.service, "path": rule.path, "method": rule.method})
}

fn shown_with_link(services: &Services, rule: &AccessRule) -> Value {
    let mut body = shown(rule);
    body["links"] = link(services, "access_rules", &rule.id);
    body
}

/// The ids of the rules that a body names: known ones by id, others by what they permit, of which each
/// is kept once.
pub(super) fn take(writer: &Writer, user_id: &str, wanted: &[Value]) -> Result<Vec<String>, Fault> {
    let mut ids: Vec<String> = Vec::new();
    for given in wanted {
        let id = given.get("id").and_then(Value::as_str);
        let id = match id {
            Some(id) => known(writer, user_id, id)?,
            None => by_content(writer, user_id, given)?,
        };
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

fn known(view: &impl View, user_id: &str, id: &str) -> Result<String, Fault> {
    let rule = view.get::<AccessRule>(id)?;
    let rule = rule.filter(|rule| rule.user_id == user_id);
    Ok(rule.ok_or_else(|| texts::not_found(KIND, id))?.id)
}

fn by_content(writer: &Writer, user_id: &str, given: &Value) -> Result<String, Fault> {
    let invalid = |reason: &str| texts::invalid("access_rules", &given.to_string(), reason);
    let part = |key: &str, max: usize| {
        let part = given.get(key).and_then(Value::as_str);
        let part = part.filter(|part| !part.is_empty() && part.len() <= max);
        part.map(str::to_owned)
            .ok_or_else(|| invalid(&format!("'{key}' is a required property")))
    };
    let rule = AccessRule {
        id: new_id(),
        user_id: user_id.to_owned(),
        service: part("service", SERVICE_MAX)?,
        path: part("path", PATH_MAX)?,
        method: part("method", PATH_MAX)?,
    };
    if !rule.path.starts_with('/') {
        return Err(invalid(&format!(
            "'{}' does not match '^/\\\\.*'",
            rule.path
        )));
    }
    if !METHODS.contains(&rule.method.as_str()) {
        return Err(invalid(&format!(
            "'{}' is not one of {METHODS:?}",
            rule.method
        )));
    }
    for known in writer.list::<AccessRule>(&of_user(user_id))? {
        let same =
            known.service == rule.service && known.path == rule.path && known.method == rule.method;
        if same {
            return Ok(known.id);
        }
    }
    writer.insert(&rule)?;
    Ok(rule.id)
}

fn of_user(user_id: &str) -> Query {
    Query::by(BY_USER, Key::new().text(user_id))
}

/// The path of a rule.
#[derive(Deserialize)]
struct RulePath {
    user_id: String,
    access_rule_id: String,
}

impl RulePath {
    fn find(&self, view: &impl View) -> Result<AccessRule, Fault> {
        let id = &self.access_rule_id;
        let rule = view.get::<AccessRule>(id)?;
        let rule = rule.filter(|rule| rule.user_id == self.user_id);
        rule.ok_or_else(|| texts::not_found(KIND, id))
    }
}

async fn index(
    State(services): State<Services>,
    caller: Caller,
    Path(user_id): Path<String>,
    uri: Uri,
    params: Params,
) -> Reply {
    require_self(&caller, &user_id, "identity:list_access_rules")?;
    let mut found = services
        .blocking(move |services| {
            Ok(services
                .catalogue()
                .read(|reader| reader.list::<AccessRule>(&of_user(&user_id)))?)
        })
        .await?;
    found.retain(|rule| {
        is_same(&params, "service", &rule.service)
            && is_same(&params, "path", &rule.path)
            && is_same(&params, "method", &rule.method)
    });
    let items = found.iter().map(|rule| shown_with_link(&services, rule));
    list(&services, "access_rules", &uri, items.collect())
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    require_self(&caller, &path.user_id, "identity:get_access_rule")?;
    let rule = services
        .blocking(move |services| services.catalogue().read(|reader| path.find(reader)))
        .await?;
    ok(json!({ "access_rule": shown_with_link(&services, &rule) }))
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    if caller.user_id != path.user_id && !caller.is_identity_admin() {
        return Err(texts::forbidden("identity:delete_access_rule").into());
    }
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let rule = path.find(writer)?;
                let own = Query::by(BY_USER, Key::new().text(&rule.user_id));
                let credentials = writer.list::<AppCredential>(&own)?;
                let mut used = credentials
                    .iter()
                    .filter_map(|one| one.access_rules.as_ref());
                if used.any(|rules| rules.contains(&rule.id)) {
                    return Err(texts::forbidden_as_such(
                        "May not delete access rule in use",
                    ));
                }
                writer.delete::<AccessRule>(&rule.id)?;
                Ok(())
            })
        })
        .await?;
    no_content()
}
