//! The real `openstack` client, with the file that the first start wrote.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::tool;

/// The client that scripts/test installed.
fn openstack(daemon: &Daemon, arguments: &[&str]) -> Result<Value> {
    let program = std::env::var_os("OPENSTACK").unwrap_or_else(|| "openstack".into());
    let text = tool::run(
        daemon
            .with_cloud(program)
            .args(arguments)
            .args(["-f", "json"]),
    )?;
    serde_json::from_str(&text).with_context(|| text)
}

fn quiet(daemon: &Daemon, arguments: &[&str]) -> Result<()> {
    let program = std::env::var_os("OPENSTACK").unwrap_or_else(|| "openstack".into());
    tool::run(daemon.with_cloud(program).args(arguments)).map(drop)
}

fn available(daemon: &Daemon, kind: &[&str], name: &str) -> Result<Value> {
    let arguments = [kind, &["show", name]].concat();
    let mut last = Value::Null;
    tool::until(tool::PATIENCE, "status available", || {
        last = openstack(daemon, &arguments).ok()?;
        (last["status"] == "available").then_some(())
    })
    .with_context(|| last.to_string())?;
    Ok(last)
}

#[test]
fn volumes_snapshots_and_attachments() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let token = openstack(&daemon, &["token", "issue"])?;
    ensure!(token["id"].is_string(), "{token}");
    openstack(&daemon, &["catalog", "list"])?;
    openstack(&daemon, &["volume", "create", "--size", "1", "base"])?;
    let base = available(&daemon, &["volume"], "base")?;
    ensure!(base["size"] == 1, "{base}");
    openstack(
        &daemon,
        &["volume", "snapshot", "create", "--volume", "base", "monday"],
    )?;
    available(&daemon, &["volume", "snapshot"], "monday")?;
    openstack(
        &daemon,
        &[
            "volume",
            "create",
            "--snapshot",
            "monday",
            "--size",
            "2",
            "copy",
        ],
    )?;
    available(&daemon, &["volume"], "copy")?;
    quiet(
        &daemon,
        &[
            "volume",
            "set",
            "--name",
            "renamed",
            "--property",
            "a=b",
            "copy",
        ],
    )?;
    quiet(&daemon, &["volume", "set", "--size", "3", "renamed"])?;
    let renamed = available(&daemon, &["volume"], "renamed")?;
    ensure!(
        renamed["size"] == 3 && renamed["properties"]["a"] == "b",
        "{renamed}"
    );
    let volumes = openstack(&daemon, &["volume", "list"])?;
    ensure!(
        volumes.as_array().is_some_and(|all| all.len() == 2),
        "{volumes}"
    );
    quiet(&daemon, &["volume", "snapshot", "delete", "monday"])?;
    tool::until(tool::PATIENCE, "an empty list", || {
        let left = openstack(&daemon, &["volume", "snapshot", "list"]).ok()?;
        left.as_array()?.is_empty().then_some(())
    })?;
    quiet(&daemon, &["volume", "delete", "base", "renamed"])?;
    tool::until(tool::PATIENCE, "an empty list", || {
        openstack(&daemon, &["volume", "list"])
            .ok()?
            .as_array()?
            .is_empty()
            .then_some(())
    })?;
    daemon.stop()
}
