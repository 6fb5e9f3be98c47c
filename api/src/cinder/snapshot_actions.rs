//! `POST /snapshots/{id}/action`.

use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::Value;

use super::records::Snapshot;
use super::snapshots::{find, queue_deletion};
use super::{managing, validate};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::catalogue::Writer;
use crate::fault::Fault;
use crate::policy::Rule;
use crate::server::Services;

/// States that an admin may set.
pub(super) const STATUSES: [&str; 10] = [
    "error",
    "available",
    "creating",
    "deleting",
    "deleted",
    "updating",
    "error_deleting",
    "unmanaging",
    "backing-up",
    "restoring",
];

pub(super) async fn action(
    State(services): State<Services>,
    caller: Caller,
    Path(id): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Fault> {
    let (name, args) = super::action_of(&body)?;
    services
        .blocking(move |services| {
            services.catalogue().write(|writer| {
                let snapshot = find(writer, &caller, &id)?;
                match name.as_str() {
                    "os-reset_status" => reset(services, writer, &caller, snapshot, &args),
                    "os-force_delete" => {
                        let rule = Rule::SnapshotAdminActionsForceDelete;
                        caller.check(rule, &snapshot)?;
                        if snapshot.group_snapshot_id.is_some() {
                            return Err(Fault::bad_request(
                                "Invalid snapshot: Snapshot  must not be part of a group.",
                            ));
                        }
                        queue_deletion(services, writer, snapshot)
                    }
                    "os-unmanage" => {
                        managing::unmanage_snapshot(services, writer, &caller, snapshot)
                    }
                    "os-update_snapshot_status" => {
                        set_progress(services, writer, &caller, snapshot, &args)
                    }
                    _ => Err(super::no_action(&name)),
                }
            })?;
            Ok(StatusCode::ACCEPTED)
        })
        .await
}

/// The status that a word stands for.
pub(super) fn status_of(word: &Value) -> Result<String, Fault> {
    let given = validate::shown(word);
    let status = given.to_lowercase();
    if STATUSES.contains(&status.as_str()) {
        return Ok(status);
    }
    let valid: Vec<String> = STATUSES.iter().map(|one| format!("'{one}'")).collect();
    Err(Fault::bad_request(format!(
        "Snapshot status: {given} is invalid, valid statuses are: ({}).",
        valid.join(", ")
    )))
}

fn reset(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut snapshot: Snapshot,
    args: &Value,
) -> Result<(), Fault> {
    caller.check(Rule::SnapshotAdminActionsResetStatus, &snapshot)?;
    snapshot.status = status_of(args.get("status").unwrap_or(&Value::Null))?;
    snapshot.updated_us = Some(services.now_us());
    writer.put(&snapshot)?;
    Ok(())
}

/// What a snapshot of this status may become by the word of whoever takes it.
fn next_statuses(status: &str) -> Option<&'static [&'static str]> {
    match status {
        "creating" => Some(&["creating", "available", "error"]),
        "deleting" => Some(&["deleting", "error_deleting"]),
        _ => None,
    }
}

/// A progress such as `75%`, if one is told.
pub(super) fn progress_of(progress: &Value) -> Result<Option<String>, Fault> {
    const REFUSED: &str = "Invalid input received: progress must be an integer percentage";
    let text = match progress {
        Value::Null | Value::Bool(false) => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        other => other.as_str().unwrap_or_default(),
    };
    // Whatever the last character is, the rest has to be a number first.
    let last = text.chars().next_back().map_or(0, char::len_utf8);
    let number: Option<i64> = text[..text.len() - last].parse().ok();
    match (number, text.ends_with('%')) {
        (Some(0..=100), true) => Ok(Some(text.to_owned())),
        (Some(_), _) => Err(Fault::bad_request(format!("{REFUSED} between 0 and 100"))),
        (None, _) => Err(Fault::bad_request(REFUSED)),
    }
}

/// Status and progress of a snapshot that somebody else takes or removes.
fn set_progress(
    services: &Services,
    writer: &Writer,
    caller: &Caller,
    mut snapshot: Snapshot,
    args: &Value,
) -> Result<(), Fault> {
    let Some(map) = args.as_object() else {
        return Err(Fault::bad_request("Malformed request body"));
    };
    let Some(status) = map.get("status").and_then(Value::as_str) else {
        let reason = "'status' is a required property";
        return Err(validate::invalid("os-update_snapshot_status", args, reason));
    };
    let progress = progress_of(map.get("progress").unwrap_or(&Value::Null))?;
    caller.check(Rule::SnapshotActionsUpdateSnapshotStatus, &snapshot)?;
    let Some(allowed) = next_statuses(&snapshot.status) else {
        return Err(Fault::bad_request(format!(
            "Snapshot status {} not allowed for update_snapshot_status",
            snapshot.status
        )));
    };
    if !allowed.contains(&status) {
        return Err(Fault::bad_request(format!(
            "Provided snapshot status {status} not allowed for snapshot with status {}.",
            snapshot.status
        )));
    }
    status.clone_into(&mut snapshot.status);
    snapshot.progress = progress.unwrap_or(snapshot.progress);
    snapshot.updated_us = Some(services.now_us());
    Ok(writer.put(&snapshot)?)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use crate::cinder::tests::{Site, id_of, message};

    #[tokio::test]
    async fn whoever_takes_a_snapshot_tells_how_far_it_is() {
        let site = Site::new().await;
        let make = json!({"volume": {"size": 1}});
        let volume = id_of(&site.call("POST", "/volumes", make).await);
        site.run_jobs();
        let take = json!({"snapshot": {"volume_id": volume}});
        let snapshot = id_of(&site.call("POST", "/snapshots", take).await);
        let path = format!("/snapshots/{snapshot}/action");
        let tell = async |status: &str, progress: &str| {
            let args = json!({"status": status, "progress": progress});
            let body = json!({"os-update_snapshot_status": args});
            site.call("POST", &path, body).await
        };
        let told = tell("creating", "75%").await;
        assert_eq!(told.status, StatusCode::ACCEPTED);
        let shown = site.get(&format!("/snapshots/{snapshot}")).await;
        let progress = "os-extended-snapshot-attributes:progress";
        assert_eq!(shown.body["snapshot"][progress], "75%");
        let odd = tell("creating", "much").await;
        assert!(message(&odd).contains("integer percentage"));
        let odd = tell("deleting", "1%").await;
        assert!(message(&odd).starts_with("Provided snapshot status deleting not allowed"));
        assert_eq!(tell("available", "100%").await.status, StatusCode::ACCEPTED);
        let late = tell("error", "0%").await;
        assert_eq!(
            message(&late),
            "Snapshot status available not allowed for update_snapshot_status"
        );
    }
}
