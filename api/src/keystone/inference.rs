//! `/v3/roles/{id}/implies` and `/v3/role_inferences`: roles that come with others.

use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::find;
use super::records::Role;
use super::resource::{Reply, created, link, no_content, ok, require_admin, require_reader};
use super::texts;
use crate::auth::Caller;
use crate::catalogue::{Query, View};
use crate::fault::Fault;
use crate::openapi::shape::{Shape, field, list, maybe, object, text, wrapped};
use crate::openapi::{Operation, Routes};
use crate::server::Services;

const ALL: &str = "/v3/roles/{prior_role_id}/implies";
const ONE: &str = "/v3/roles/{prior_role_id}/implies/{implied_role_id}";
/// The rule that is named when one may not be asked about.
const GET: &str = "identity:get_implied_role";

/// The routes of implied roles.
pub(super) fn routes() -> Routes {
    Routes::new()
        .on(
            Operation::get("/v3/role_inferences", "List which roles come with which.")
                .answers(200, inferences),
            all_rules,
        )
        .on(
            Operation::get(ALL, "List the roles that come with a role.").answers(200, many),
            of_role,
        )
        .on(
            Operation::get(ONE, "Show that a role comes with another.").answers(200, one),
            show,
        )
        .on(
            Operation::head(ONE, "Ask whether a role comes with another.").empty(204),
            check,
        )
        .on(
            Operation::put(ONE, "Let a role come with another.").answers(201, one),
            put,
        )
        .on(
            Operation::delete(ONE, "Let a role no longer come with another.").empty(204),
            delete,
        )
}

fn reference() -> Shape {
    object([
        field("id", text()),
        field("name", text()),
        field("links", wrapped("self", text())),
    ])
}

fn rule(implies: Shape) -> Shape {
    object([
        field("role_inference", inference(implies)),
        field("links", wrapped("self", text())),
    ])
}

fn inference(implies: Shape) -> Shape {
    object([field("prior_role", reference()), field("implies", implies)])
}

fn one() -> Shape {
    rule(reference())
}

fn many() -> Shape {
    rule(list(reference()))
}

fn inferences() -> Shape {
    object([
        field("role_inferences", list(inference(list(reference())))),
        maybe("links", wrapped("self", text())),
    ])
}

/// The path of a rule.
#[derive(Deserialize)]
struct RulePath {
    prior_role_id: String,
    implied_role_id: String,
}

impl RulePath {
    fn roles(&self, view: &impl View) -> Result<(Role, Role), Fault> {
        let prior = find::<Role>(view, &self.prior_role_id)?;
        let implied = find::<Role>(view, &self.implied_role_id)?;
        Ok((prior, implied))
    }

    /// The two roles, if the one implies the other.
    fn rule(&self, view: &impl View) -> Result<(Role, Role), Fault> {
        let (prior, implied) = self.roles(view)?;
        match prior.implies.contains(&implied.id) {
            true => Ok((prior, implied)),
            false => Err(self.missing()),
        }
    }

    fn missing(&self) -> Fault {
        Fault::not_found(format!(
            "{} does not imply {}.",
            self.prior_role_id, self.implied_role_id
        ))
    }
}

fn reference_to(services: &Services, role: &Role) -> Value {
    json!({"id": role.id, "name": role.name, "links": link(services, "roles", &role.id)})
}

fn body(services: &Services, prior: &Role, implies: &Value, path: &str) -> Value {
    let base = services.config().identity_base();
    let own = format!("{base}/v3/roles/{}/implies{path}", prior.id);
    json!({
        "role_inference": {"prior_role": reference_to(services, prior), "implies": implies},
        "links": {"self": own},
    })
}

fn rule_body(services: &Services, prior: &Role, implied: &Role) -> Value {
    let path = format!("/{}", implied.id);
    body(services, prior, &reference_to(services, implied), &path)
}

/// The roles that a role names and that are still there.
fn implied_by(view: &impl View, prior: &Role) -> Result<Vec<Role>, Fault> {
    let mut found = Vec::new();
    for id in &prior.implies {
        found.extend(view.get::<Role>(id)?);
    }
    Ok(found)
}

async fn all_rules(State(services): State<Services>, caller: Caller) -> Reply {
    require_reader(&caller, "identity:list_role_inference_rules")?;
    let rules = services
        .blocking(|services| {
            services.catalogue().read(|reader| {
                let mut rules = Vec::new();
                for prior in reader.list::<Role>(&Query::all())? {
                    let implied = implied_by(reader, &prior)?;
                    if !implied.is_empty() {
                        let implied = implied.iter().map(|role| reference_to(services, role));
                        rules.push(json!({
                            "prior_role": reference_to(services, &prior),
                            "implies": implied.collect::<Vec<Value>>(),
                        }));
                    }
                }
                Ok::<_, Fault>(rules)
            })
        })
        .await?;
    let own = format!("{}/v3/role_inferences", services.config().identity_base());
    ok(json!({"role_inferences": rules, "links": {"self": own}}))
}

async fn of_role(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
) -> Reply {
    require_reader(&caller, "identity:list_implied_roles")?;
    let (prior, implied) = services
        .blocking(move |services| {
            services.catalogue().read(|reader| {
                let prior = find::<Role>(reader, &id)?;
                let implied = implied_by(reader, &prior)?;
                Ok((prior, implied))
            })
        })
        .await?;
    let implied = implied.iter().map(|role| reference_to(&services, role));
    let implied = Value::Array(implied.collect());
    ok(body(&services, &prior, &implied, ""))
}

async fn found(
    services: &Services,
    caller: &Caller,
    path: RulePath,
    rule: &str,
) -> Result<(Role, Role), Fault> {
    require_reader(caller, rule)?;
    services
        .blocking(move |services| services.catalogue().read(|reader| path.rule(reader)))
        .await
}

async fn show(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    let (prior, implied) = found(&services, &caller, path, GET).await?;
    ok(rule_body(&services, &prior, &implied))
}

async fn check(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    found(&services, &caller, path, "identity:check_implied_role").await?;
    no_content()
}

async fn put(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    require_admin(&caller, "identity:create_implied_role")?;
    let (prior, implied) = services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let (mut prior, implied) = path.roles(writer)?;
                // What anybody could come to have by another role must not be the role that can
                // do everything.
                if implied.name == "admin" && implied.domain_id.is_none() {
                    let message = format!("{} cannot be an implied roles.", implied.id);
                    return Err(texts::forbidden_as_such(message));
                }
                if prior.domain_id.is_none() && implied.domain_id.is_some() {
                    let message = "Global role cannot imply a domain-specific role";
                    return Err(texts::forbidden_as_such(message));
                }
                if !prior.implies.contains(&implied.id) {
                    prior.implies.push(implied.id.clone());
                    writer.put(&prior)?;
                }
                Ok((prior, implied))
            })
        })
        .await?;
    let body = rule_body(&services, &prior, &implied);
    created(body)
}

async fn delete(
    State(services): State<Services>,
    caller: Caller,
    Path(path): Path<RulePath>,
) -> Reply {
    require_admin(&caller, "identity:delete_implied_role")?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let (mut prior, implied) = path.rule(writer)?;
                prior.implies.retain(|id| *id != implied.id);
                Ok(writer.put(&prior)?)
            })
        })
        .await?;
    no_content()
}
