//! Encrypted volumes of a real daemon: what a thief of the disk finds, and what becomes of them without
//! the master key.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::tool;

const SECRET: &str = "clandestine figures";
const OPEN: &str = "figures for everybody";
const AT: u64 = 7 << 20;
/// Bytes of text in a volume: more than a container holds.
const TEXT_BYTES: usize = 6 << 20;

/// Lines that no codec leaves unrecognisable.
fn text(word: &str) -> Vec<u8> {
    let line = |number: u32| format!("{word} {number:08x}\n").into_bytes();
    (0..).flat_map(line).take(TEXT_BYTES).collect()
}

fn write(daemon: &Daemon, volume: &str, word: &str) -> Result<()> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    for (piece, bytes) in text(word).chunks(1 << 20).enumerate() {
        disk.write(AT + ((piece as u64) << 20), bytes)?;
    }
    disk.flush()
}

fn check(daemon: &Daemon, volume: &str, word: &str) -> Result<()> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    for (piece, bytes) in text(word).chunks(1 << 20).enumerate() {
        let found = disk.read(AT + ((piece as u64) << 20), bytes.len())?;
        ensure!(found == bytes, "MiB {piece} of {volume}");
    }
    Ok(())
}

/// The files of a daemon, its log among them, in which a word is.
fn files_with(daemon: &Daemon, word: &str) -> Result<Vec<PathBuf>> {
    let log = daemon.data().with_extension("log");
    let mut grep = Command::new("grep");
    grep.args(["-rlF", "--", word]).arg(daemon.data()).arg(log);
    let found = tool::output(&mut grep)?;
    ensure!(found.status.code() < Some(2), "{}", tool::said(&found));
    let text = String::from_utf8(found.stdout)?;
    Ok(text.lines().map(PathBuf::from).collect())
}

/// A type that encrypts, and a volume of it with the secret in it.
fn secret_volume(daemon: &Daemon, api: &Api) -> Result<String> {
    let made = api.call(
        "POST",
        "/types",
        &json!({"volume_type": {"name": "secret"}}),
    )?;
    let id = made["volume_type"]["id"].as_str().context("no id")?;
    let wanted = json!({"encryption": {"provider": "luks", "control_location": "back-end"}});
    api.call("POST", &format!("/types/{id}/encryption"), &wanted)?;
    let wanted = json!({"name": "hidden", "size": 1, "volume_type": "secret"});
    let volume = api.make("volume", &wanted)?;
    ensure!(api.settled("volume", &volume)?["encrypted"] == true);
    write(daemon, &volume, SECRET)?;
    Ok(volume)
}

fn modes_are_private(daemon: &Daemon) -> Result<()> {
    let keys = daemon.data().join("pool/keys");
    let mut files = vec![daemon.data().join("master.key")];
    for entry in fs::read_dir(keys)? {
        files.push(entry?.path());
    }
    ensure!(files.len() == 2, "{files:?}");
    for file in files {
        let mode = file.metadata()?.permissions().mode() & 0o777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", file.display());
    }
    Ok(())
}

#[test]
fn no_file_of_the_daemon_holds_what_an_encrypted_volume_does() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let api = Api::new(&daemon)?;
    let (hidden, open) = (secret_volume(&daemon, &api)?, api.volume("open")?);
    write(&daemon, &open, OPEN)?;
    modes_are_private(&daemon)?;
    let snapshot = api.make("snapshot", &json!({"volume_id": hidden}))?;
    api.settled("snapshot", &snapshot)?;
    let copy = api.make("volume", &json!({"snapshot_id": snapshot}))?;
    ensure!(api.settled("volume", &copy)?["encrypted"] == true);
    let backup = api.back_up(&hidden, false)?;
    let restored = api.restore(&backup)?;
    let all = [hidden, copy, restored];
    daemon.kill9()?;
    daemon.up()?;
    for packed in [false, true] {
        for volume in &all {
            check(&daemon, volume, SECRET)?;
        }
        let found = files_with(&daemon, SECRET)?;
        ensure!(found.is_empty(), "packed: {packed}, {found:?}");
        // The search finds what is not encrypted, in the journal or in packs.
        let found = files_with(&daemon, OPEN)?;
        ensure!(!found.is_empty(), "packed: {packed}");
        daemon.reclaim()?;
    }
    let path = format!("/volumes/{open}/action");
    let retype = json!({"os-retype": {"new_type": "secret", "migration_policy": "on-demand"}});
    Api::new(&daemon)?.call("POST", &path, &retype)?;
    let shown = Api::new(&daemon)?.settled("volume", &open)?;
    ensure!(shown["encrypted"] == true, "{shown}");
    check(&daemon, &open, OPEN)?;
    daemon.stop()?;
    ensure!(
        files_with(&daemon, SECRET)?.is_empty(),
        "after an orderly stop"
    );
    Ok(())
}

/// Encrypted volumes are refused with a reason, the other is served, and no new one is made.
fn is_locked(daemon: &Daemon, hidden: &str, open: &str) -> Result<()> {
    let log = daemon.log();
    ensure!(log.contains("encrypted volumes cannot be opened"), "{log}");
    ensure!(log.contains("master.key"), "{log}");
    let refused = Disk::open(&daemon.uri(hidden)).map(drop);
    let refused = refused.err().context("it was opened")?.to_string();
    ensure!(refused.contains("key"), "{refused}");
    check(daemon, open, OPEN)?;
    let api = Api::new(daemon)?;
    let new = api.make("volume", &json!({"size": 1, "volume_type": "secret"}))?;
    tool::until(tool::PATIENCE, "the new volume fails", || {
        let shown = api.call("GET", &format!("/volumes/{new}"), &Value::Null);
        (shown.ok()?["volume"]["status"] == "error").then_some(())
    })
}

fn move_key(daemon: &Daemon, to: &Path) -> Result<()> {
    Ok(fs::rename(daemon.data().join("master.key"), to)?)
}

#[test]
fn without_the_master_key_nothing_opens_and_nothing_is_lost() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let (hidden, open) = {
        let api = Api::new(&daemon)?;
        (secret_volume(&daemon, &api)?, api.volume("open")?)
    };
    write(&daemon, &open, OPEN)?;
    let mut stranger = Daemon::start()?;
    secret_volume(&stranger, &Api::new(&stranger)?)?;
    stranger.stop()?;
    let key = daemon.data().join("master.key");
    let kept = daemon.data().with_extension("key");
    // Not even after a crash: replay needs no key.
    daemon.kill9()?;
    move_key(&daemon, &kept)?;
    daemon.up()?;
    is_locked(&daemon, &hidden, &open)?;
    ensure!(!key.exists(), "a new key would keep the right one out");
    daemon.stop()?;
    move_key(&stranger, &key)?;
    daemon.up()?;
    is_locked(&daemon, &hidden, &open)?;
    // The right one is found without a restart.
    fs::rename(&kept, &key)?;
    check(&daemon, &hidden, SECRET)?;
    daemon.stop()
}
