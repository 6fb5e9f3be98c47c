//! The actions of groups.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::create::{GROUP, check_generic};
use super::{SINCE, SNAPSHOTS_SINCE, bodies, delete, find, replication, source, view};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::Writer;
use crate::cinder::{accepted, action_of, no_action, validate};
use crate::fault::Fault;
use crate::microversion::Microversion;
use crate::policy::Rule;
use crate::server::Services;

/// The microversion that brought `reset_status`.
const RESET_SINCE: u16 = 20;

/// An action, with what its body asks for.
enum Action {
    Delete { with_volumes: bool },
    Reset(String),
    Replication(replication::Action),
}

/// The microversion that brought an action; 400 of one that there is not.
fn since(name: &str) -> Result<u16, Fault> {
    Ok(match name {
        "create-from-src" => SNAPSHOTS_SINCE,
        "delete" => SINCE,
        "reset_status" => RESET_SINCE,
        "enable_replication"
        | "disable_replication"
        | "failover_replication"
        | "list_replication_targets" => view::REPLICATION_SINCE,
        _ => return Err(no_action(name)),
    })
}

impl Action {
    fn parse(name: &str, body: &Value) -> Result<Self, Fault> {
        match name {
            "delete" => {
                const FLAG: &str = "delete-volumes";
                let map = bodies::sole(body, name, &[FLAG])?;
                let with_volumes = validate::flag(map, FLAG)?.unwrap_or(false);
                Ok(Self::Delete { with_volumes })
            }
            "reset_status" => Ok(Self::Reset(bodies::status(body, "Group")?)),
            // The path of this one has no id.
            "create-from-src" => Err(Fault::malformed()),
            _ => Ok(Self::Replication(replication::Action::parse(name, body)?)),
        }
    }

    fn perform(
        self,
        services: &Services,
        writer: &Writer,
        caller: &Caller,
        id: &str,
    ) -> Result<(), Fault> {
        let mut group = find(writer, caller, id)?;
        match self {
            Self::Delete { with_volumes } => {
                check_generic(writer, group.group_type_id, GROUP)?;
                delete::delete(services, writer, caller, group, with_volumes)
            }
            Self::Reset(status) => {
                caller.check(Rule::GroupResetStatus, &group)?;
                group.status = status;
                group.updated_us = Some(services.now_us());
                Ok(writer.put(&group)?)
            }
            Self::Replication(action) => action.perform(writer, caller, &group),
        }
    }
}

/// `/groups/{id}/action`.
pub(super) async fn of_group(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let (name, _) = action_of(&body)?;
    version.require(since(&name)?)?;
    let action = Action::parse(&name, &body)?;
    services
        .blocking(move |services| {
            services
                .catalogue()
                .write(|writer| action.perform(services, writer, &caller, &id))
        })
        .await?;
    Ok(accepted())
}

/// `/groups/action`: a group made from another, the one action that needs no id.
pub(super) async fn of_none(
    State(services): State<Services>,
    caller: Caller,
    version: Microversion,
    JsonBody(body): JsonBody,
) -> Result<Response, Fault> {
    let (name, _) = action_of(&body)?;
    version.require(since(&name)?)?;
    if name != "create-from-src" {
        return Err(Fault::malformed());
    }
    let (texts, from) = source::parse(&body)?;
    services
        .blocking(move |services| {
            let group = services.catalogue().write(|writer| {
                let allow = |group_type| check_generic(writer, group_type, GROUP);
                source::create(services, writer, &caller, texts, &from, allow)
            })?;
            let (id, project) = (group.id.to_string(), Some(group.project_id.as_str()));
            services.event("group.creating", project, &id, String::new());
            let body = Json(json!({"group": view::summary(&group)}));
            Ok((StatusCode::ACCEPTED, body).into_response())
        })
        .await
}
