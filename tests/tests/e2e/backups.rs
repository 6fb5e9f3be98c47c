//! Backups of a real daemon: what was written comes back, here and on another daemon, and a kill at
//! any moment of a backup or a restore leaves neither half done.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::pattern::{self, Dice};
use crate::tool;

const MIB: u64 = 1 << 20;
/// Bytes written and read at a time.
const PIECE: usize = 1 << 20;

/// Writes a pattern over a part of a volume.
fn fill(daemon: &Daemon, volume: &str, from: u64, len: u64, seed: u64) -> Result<()> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    for piece in 0..len / PIECE as u64 {
        let bytes = pattern::block(seed << 20 ^ piece, PIECE);
        disk.write(from + piece * PIECE as u64, &bytes)?;
    }
    disk.flush()
}

/// All bytes of a volume.
fn content(daemon: &Daemon, volume: &str) -> Result<Vec<u8>> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    let mut bytes = Vec::with_capacity(1 << 30);
    for piece in 0..1024 {
        bytes.extend(disk.read(piece * MIB, PIECE)?);
    }
    Ok(bytes)
}

#[test]
fn increments_restore_here_and_on_another_daemon() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let (full, record, first, second) = {
        let api = Api::new(&daemon)?;
        let volume = api.volume("base")?;
        fill(&daemon, &volume, 0, 48 * MIB, 1)?;
        fill(&daemon, &volume, 900 * MIB, 8 * MIB, 2)?;
        let first = content(&daemon, &volume)?;
        let full = api.back_up(&volume, false)?;
        fill(&daemon, &volume, 10 * MIB, 3 * MIB, 3)?;
        fill(&daemon, &volume, 500 * MIB, 2 * MIB, 4)?;
        let second = content(&daemon, &volume)?;
        let increment = api.back_up(&volume, true)?;
        ensure!(
            content(&daemon, &api.restore(&full)?)? == first,
            "the full backup"
        );
        ensure!(
            content(&daemon, &api.restore(&increment)?)? == second,
            "the increment"
        );
        let path = format!("/backups/{increment}/export_record");
        (full, api.call("GET", &path, &Value::Null)?, first, second)
    };

    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    fs::create_dir(&data)?;
    symlink(daemon.data().join("backups"), data.join("backups"))?;
    let mut other = Daemon::on(&data);
    other.up()?;
    let api = Api::new(&other)?;
    let imported = api.call("POST", "/backups/import_record", &record)?;
    let id = imported["backup"]["id"].as_str().context("no id")?;
    ensure!(api.settled("backup", id)?["is_incremental"] == true);
    ensure!(
        content(&other, &api.restore(id)?)? == second,
        "on another daemon"
    );
    other.stop()?;

    let api = Api::new(&daemon)?;
    ensure!(
        content(&daemon, &api.restore(&full)?)? == first,
        "still the full backup"
    );
    daemon.stop()
}

#[test]
fn kill_9_leaves_no_backup_and_no_restore_half_done() -> Result<()> {
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let mut daemon = Daemon::start()?;
    let volume = Api::new(&daemon)?.volume("victim")?;
    fill(&daemon, &volume, 0, 256 * MIB, 1)?;
    let before = content(&daemon, &volume)?;
    for round in 0..4 {
        let api = Api::new(&daemon)?;
        let incremental = round > 0;
        let wanted = json!({"volume_id": volume, "incremental": incremental});
        let backup = api.make("backup", &wanted)?;
        // The pauses here are lives: the kill is to come at any moment of the work.
        thread::sleep(Duration::from_millis(dice.below(1500)));
        daemon.kill9()?;
        daemon.up()?;
        let api = Api::new(&daemon)?;
        api.settled("backup", &backup)?;
        api.settled("volume", &volume)?;
        let restored = api.begin_restore(&backup)?;
        thread::sleep(Duration::from_millis(dice.below(1500)));
        daemon.kill9()?;
        daemon.up()?;
        let api = Api::new(&daemon)?;
        api.settled("volume", &restored)?;
        api.settled("backup", &backup)?;
        ensure!(
            content(&daemon, &restored)? == before,
            "round {round}, seed {seed}"
        );
        api.call("DELETE", &format!("/volumes/{restored}"), &Value::Null)?;
    }
    let left = daemon.data().join("backups");
    let find = |name: &str| {
        tool::run(
            tool::command("find", &[&left.to_string_lossy(), "-path", name]).env("LC_ALL", "C"),
        )
    };
    ensure!(
        find("*/writing/*")?.is_empty(),
        "no marker of a backup is left"
    );
    daemon.stop()
}
