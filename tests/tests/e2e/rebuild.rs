//! Metadata that is lost under a killed daemon: it does not start over an empty one, and
//! `cinderblock rebuild` brings back every bit, or says by volume what is older.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::daemon::{self, Daemon};
use crate::disk::Disk;
use crate::pattern;
use crate::tool;

const MIB: usize = 1 << 20;
const BLOCK: usize = 4096;
/// `rebuild` ended, and not everything could be found again.
const UNHEALTHY: i32 = 6;
const EIO: u32 = 5;

fn put(daemon: &Daemon, volume: &str, seed: u64) -> Result<()> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    for part in 0..4 {
        disk.write(part * MIB as u64, &pattern::block(seed + part, MIB))?;
    }
    disk.flush()
}

fn holds(daemon: &Daemon, volume: &str, seed: u64) -> Result<()> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    for part in 0..4 {
        let found = disk.read(part * MIB as u64, MIB)?;
        let expected = pattern::block(seed + part, MIB);
        ensure!(found == expected, "{volume}: MiB {part} is another");
    }
    let rest = disk.read(4 * MIB as u64, MIB)?;
    ensure!(
        rest.iter().all(|byte| *byte == 0),
        "{volume}: more than was written"
    );
    Ok(())
}

/// Runs `cinderblock rebuild` on what a stopped daemon left.
fn rebuild(what: &str, path: &Path) -> Result<(Output, Value)> {
    let path = path.display().to_string();
    let program = daemon::program().display().to_string();
    let mut command = tool::command(&program, &["rebuild", what, &path, "--json"]);
    let output = tool::output(&mut command)?;
    let told = serde_json::from_slice(&output.stdout).with_context(|| tool::said(&output))?;
    Ok((output, told))
}

/// Starting must fail and say which command helps.
fn refuses_to_start(daemon: &mut Daemon, flag: &str) -> Result<()> {
    let error = daemon
        .up()
        .err()
        .context("it started without its metadata")?;
    let text = format!("{error:#}");
    ensure!(
        text.contains(&format!("cinderblock rebuild {flag}")),
        "{text}"
    );
    Ok(())
}

fn pool(daemon: &Daemon) -> PathBuf {
    daemon.data().join("pool")
}

/// A killed daemon with two volumes and a snapshot, the catalogue's dump having all of them.
fn killed() -> Result<Daemon> {
    let mut daemon = Daemon::start()?;
    for name in ["a", "b"] {
        daemon.cli(&["volume", "create", name, "--size", "1"])?;
    }
    put(&daemon, "a", 10)?;
    put(&daemon, "b", 20)?;
    daemon.cli(&["snapshot", "create", "a", "--name", "s"])?;
    daemon.stop()?;
    daemon.up()?;
    put(&daemon, "a", 30)?;
    daemon.kill9()?;
    Ok(daemon)
}

/// All of what [`killed`] wrote is there, to the bit.
fn holds_all(daemon: &Daemon, copy: &str) -> Result<()> {
    holds(daemon, "a", 30)?;
    holds(daemon, "b", 20)?;
    daemon.cli(&["volume", "create", copy, "--snapshot", "s"])?;
    holds(daemon, copy, 10)
}

#[test]
fn a_lost_and_a_damaged_index_cost_nothing() -> Result<()> {
    let mut daemon = killed()?;
    let index = pool(&daemon).join("meta.redb");
    fs::remove_file(&index)?;
    refuses_to_start(&mut daemon, "--pool")?;
    let (output, told) = rebuild("--pool", &pool(&daemon))?;
    ensure!(output.status.success(), "{}", tool::said(&output));
    ensure!(told["pool"]["log"] != "set aside", "{told}");
    let disks = told["pool"]["disks"].as_array().context("no disks")?;
    ensure!(disks.len() == 3, "{told}");
    ensure!(disks.iter().all(|disk| disk["lost_bytes"] == 0), "{told}");
    daemon.up()?;
    holds_all(&daemon, "first")?;

    daemon.kill9()?;
    let len = fs::metadata(&index)?.len() as usize;
    fs::write(&index, pattern::block(1, len))?;
    refuses_to_start(&mut daemon, "--pool")?;
    let (output, told) = rebuild("--pool", &pool(&daemon))?;
    ensure!(output.status.success(), "{}", tool::said(&output));
    let aside = told["pool"]["set_aside"]
        .as_str()
        .context("nothing set aside")?;
    ensure!(Path::new(aside).join("meta.redb").is_file(), "{told}");
    daemon.up()?;
    holds_all(&daemon, "second")?;
    daemon.stop()
}

#[test]
fn a_lost_catalogue_is_as_of_its_dump() -> Result<()> {
    let mut daemon = killed()?;
    daemon.up()?;
    daemon.cli(&["volume", "create", "late", "--size", "1"])?;
    daemon.kill9()?;
    fs::remove_file(daemon.data().join("catalogue.redb"))?;
    refuses_to_start(&mut daemon, "--catalogue")?;
    let (output, told) = rebuild("--catalogue", daemon.data())?;
    ensure!(output.status.success(), "{}", tool::said(&output));
    ensure!(told["catalogue"]["as_of_us"].as_u64() > Some(0), "{told}");
    daemon.up()?;
    holds_all(&daemon, "copy")?;
    let volumes = daemon.cli(&["volume", "list"])?;
    ensure!(!volumes.contains("late"), "{volumes}");
    daemon.stop()
}

/// Copies the files of a folder into a new one.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// How many bytes of a volume cannot be read; all others must be as written.
fn unreadable(daemon: &Daemon, volume: &str, seed: u64) -> Result<u64> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    let mut bytes = 0;
    for part in 0..4 {
        let expected = pattern::block(seed + part, MIB);
        for (block, at) in expected.chunks_exact(BLOCK).zip((0..).step_by(BLOCK)) {
            match disk.read(part * MIB as u64 + at, BLOCK) {
                Ok(found) => ensure!(found == block, "{volume}: another's bytes at {part} + {at}"),
                Err(error) if Disk::errno(&error) == Some(EIO) => bytes += BLOCK as u64,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

#[test]
fn what_an_old_dump_cannot_find_is_told_by_volume_and_an_error() -> Result<()> {
    let mut daemon = killed()?;
    daemon.up()?;
    daemon.stop()?;
    let (dumps, kept) = (pool(&daemon).join("dump"), daemon.data().join("kept"));
    copy(&dumps, &kept)?;
    daemon.up()?;
    put(&daemon, "a", 40)?;
    // The journal that the kept dumps know is given back with this.
    daemon.reclaim()?;
    daemon.kill9()?;
    fs::remove_dir_all(&dumps)?;
    fs::rename(&kept, &dumps)?;
    fs::remove_file(pool(&daemon).join("meta.redb"))?;
    let (output, told) = rebuild("--pool", &pool(&daemon))?;
    ensure!(
        output.status.code() == Some(UNHEALTHY),
        "{}",
        tool::said(&output)
    );
    ensure!(told["pool"]["log"] != "applied", "{told}");

    daemon.up()?;
    let volumes = daemon.json(&["volume", "list"])?;
    let volumes = volumes.as_array().context("no volumes")?;
    let mut lost_bytes = 0;
    for (name, seed) in [("a", 30), ("b", 20)] {
        let volume = volumes.iter().find(|volume| volume["name"] == name);
        let id = &volume.context("no such volume")?["id"];
        let mut disks = told["pool"]["disks"].as_array().context("no disks")?.iter();
        let disk = disks.find(|disk| disk["id"] == *id).context("not told")?;
        let found = unreadable(&daemon, name, seed)?;
        ensure!(disk["lost_bytes"] == found, "{name}: {found} of {disk}");
        lost_bytes += found;
    }
    ensure!(lost_bytes > 0, "nothing of the journal was needed");
    daemon.stop()
}
