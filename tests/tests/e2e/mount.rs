//! Snapshots as files.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use crate::daemon::{self, Daemon};
use crate::disk::Disk;
use crate::pattern;
use crate::tool;

const MIB: usize = 1 << 20;

/// A running `cinderblock mount`.
struct Mount(Child);

impl Mount {
    fn start(daemon: &Daemon, dir: &Path) -> Result<Self> {
        fs::create_dir(dir)?;
        let log = File::create(dir.with_extension("log"))?;
        let child = daemon
            .with_cloud(daemon::program())
            .arg("mount")
            .arg(dir)
            .arg("--data")
            .arg(daemon.data())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    fn stop(&mut self) -> Result<()> {
        tool::terminate(&self.0)?;
        let status = tool::wait(&mut self.0, tool::PATIENCE)?;
        ensure!(status.success(), "mount ended with {status}");
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Only after a failure, which is what is reported.
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = tool::terminate(&self.0);
            let _ = tool::wait(&mut self.0, tool::PATIENCE);
        }
    }
}

#[test]
fn snapshots_are_files() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let mut disk = Disk::open(&daemon.uri("v"))?;
    for number in 0..8_u64 {
        disk.write(number * (100 << 20), &pattern::block(number, MIB))?;
    }
    disk.flush()?;
    daemon.cli(&["snapshot", "create", "v", "--name", "monday"])?;
    disk.write(0, &vec![7; MIB])?;
    disk.flush()?;
    drop(disk);

    let home = tempfile::tempdir()?;
    let dir = home.path().join("mnt");
    let mut mount = Mount::start(&daemon, &dir)?;
    let latest = dir.join("volumes/v/latest/disk.raw");
    let file = tool::until(tool::PATIENCE, "the mount", || File::open(&latest).ok())
        .with_context(|| fs::read_to_string(dir.with_extension("log")).unwrap_or_default())?;
    let meta = file.metadata()?;
    ensure!(
        meta.len() == 1 << 30 && meta.mode() & 0o777 == 0o400,
        "{meta:?}"
    );
    ensure!(
        meta.blocks() * 512 < 1 << 29,
        "not sparse: {} blocks",
        meta.blocks()
    );
    let mut bytes = vec![0; MIB];
    for number in 0..8_u64 {
        file.read_exact_at(&mut bytes, number * (100 << 20))?;
        ensure!(bytes == pattern::block(number, MIB), "MiB {number} differs");
    }
    file.read_exact_at(&mut bytes, 50 << 20)?;
    ensure!(bytes == vec![0; MIB], "a hole holds data");
    ensure!(
        File::create(dir.join("volumes/v/latest/new")).is_err(),
        "the mount can be written to"
    );
    let info = fs::read_to_string(dir.join("volumes/v/latest/info.json"))?;
    let info: serde_json::Value = serde_json::from_str(&info)?;
    ensure!(info.to_string().contains("monday"), "{info}");
    drop(file);
    mount.stop()?;
    daemon.stop()
}
