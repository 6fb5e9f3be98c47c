//! Bytes of a stopped daemon's files change: a check says so, scrub names who is affected, reads of
//! just that fail, and everything else is as it was written.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::api::Api;
use crate::daemon::{Daemon, program};
use crate::disk::Disk;
use crate::{pattern, tool};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 1024;
const EIO: u32 = 5;
/// The exit code for checks that found problems.
const UNHEALTHY: i32 = 6;

fn flip(path: &Path, at: u64) -> Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(file.write_all_at(&[byte[0] ^ 4], at)?)
}

/// A pack file, and a byte in the middle of what it holds.
fn packed_byte(pool: &Path) -> Result<(PathBuf, u64)> {
    for folder in fs::read_dir(pool.join("pack"))? {
        for file in fs::read_dir(folder?.path())? {
            let path = file?.path();
            let bytes = fs::read(&path)?;
            let last = bytes.iter().rposition(|byte| *byte != 0);
            if let Some(last) = last.filter(|last| *last > 1 << 20) {
                return Ok((path, last as u64 / 2));
            }
        }
    }
    Err(anyhow::anyhow!("nothing was packed"))
}

fn check(daemon: &Daemon) -> Result<Output> {
    let mut command = daemon.with_cloud(program());
    tool::output(command.arg("check").arg("--data").arg(daemon.data()))
}

fn expect_damage(daemon: &Daemon, what: &str) -> Result<()> {
    let output = check(daemon)?;
    let said = tool::said(&output);
    ensure!(output.status.code() == Some(UNHEALTHY), "{said}");
    ensure!(said.contains("DAMAGED") && said.contains(what), "{said}");
    Ok(())
}

/// Blocks that do not read; all others must be what was written.
fn unreadable(daemon: &Daemon, volume: &str) -> Result<Vec<u64>> {
    let mut disk = Disk::open(&daemon.uri(volume))?;
    let mut bad = Vec::new();
    for block in 0..BLOCKS {
        match disk.read(block * BLOCK as u64, BLOCK) {
            Ok(bytes) => ensure!(bytes == pattern::block(block + 1, BLOCK), "block {block}"),
            Err(error) => {
                ensure!(Disk::errno(&error) == Some(EIO), "{error:#}");
                bad.push(block);
            }
        }
    }
    Ok(bad)
}

/// Blocks that scrub says are affected.
fn named(daemon: &Daemon, volume: &str) -> Result<Vec<u64>> {
    let mut command = daemon.with_cloud(program());
    let output = tool::output(command.args(["scrub", "--wait", "--json"]))?;
    let said = tool::said(&output);
    ensure!(output.status.code() == Some(UNHEALTHY), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).context(said)?;
    let mut blocks = Vec::new();
    for finding in shown[0]["findings"].as_array().context("findings")? {
        for part in finding["affected"].as_array().context("affected")? {
            ensure!(part["volume_id"] == volume, "{finding}");
            let number = |name: &str| part[name].as_u64().context("a number");
            let first = number("offset")? / BLOCK as u64;
            blocks.extend(first..first + number("len_bytes")? / BLOCK as u64);
        }
    }
    Ok(blocks)
}

#[test]
fn rot_is_named_and_never_read() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let volume = Api::new(&daemon)?.volume("rotten")?;
    let mut disk = Disk::open(&daemon.uri(&volume))?;
    for block in 0..BLOCKS {
        disk.write(block * BLOCK as u64, &pattern::block(block + 1, BLOCK))?;
    }
    disk.flush()?;
    drop(disk);
    daemon.reclaim()?;
    daemon.stop()?;
    let whole = check(&daemon)?;
    ensure!(whole.status.success(), "{}", tool::said(&whole));
    let pool = daemon.data().join("pool");
    let (pack, at) = packed_byte(&pool)?;
    flip(&pack, at)?;
    expect_damage(&daemon, &volume)?;
    daemon.up()?;
    let affected = named(&daemon, &volume)?;
    let bad = unreadable(&daemon, &volume)?;
    ensure!(
        !bad.is_empty() && bad.len() < BLOCKS as usize / 4,
        "{bad:?}"
    );
    ensure!(bad == affected, "{bad:?}, named: {affected:?}");
    daemon.stop()?;
    flip(&pack, at)?;
    // The byte of redb's header that says which commit counts: its copy takes its place.
    flip(&pool.join("meta.redb"), 9)?;
    expect_damage(&daemon, "header")?;
    daemon.up()?;
    ensure!(unreadable(&daemon, &volume)?.is_empty());
    daemon.stop()?;
    let whole = check(&daemon)?;
    ensure!(whole.status.success(), "{}", tool::said(&whole));
    Ok(())
}
