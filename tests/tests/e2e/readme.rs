//! The commands of README.md, run as they stand there.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::daemon::{self, Daemon};
use crate::tool;

/// The fenced blocks of a language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = text.split(&fence).skip(1);
    parts
        .filter_map(|part| Some(part.split_once("```")?.0.to_owned()))
        .collect()
}

/// What the README calls by bare names, in front of the PATH.
fn path_with_our_programs() -> Result<String> {
    let ours = daemon::program();
    let ours = ours.parent().context("a folder")?.display().to_string();
    let openstack = std::env::var("OPENSTACK").unwrap_or_default();
    let openstack = Path::new(&openstack)
        .parent()
        .unwrap_or(Path::new("/usr/bin"));
    let path = std::env::var("PATH").unwrap_or_default();
    Ok(format!("{ours}:{}:{path}", openstack.display()))
}

#[test]
fn every_command_works() -> Result<()> {
    let text = fs::read_to_string(tool::root().join("README.md"))?;
    let mut daemon = Daemon::start()?;
    let home = tempfile::tempdir()?;
    fs::write(home.path().join("disk.img"), vec![42; 3 << 20])?;
    let mut script = String::from("set -euo pipefail\n");
    for block in blocks(&text, "sh") {
        script.push_str(&block);
    }
    ensure!(script.lines().count() > 10, "README.md shows no commands");
    // The paths that the README speaks of, as they are here.
    let data = daemon.data().display().to_string();
    let script = script.replace("/var/lib/cinderblock", &data);
    let mut command = tool::command("bash", &["-xc", &script]);
    command
        .current_dir(home.path())
        .env("PATH", path_with_our_programs()?);
    let said = tool::run(&mut command)?;
    println!("{said}");
    daemon.stop()
}
