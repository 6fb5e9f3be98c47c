//! A volume's life through the command line, and the daemon's own.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::disk::Disk;
use crate::pattern;
use crate::tool;

const MIB: usize = 1 << 20;

#[test]
fn volumes_snapshots_and_clones() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let volume = daemon.json(&["volume", "create", "v", "--size", "1"])?;
    ensure!(volume["name"] == "v" && volume["size"] == 1, "{volume}");
    let mut disk = Disk::open(&daemon.uri("v"))?;
    disk.write(0, &pattern::block(1, MIB))?;
    disk.flush()?;
    daemon.cli(&["snapshot", "create", "v", "--name", "s"])?;
    disk.write(0, &pattern::block(2, MIB))?;
    disk.flush()?;
    drop(disk);
    daemon.cli(&["volume", "create", "copy", "--snapshot", "s"])?;
    ensure!(Disk::open(&daemon.uri("copy"))?.read(0, MIB)? == pattern::block(1, MIB));
    ensure!(Disk::open(&daemon.uri("v"))?.read(0, MIB)? == pattern::block(2, MIB));
    daemon.cli(&["volume", "extend", "copy", "--size", "2"])?;
    ensure!(Disk::open(&daemon.uri("copy"))?.size() == 2 << 30);

    daemon.stop()?;
    daemon.up()?;
    ensure!(Disk::open(&daemon.uri("copy"))?.read(0, MIB)? == pattern::block(1, MIB));
    daemon.cli(&["snapshot", "delete", "s"])?;
    ensure!(Disk::open(&daemon.uri("copy"))?.read(0, MIB)? == pattern::block(1, MIB));
    daemon.cli(&["volume", "delete", "v"])?;
    daemon.cli(&["volume", "delete", "copy"])?;
    let volumes = daemon.json(&["volume", "list"])?;
    ensure!(volumes.as_array().is_some_and(Vec::is_empty), "{volumes}");
    daemon.stop()
}

#[test]
fn import_twice_costs_once_and_export_returns_the_bytes() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let home = tempfile::tempdir()?;
    let (source, back) = (home.path().join("disk.img"), home.path().join("back.img"));
    let file = File::create(&source)?;
    // Not a whole number of GiB, sparse, and ending within a block.
    file.set_len(300 * MIB as u64 + 1234)?;
    for number in 0..60 {
        file.write_all_at(&pattern::block(number, MIB), number * 5 * MIB as u64)?;
    }
    file.write_all_at(b"the end", 300 * MIB as u64 + 1227)?;
    let (from, to) = (source.display().to_string(), back.display().to_string());
    daemon.cli(&["volume", "import", &from, "--name", "one"])?;
    daemon.reclaim()?;
    let once = daemon.pool("stored_bytes")?;
    daemon.cli(&["volume", "import", &from, "--name", "two"])?;
    daemon.reclaim()?;
    let twice = daemon.pool("stored_bytes")?;
    println!("stored {once} bytes after one import, {twice} after two");
    ensure!(
        once > 20 * MIB as u64 && twice < once + once / 50,
        "{once} then {twice}"
    );
    for name in ["one", "two"] {
        daemon.cli(&["volume", "export", name, &to])?;
        tool::run(&mut tool::command("cmp", &[&from, &to]))?;
        fs::remove_file(&back)?;
    }
    let qcow2 = home.path().join("back.qcow2").display().to_string();
    daemon.cli(&["volume", "export", "one", &qcow2])?;
    tool::run(&mut tool::command(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "qcow2", &from, &qcow2],
    ))?;
    daemon.cli(&["volume", "import", &qcow2, "--name", "three"])?;
    daemon.cli(&["volume", "export", "three", &to])?;
    tool::run(&mut tool::command(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", &from, &to],
    ))?;
    daemon.stop()
}

#[test]
fn the_contract_of_serve() -> Result<()> {
    let mut daemon = Daemon::start()?;
    for name in ["clouds.yaml", "nbd.sock"] {
        let mode = fs::metadata(daemon.data().join(name))?.permissions().mode() & 0o077;
        ensure!(mode == 0, "{name} is open to others: {mode:o}");
    }
    // A second daemon on the same directory is turned away, and the first does not notice.
    let mut command = tool::command(
        &daemon::program().display().to_string(),
        &["serve", "--http", "127.0.0.1:0", "--nbd", "127.0.0.1:0"],
    );
    command.arg("--data").arg(daemon.data());
    let output = tool::output(&mut command)?;
    ensure!(!output.status.success(), "two daemons on one directory");
    ensure!(daemon.get("/healthz")?.0 == 200);
    // Without credentials nothing is told.
    let (status, _) = daemon.get("/volume/v3/x/volumes")?;
    ensure!(status == 401, "{status}");
    daemon.stop()
}

#[test]
fn exit_codes_tell_failures_apart() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let code = |arguments: &[&str]| -> Result<Option<i32>> {
        let mut command = daemon.with_cloud(daemon::program());
        Ok(tool::output(command.args(arguments))?.status.code())
    };
    ensure!(code(&["volume", "list"])? == Some(0));
    ensure!(code(&["volume", "no-such-verb"])? == Some(2));
    ensure!(code(&["volume", "show", "nothing"])? == Some(3));
    ensure!(code(&["volume", "create", "v", "--size", "0"])? != Some(0));
    daemon.stop()?;
    let unreachable = tool::output(
        daemon
            .with_cloud(daemon::program())
            .args(["volume", "list"]),
    )?;
    ensure!(
        unreachable.status.code() == Some(5),
        "{}",
        tool::said(&unreachable)
    );
    Ok(())
}

#[test]
fn the_openapi_document_is_printed_as_it_is_served() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let (status, served) = daemon.get("/openapi.json")?;
    ensure!(status == 200, "{status}");
    let printed = daemon.cli(&["openapi"])?;
    let [served, printed] = [&served, &printed].map(|text| serde_json::from_str::<Value>(text));
    let served = served?;
    ensure!(served["openapi"] == "3.1.0" && served == printed?);
    daemon.stop()
}
