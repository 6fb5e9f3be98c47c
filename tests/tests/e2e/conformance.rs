//! The protocol checks of `tests/conformance` against both doors: a unix socket and an attachment.

use anyhow::{Result, ensure};

use crate::daemon::Daemon;
use crate::tool;

fn conform(uri: &str, read_only: &str) -> Result<()> {
    let checks = tool::root().join("tests/conformance");
    let mut command = tool::command("/usr/bin/python3", &["-B"]);
    command
        .arg(checks)
        .args([uri, "--ro", read_only, "--ops", "2000"]);
    let output = tool::output(&mut command)?;
    let said = tool::said(&output);
    let odd: Vec<_> = said
        .lines()
        .filter(|line| !line.starts_with("ok "))
        .collect();
    println!("{}", odd.join("\n"));
    ensure!(
        output.status.success() && said.contains(" 0 failed"),
        "{said}"
    );
    Ok(())
}

#[test]
fn unix_export_conforms() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let snapshot = daemon.json(&["snapshot", "create", "v", "--name", "s"])?;
    let id = snapshot["id"].as_str().unwrap_or_default();
    conform(&daemon.uri("v"), &daemon.uri(id))?;
    daemon.stop()
}

#[test]
fn attachment_over_tcp_conforms() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let snapshot = daemon.json(&["snapshot", "create", "v", "--name", "s"])?;
    let id = snapshot["id"].as_str().unwrap_or_default();
    let uri = daemon.attach("v")?;
    ensure!(uri.starts_with("nbd://127.0.0.1:"), "{uri}");
    conform(&uri, &daemon.uri(id))?;
    daemon.stop()
}
