//! What must be true of a daemon that has come back.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{PIECE, PIECES, STRIDE, piece};
use crate::api::Api;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::tool;

/// The objects with a status, as path and key; the statuses in which they may stay.
const FINAL: &[(&str, &str, &[&str])] = &[
    (
        "/volumes/detail",
        "volumes",
        // With those in which a client has the next word.
        &[
            "available",
            "in-use",
            "reserved",
            "attaching",
            "awaiting-transfer",
        ],
    ),
    ("/snapshots/detail", "snapshots", &["available"]),
    ("/backups/detail", "backups", &["available"]),
    ("/groups/detail", "groups", &["available"]),
    ("/group_snapshots/detail", "group_snapshots", &["available"]),
];

/// A whole list.
pub(super) fn list(api: &Api, path: &str, key: &str) -> Result<Vec<Value>> {
    let mut answer = api.get(path)?;
    let Value::Array(all) = answer[key].take() else {
        anyhow::bail!("{path}: no list of {key} in {answer}");
    };
    Ok(all)
}

/// A text of an object; empty if it has none.
pub(super) fn text(object: &Value, key: &str) -> String {
    object[key].as_str().unwrap_or_default().to_owned()
}

/// The administrator's project.
pub(super) fn project(api: &Api) -> Result<String> {
    let (_, token) = api.ask("GET", "/identity/v3/auth/projects", &Value::Null)?;
    let id = token["projects"][0]["id"].as_str();
    id.map(str::to_owned).context("no project")
}

pub(super) fn all(daemon: &Daemon, api: &Api) -> Result<()> {
    statuses(api)?;
    pools(daemon, api)?;
    quotas(api)?;
    contents(daemon, api)
}

/// Deletes everything and sees that it has gone from rows, quotas and pools.
pub(super) fn deletes(daemon: &Daemon, api: &Api) -> Result<()> {
    let ids = |path: &str, key: &str| -> Result<Vec<String>> {
        let all = list(api, path, key)?;
        let ids = all.iter().filter_map(|object| object["id"].as_str());
        Ok(ids.map(str::to_owned).collect())
    };
    let delete = |path: &str, id: &str, query: &str| {
        let path = format!("{path}/{id}{query}");
        api.call("DELETE", &path, &Value::Null)
    };
    for (path, key) in [
        ("/attachments", "attachments"),
        ("/volume-transfers", "transfers"),
        ("/group_snapshots", "group_snapshots"),
    ] {
        for id in ids(path, key)? {
            delete(path, &id, "")?;
        }
    }
    statuses(api)?;
    // A group does not go whose volumes have snapshots of their own.
    for id in ids("/snapshots", "snapshots")? {
        delete("/snapshots", &id, "")?;
    }
    statuses(api)?;
    for id in ids("/groups", "groups")? {
        let body = json!({"delete": {"delete-volumes": true}});
        api.call("POST", &format!("/groups/{id}/action"), &body)?;
    }
    // Volumes go with their groups.
    tool::until(tool::PATIENCE, "the end of all groups", || {
        let groups = list(api, "/groups", "groups").ok()?;
        groups.is_empty().then_some(())
    })?;
    // An increment goes before what it builds on, so each look deletes what is free by then.
    tool::until(tool::PATIENCE, "the end of all backups", || {
        let backups = list(api, "/backups/detail", "backups").ok()?;
        for backup in &backups {
            if backup["has_dependent_backups"] == false && backup["status"] == "available" {
                delete("/backups", &text(backup, "id"), "").ok()?;
            }
        }
        backups.is_empty().then_some(())
    })?;
    for id in ids("/volumes", "volumes")? {
        delete("/volumes", &id, "?cascade=true")?;
    }
    let mut status = Value::Null;
    tool::until(tool::PATIENCE, "empty pools", || {
        status = daemon.json(&["status"]).ok()?;
        (status["volumes"] == 0 && status["snapshots"] == 0).then_some(())
    })
    .with_context(|| status.to_string())?;
    quotas(api)
}

/// Every object comes to a final status, and none to one of error.
fn statuses(api: &Api) -> Result<()> {
    for (path, key, good) in FINAL {
        let mut last = Vec::new();
        tool::until(tool::PATIENCE, "final statuses", || {
            last = list(api, path, key).ok()?;
            last.retain(|object| {
                let is_good = object["status"].as_str().is_some_and(|s| good.contains(&s));
                let migration = object["migration_status"].as_str();
                !is_good || !migration.is_none_or(|s| ["success", "error"].contains(&s))
            });
            last.is_empty().then_some(())
        })
        .with_context(|| format!("{key} that stick: {last:#?}"))?;
    }
    let waiting = ["queued", "running"];
    tool::until(tool::PATIENCE, "all jobs to end", || {
        let path = "/cinderblock/v1/jobs?limit=1000";
        let (_, jobs) = api.ask("GET", path, &Value::Null).ok()?;
        let mut states = jobs["jobs"].as_array()?.iter();
        states
            .all(|job| !job["state"].as_str().is_some_and(|s| waiting.contains(&s)))
            .then_some(())
    })
}

/// The pools hold one volume and one snapshot for every row, and no more but the snapshots that the
/// next increments of backed up volumes build on.
fn pools(daemon: &Daemon, api: &Api) -> Result<()> {
    let volumes = list(api, "/volumes", "volumes")?;
    let snapshots = list(api, "/snapshots", "snapshots")?.len() as u64;
    let backups = list(api, "/backups/detail", "backups")?;
    let backed_up = |volume: &&Value| backups.iter().any(|b| b["volume_id"] == volume["id"]);
    let kept = volumes.iter().filter(backed_up).count() as u64;
    let status = daemon.json(&["status"])?;
    let held = status["snapshots"].as_u64().context("no count")?;
    ensure!(
        status["volumes"] == volumes.len() && (snapshots..=snapshots + kept).contains(&held),
        "{} volumes, {snapshots} snapshots, {kept} backed up, but the pools hold {status}",
        volumes.len()
    );
    Ok(())
}

/// Quotas count exactly what there is, and nothing is reserved.
fn quotas(api: &Api) -> Result<()> {
    let sum = |objects: &[Value], key: &str| -> u64 {
        objects
            .iter()
            .filter_map(|object| object[key].as_u64())
            .sum()
    };
    let volumes = list(api, "/volumes/detail", "volumes")?;
    let snapshots = list(api, "/snapshots/detail", "snapshots")?;
    let backups = list(api, "/backups/detail", "backups")?;
    let groups = list(api, "/groups/detail", "groups")?;
    let mut wanted = HashMap::from([
        ("volumes".to_owned(), volumes.len() as u64),
        ("snapshots".to_owned(), snapshots.len() as u64),
        ("backups".to_owned(), backups.len() as u64),
        ("groups".to_owned(), groups.len() as u64),
        ("backup_gigabytes".to_owned(), sum(&backups, "size")),
    ]);
    let size = sum(&volumes, "size") + sum(&snapshots, "size");
    wanted.insert("gigabytes".to_owned(), size);
    for kind in super::TYPES {
        let of_kind = |volume: &&Value| volume["volume_type"] == *kind;
        let volumes: Vec<_> = volumes.iter().filter(of_kind).cloned().collect();
        wanted.insert(format!("volumes_{kind}"), volumes.len() as u64);
    }
    let path = format!("/os-quota-sets/{}?usage=true", project(api)?);
    let told = api.get(&path)?;
    for (name, count) in wanted {
        let quota = &told["quota_set"][&name];
        ensure!(
            quota["in_use"] == count && quota["reserved"] == 0,
            "{name}: {count} counted, but the quota says {quota}"
        );
    }
    Ok(())
}

/// Every volume reads as the content it is named after; volumes made of a group have no name, and
/// the content of the group's.
fn contents(daemon: &Daemon, api: &Api) -> Result<()> {
    let groups = list(api, "/groups/detail", "groups")?;
    for volume in list(api, "/volumes/detail", "volumes")? {
        let of_group = groups
            .iter()
            .find(|group| group["id"] == volume["group_id"]);
        let name = volume["name"].as_str();
        let name = name.or_else(|| of_group?["name"].as_str());
        let (Some(name), Some(id)) = (name, volume["id"].as_str()) else {
            anyhow::bail!("neither name nor group: {volume}");
        };
        let mut disk = Disk::open(&daemon.uri(id)).with_context(|| volume.to_string())?;
        for number in (0..PIECES).step_by(3) {
            let found = disk.read(number * STRIDE, PIECE)?;
            ensure!(found == piece(name, number), "piece {number} of {volume:#}");
        }
    }
    Ok(())
}
