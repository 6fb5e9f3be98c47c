//! Requests of all kinds on objects chosen by chance, until the daemon is gone.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::checks::{list, text};
use crate::api::Api;
use crate::pattern::Dice;

/// A request: its method, path below the service, and body.
type Request = (&'static str, String, Value);
/// Makes a request, if there is an object for it.
type Maker = fn(&Api, &mut Dice) -> Result<Option<Request>>;

/// All that is asked for, by name.
const KINDS: &[(&str, Maker)] = &[
    ("create", create),
    ("clone", clone_volume),
    ("create from snapshot", create_from_snapshot),
    ("delete volume", delete_volume),
    ("snapshot", snapshot),
    ("delete snapshot", delete_snapshot),
    ("extend", extend),
    ("retype", retype),
    ("migrate", migrate),
    ("revert", revert),
    ("back up", back_up),
    ("delete backup", delete_backup),
    ("restore", restore),
    ("create group", create_group),
    ("create in group", create_in_group),
    ("snapshot group", snapshot_group),
    ("group from snapshot", group_from_snapshot),
    ("delete group snapshot", delete_group_snapshot),
    ("delete group", delete_group),
    ("attach", attach),
    ("complete", complete),
    ("detach", detach),
    ("transfer", transfer),
];

/// Chooses requests and counts those that were accepted.
pub(super) struct Load {
    dice: Dice,
    counts: BTreeMap<&'static str, u64>,
}

impl Load {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed ^ 0x5707),
            counts: BTreeMap::new(),
        }
    }

    /// Requests accepted so far.
    pub(super) fn accepted(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Asks until the daemon no longer answers. Refusals are right, faults of the server are not.
    pub(super) fn run(&mut self, api: &Api) -> Result<()> {
        loop {
            let (name, maker) = KINDS[self.dice.below(KINDS.len() as u64) as usize];
            // What fails here is the connection: the daemon has been killed.
            let Ok(request) = maker(api, &mut self.dice) else {
                return Ok(());
            };
            let Some((method, path, body)) = request else {
                continue;
            };
            let Ok((status, answer)) = api.ask(method, &format!("/volume/v3{path}"), &body) else {
                return Ok(());
            };
            match status {
                200..300 => *self.counts.entry(name).or_default() += 1,
                500.. => bail!("{name}: {method} {path} {body}: {status} {answer}"),
                _ => {}
            }
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<_> = self
            .counts
            .iter()
            .map(|(k, n)| format!("{k} {n}"))
            .collect();
        f.write_str(&counts.join(", "))
    }
}

/// One of a list, by chance.
fn any(api: &Api, dice: &mut Dice, path: &str, key: &str) -> Result<Option<Value>> {
    let mut all = list(api, path, key)?;
    if all.is_empty() {
        return Ok(None);
    }
    let chosen = dice.below(all.len() as u64) as usize;
    Ok(Some(all.swap_remove(chosen)))
}

fn volume(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    any(api, dice, "/volumes/detail", "volumes")
}

fn a_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    any(api, dice, "/snapshots/detail", "snapshots")
}

/// A volume that can be a source: one whose content its name tells.
fn a_source(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    Ok(volume(api, dice)?.filter(|volume| volume["name"].is_string()))
}

fn post(path: impl Into<String>, body: Value) -> Result<Option<Request>> {
    Ok(Some(("POST", path.into(), body)))
}

/// An action on a volume.
fn act(volume: &Value, action: Value) -> Result<Option<Request>> {
    post(format!("/volumes/{}/action", text(volume, "id")), action)
}

fn delete(path: &str, object: Option<Value>) -> Result<Option<Request>> {
    Ok(object.map(|object| {
        let path = format!("{path}/{}", text(&object, "id"));
        ("DELETE", path, Value::Null)
    }))
}

fn a_type(dice: &mut Dice) -> &'static str {
    super::TYPES[dice.below(super::TYPES.len() as u64) as usize]
}

fn create(_: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let wanted = json!({"size": 1, "name": "0", "volume_type": a_type(dice)});
    post("/volumes", json!({"volume": wanted}))
}

fn clone_volume(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(source) = a_source(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"source_volid": source["id"], "name": source["name"]});
    post("/volumes", json!({"volume": wanted}))
}

fn create_from_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(source) = a_snapshot(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"snapshot_id": source["id"], "name": source["name"]});
    post("/volumes", json!({"volume": wanted}))
}

fn delete_volume(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let chosen = volume(api, dice)?.filter(|volume| volume["metadata"]["keep"].is_null());
    Ok(chosen.map(|volume| {
        let path = format!("/volumes/{}?cascade=true", text(&volume, "id"));
        ("DELETE", path, Value::Null)
    }))
}

fn snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(source) = a_source(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"volume_id": source["id"], "name": source["name"]});
    post("/snapshots", json!({"snapshot": wanted}))
}

fn delete_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    delete("/snapshots", a_snapshot(api, dice)?)
}

fn extend(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(volume) = volume(api, dice)? else {
        return Ok(None);
    };
    let size = volume["size"].as_u64().unwrap_or(1) + 1;
    act(&volume, json!({"os-extend": {"new_size": size}}))
}

fn retype(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(volume) = volume(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"new_type": a_type(dice), "migration_policy": "on-demand"});
    act(&volume, json!({"os-retype": wanted}))
}

fn migrate(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(volume) = volume(api, dice)? else {
        return Ok(None);
    };
    let Some(pool) = any(api, dice, "/scheduler-stats/get_pools", "pools")? else {
        return Ok(None);
    };
    act(
        &volume,
        json!({"os-migrate_volume": {"host": pool["name"]}}),
    )
}

fn revert(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(snapshot) = a_snapshot(api, dice)? else {
        return Ok(None);
    };
    let path = format!("/volumes/{}/action", text(&snapshot, "volume_id"));
    post(path, json!({"revert": {"snapshot_id": snapshot["id"]}}))
}

fn back_up(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(source) = a_source(api, dice)? else {
        return Ok(None);
    };
    let mut wanted = json!({"volume_id": source["id"], "name": source["name"], "force": true});
    wanted["incremental"] = json!(dice.below(2) == 0);
    post("/backups", json!({"backup": wanted}))
}

fn a_backup(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    any(api, dice, "/backups/detail", "backups")
}

fn delete_backup(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    delete("/backups", a_backup(api, dice)?)
}

fn restore(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(backup) = a_backup(api, dice)? else {
        return Ok(None);
    };
    let path = format!("/backups/{}/restore", text(&backup, "id"));
    post(path, json!({"restore": {"name": backup["name"]}}))
}

fn a_group(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    any(api, dice, "/groups/detail", "groups")
}

fn create_group(_: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let original = 1 + dice.below(super::ORIGINALS);
    let wanted = json!({"name": original.to_string(), "group_type": "cut", "volume_types": ["a"]});
    post("/groups", json!({"group": wanted}))
}

/// A copy of the original after which the group is named, so that all of its volumes are alike.
fn create_in_group(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(group) = a_group(api, dice)? else {
        return Ok(None);
    };
    let volumes = list(api, "/volumes/detail", "volumes")?;
    let source = volumes
        .into_iter()
        .find(|volume| volume["name"] == group["name"] && volume["volume_type"] == "a");
    let Some(source) = source else {
        return Ok(None);
    };
    let mut wanted = json!({"source_volid": source["id"], "name": source["name"]});
    wanted["group_id"] = group["id"].clone();
    wanted["volume_type"] = json!("a");
    post("/volumes", json!({"volume": wanted}))
}

fn snapshot_group(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(group) = a_group(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"group_id": group["id"], "name": group["name"]});
    post("/group_snapshots", json!({"group_snapshot": wanted}))
}

fn a_group_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Value>> {
    any(api, dice, "/group_snapshots/detail", "group_snapshots")
}

fn group_from_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(source) = a_group_snapshot(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"group_snapshot_id": source["id"], "name": source["name"]});
    post("/groups/action", json!({"create-from-src": wanted}))
}

fn delete_group_snapshot(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    delete("/group_snapshots", a_group_snapshot(api, dice)?)
}

fn delete_group(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(group) = a_group(api, dice)? else {
        return Ok(None);
    };
    let path = format!("/groups/{}/action", text(&group, "id"));
    post(path, json!({"delete": {"delete-volumes": true}}))
}

fn attach(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(volume) = volume(api, dice)? else {
        return Ok(None);
    };
    let mut wanted = json!({"volume_uuid": volume["id"], "instance_uuid": volume["id"]});
    if dice.below(2) == 0 {
        wanted["connector"] = json!({"host": "here", "ip": "127.0.0.1", "initiator": "iqn.here"});
    }
    post("/attachments", json!({"attachment": wanted}))
}

fn complete(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let Some(attachment) = any(api, dice, "/attachments/detail", "attachments")? else {
        return Ok(None);
    };
    let path = format!("/attachments/{}/action", text(&attachment, "id"));
    post(path, json!({"os-complete": null}))
}

fn detach(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    delete(
        "/attachments",
        any(api, dice, "/attachments/detail", "attachments")?,
    )
}

/// Offers a volume, or withdraws an offer.
fn transfer(api: &Api, dice: &mut Dice) -> Result<Option<Request>> {
    let offer = any(api, dice, "/volume-transfers/detail", "transfers")?;
    if offer.is_some() {
        return delete("/volume-transfers", offer);
    }
    let Some(volume) = volume(api, dice)? else {
        return Ok(None);
    };
    let wanted = json!({"volume_id": volume["id"], "no_snapshots": dice.below(2) == 0});
    post("/volume-transfers", json!({"transfer": wanted}))
}
