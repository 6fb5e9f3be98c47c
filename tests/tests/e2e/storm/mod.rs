//! The daemon is killed amid all the operations of Block Storage, again and again: afterwards every
//! object comes to a final status by itself, with its content, quotas count what there is, and no
//! pool holds what no row names.
//!
//! Every volume is named after its content, and so is all that is made of it.

mod checks;
mod load;

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::api::Api;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::pattern::{self, Dice};
use load::Load;

/// Two pools, so that volumes can move.
const CONFIG: &str = "[[backend]]\nname = 'a'\n\n[[backend]]\nname = 'b'\n";
/// The types: on each pool one that encrypts and one that does not.
const TYPES: &[&str] = &["a", "b", "sealed-a", "sealed-b"];
/// Volumes with contents of their own, never deleted.
const ORIGINALS: u64 = 3;
/// Bytes of an original that are written, in pieces.
const PIECE: usize = 1 << 20;
const PIECES: u64 = 12;
/// Between the pieces: the content is not one range.
const STRIDE: u64 = 41 << 20;

fn rounds() -> u64 {
    let wish = std::env::var("CINDERBLOCK_STORM_ROUNDS").ok();
    wish.and_then(|text| text.parse().ok()).unwrap_or(8)
}

/// The content of a piece of a volume of that name; zeroes for what is no original's.
fn piece(name: &str, number: u64) -> Vec<u8> {
    match name.parse::<u64>() {
        Ok(original) if original > 0 => pattern::block(original << 20 ^ number, PIECE),
        _ => vec![0; PIECE],
    }
}

/// Types, quotas and originals.
fn furnish(daemon: &Daemon, api: &Api) -> Result<()> {
    for name in TYPES {
        let specs = json!({"volume_backend_name": name.trim_start_matches("sealed-")});
        let wanted = json!({"name": name, "extra_specs": specs});
        let made = api.call("POST", "/types", &json!({"volume_type": wanted}))?;
        let id = checks::text(&made["volume_type"], "id");
        if name.starts_with("sealed") {
            let wanted = json!({"provider": "luks", "control_location": "back-end"});
            let path = format!("/types/{id}/encryption");
            api.call("POST", &path, &json!({"encryption": wanted}))?;
        }
    }
    let specs = json!({"consistent_group_snapshot_enabled": "<is> True"});
    let wanted = json!({"name": "cut", "group_specs": specs});
    api.call("POST", "/group_types", &json!({"group_type": wanted}))?;
    let project = checks::project(api)?;
    let mut quotas = json!({"volumes": 500, "snapshots": 500, "gigabytes": 9000, "backups": 500});
    quotas["backup_gigabytes"] = json!(9000);
    quotas["groups"] = json!(100);
    let path = format!("/os-quota-sets/{project}");
    api.call("PUT", &path, &json!({"quota_set": quotas}))?;
    for original in 1..=ORIGINALS {
        let kind = ["a", "sealed-b", "b"][original as usize % 3];
        let name = original.to_string();
        let wanted =
            json!({"name": name, "size": 1, "volume_type": kind, "metadata": {"keep": ""}});
        let id = api.make("volume", &wanted)?;
        api.settled("volume", &id)?;
        let mut disk = Disk::open(&daemon.uri(&id))?;
        for number in 0..PIECES {
            disk.write(number * STRIDE, &piece(&name, number))?;
        }
        disk.flush()?;
    }
    Ok(())
}

/// One life of the daemon, ended by kill -9 at a moment the dice choose.
fn life(daemon: &mut Daemon, load: &mut Load, life_ms: u64) -> Result<()> {
    let api = Api::new(daemon)?;
    thread::scope(|scope| {
        let requests = scope.spawn(|| load.run(&api));
        // The one pause here is the life itself: the kill is to come at any moment of the work.
        thread::sleep(Duration::from_millis(life_ms));
        let killed = daemon.kill9();
        requests.join().expect("the load does not panic")?;
        killed
    })
}

#[test]
fn kill_9_leaves_every_object_in_a_final_state() -> Result<()> {
    let seed = std::env::var("CINDERBLOCK_STORM_SEED").ok();
    let seed = seed.and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| std::process::id().into());
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut daemon = Daemon::configured(CONFIG)?;
    furnish(&daemon, &Api::new(&daemon)?)?;
    let mut load = Load::new(seed);
    for round in 0..rounds() {
        life(&mut daemon, &mut load, 300 + dice.below(1500))?;
        daemon.up()?;
        let api = Api::new(&daemon)?;
        checks::all(&daemon, &api)
            .with_context(|| format!("round {round}, seed {seed}, done so far: {load}"))?;
    }
    println!("{} rounds: {load}", rounds());
    ensure!(load.accepted() >= rounds(), "hardly any load: {load}");
    checks::deletes(&daemon, &Api::new(&daemon)?)?;
    daemon.stop()
}
