//! A file system that fills up: hosts get ENOSPC and those who upload 413, nothing flushed is lost, and
//! deleting makes room.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::pattern::{self, Dice};
use crate::tool;

const ENOSPC: u32 = 28;
const MIB: u64 = 1 << 20;
const DISK_MIB: u64 = 320;

/// A small ext4 file system of its own, unmounted at the end.
struct SmallDisk {
    mount: PathBuf,
    _home: tempfile::TempDir,
}

impl SmallDisk {
    fn new() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let (image, mount) = (home.path().join("fs"), home.path().join("mnt"));
        fs::File::create(&image)?.set_len(DISK_MIB * MIB)?;
        fs::create_dir(&mount)?;
        let (image, at) = (image.display().to_string(), mount.display().to_string());
        tool::run(&mut tool::command(
            "mke2fs",
            &["-q", "-t", "ext4", "-F", "-m", "0", &image],
        ))?;
        tool::run(&mut tool::command("mount", &["-o", "loop", &image, &at]))?;
        Ok(Self { mount, _home: home })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing to tell: a mount left behind shows in the folder that cannot be removed.
        let _ = tool::run(&mut tool::command(
            "umount",
            &["--lazy", &self.mount.display().to_string()],
        ));
    }
}

fn block(number: u64) -> Vec<u8> {
    // Incompressible, so that the file system fills as fast as the test writes.
    let mut dice = Dice::new(number << 20 | 0xabc);
    (0..MIB / 8)
        .flat_map(|_| dice.below(u64::MAX).to_le_bytes())
        .collect()
}

/// Writes blocks until the disk is full; returns how many of them were flushed.
fn fill(disk: &mut Disk, first: u64) -> Result<u64> {
    let mut flushed = 0;
    for number in first..first + 2 * DISK_MIB {
        let written = disk.write(number * MIB, &block(number));
        match written.and_then(|()| disk.flush()) {
            Ok(()) => flushed = number + 1 - first,
            Err(error) => {
                ensure!(Disk::errno(&error) == Some(ENOSPC), "not ENOSPC: {error:#}");
                return Ok(flushed);
            }
        }
    }
    bail!("never full: {flushed} MiB flushed on a disk of {DISK_MIB} MiB")
}

fn check(disk: &mut Disk, first: u64, count: u64) -> Result<()> {
    for number in first..first + count {
        ensure!(
            disk.read(number * MIB, MIB as usize)? == block(number),
            "MiB {number} differs"
        );
    }
    Ok(())
}

fn scenario(data: &Path) -> Result<()> {
    let mut daemon = Daemon::on(data);
    daemon.up()?;
    for name in ["keep", "fill"] {
        daemon.cli(&["volume", "create", name, "--size", "1"])?;
    }
    let mut keep = Disk::open(&daemon.uri("keep"))?;
    for number in 0..40 {
        keep.write(number * MIB, &pattern::block(number, MIB as usize))?;
    }
    keep.flush()?;
    let mut filler = Disk::open(&daemon.uri("fill"))?;
    let flushed = fill(&mut filler, 0)?;
    println!("{flushed} MiB flushed before ENOSPC");
    ensure!(
        flushed > DISK_MIB / 4,
        "only {flushed} MiB of {DISK_MIB} MiB could be used"
    );
    check(&mut filler, 0, flushed)?;
    ensure!(
        daemon.alive() && daemon.get("/healthz")?.0 == 200,
        "{}",
        daemon.log()
    );
    drop((keep, filler));
    daemon.kill9()?;
    daemon.up()?;
    check(&mut Disk::open(&daemon.uri("fill"))?, 0, flushed)?;

    daemon.cli(&["volume", "delete", "fill"])?;
    daemon.reclaim()?;
    let mut keep = Disk::open(&daemon.uri("keep"))?;
    for number in 100..160 {
        keep.write(number * MIB, &block(number))?;
    }
    keep.flush()?;
    drop(keep);
    daemon.stop()?;
    daemon.up()?;
    let mut keep = Disk::open(&daemon.uri("keep"))?;
    check(&mut keep, 100, 60)?;
    for number in 0..40 {
        ensure!(keep.read(number * MIB, MIB as usize)? == pattern::block(number, MIB as usize));
    }
    drop(keep);
    daemon.stop()
}

#[test]
fn a_full_disk_says_so_and_recovers() -> Result<()> {
    let disk = SmallDisk::new()?;
    scenario(&disk.mount.join("data"))
}

/// An image larger than the disk is refused, leaves nothing, and keeps nobody from a smaller one.
fn images(data: &Path, large: &Path) -> Result<()> {
    let mut daemon = Daemon::on(data);
    daemon.up()?;
    let api = Api::new(&daemon)?;
    let mut bytes = vec![0; ((DISK_MIB + 40) * MIB) as usize];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    fs::write(large, &bytes)?;
    let wanted = json!({"disk_format": "raw", "container_format": "bare"});
    let (_, made) = api.ask("POST", "/image/v2/images", &wanted)?;
    let image = made["id"].as_str().with_context(|| made.to_string())?;
    let status = api.image_bytes("PUT", image, large)?;
    ensure!(status == 413, "{status} of an image larger than the disk");
    let path = format!("/image/v2/images/{image}");
    let (_, shown) = api.ask("GET", &path, &Value::Null)?;
    ensure!(shown["status"] == "queued", "{shown}");
    let mut pool = Value::Null;
    tool::until(tool::PATIENCE, "the end of the bytes", || {
        pool = daemon.json(&["status"]).ok()?;
        (pool["volumes"] == 0).then_some(())
    })
    .with_context(|| pool.to_string())?;
    daemon.reclaim()?;

    let bytes = &bytes[..40 << 20];
    fs::write(large, bytes)?;
    let status = api.image_bytes("PUT", image, large)?;
    ensure!(status == 204, "{status} of an image that fits");
    let status = api.image_bytes("GET", image, large)?;
    ensure!(status == 200 && fs::read(large)? == bytes, "{status}");
    daemon.stop()
}

#[test]
fn an_image_larger_than_the_disk_leaves_nothing() -> Result<()> {
    let (disk, elsewhere) = (SmallDisk::new()?, tempfile::tempdir()?);
    images(&disk.mount.join("data"), &elsewhere.path().join("image"))
}
