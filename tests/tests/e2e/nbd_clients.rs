//! Programs that people attach volumes with: libnbd's tools, qemu and fio.

use std::fs;

use anyhow::{Result, ensure};

use crate::daemon::Daemon;
use crate::pattern;
use crate::tool::{self, command, run};

const MIB: usize = 1 << 20;

/// Data, repetitions and holes.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 96 * MIB];
    for (number, part) in bytes.chunks_exact_mut(MIB).enumerate() {
        match number % 4 {
            0 => part.copy_from_slice(&pattern::block(number as u64, MIB)),
            1 => part.fill(number as u8),
            2 => part[5000..9000].copy_from_slice(&pattern::block(number as u64, 4000)),
            _ => {}
        }
    }
    bytes
}

#[test]
fn libnbd_copies_in_and_out() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let home = tempfile::tempdir()?;
    let (source, back) = (home.path().join("source"), home.path().join("back"));
    fs::write(&source, image())?;
    let (source, back) = (source.display().to_string(), back.display().to_string());
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    for uri in [daemon.uri("v"), daemon.attach("v")?] {
        run(&mut command("nbdinfo", &[&uri]))?;
        let map = run(&mut command("nbdinfo", &["--map", &uri]))?;
        ensure!(map.contains("hole") || map.contains("data"), "{map}");
        run(&mut command("nbdcopy", &["--flush", &source, &uri]))?;
        run(&mut command(
            "nbdcopy",
            &["--connections=4", "--requests=64", &uri, &back],
        ))?;
        run(&mut command("truncate", &["-s", "1G", &source]))?;
        run(&mut command("cmp", &[&source, &back]))?;
    }
    daemon.stop()
}

#[test]
fn qemu_reads_writes_and_converts() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let home = tempfile::tempdir()?;
    let (source, out) = (home.path().join("source"), home.path().join("out.qcow2"));
    fs::write(&source, image())?;
    let (source, out) = (source.display().to_string(), out.display().to_string());
    run(&mut command("truncate", &["-s", "1G", &source]))?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let uri = daemon.attach("v")?;
    run(&mut command(
        "qemu-img",
        &["convert", "-n", "-f", "raw", "-O", "raw", &source, &uri],
    ))?;
    run(&mut command(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", &source, &uri],
    ))?;
    run(&mut command(
        "qemu-img",
        &["convert", "-f", "raw", "-O", "qcow2", &uri, &out],
    ))?;
    run(&mut command(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "qcow2", &source, &out],
    ))?;
    let session = [
        "write -P 0x11 0 64k",
        "write -P 0x22 65k 3k",
        "read -P 0x11 0 64k",
        "read -P 0x22 65k 3k",
        "write -z -u 64k 64k",
        "read -P 0 64k 64k",
        "discard 1M 1M",
        "read -P 0 1M 1M",
        "write -f -P 9 4M 4k",
        "flush",
    ];
    let mut io = command("qemu-io", &["-f", "raw"]);
    for line in session {
        io.args(["-c", line]);
    }
    let said = tool::said(&tool::output(io.arg(&uri))?);
    ensure!(
        !said.contains("failed") && !said.contains("error"),
        "{said}"
    );
    daemon.stop()
}

#[test]
fn fio_verifies_what_it_wrote() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let uri = format!("--uri={}", daemon.uri("v"));
    run(&mut command(
        "fio",
        &[
            "--name=v",
            "--ioengine=nbd",
            &uri,
            "--rw=randwrite",
            "--bsrange=512-64k",
            "--blockalign=512",
            "--size=32M",
            "--iodepth=32",
            "--verify=crc32c",
            "--do_verify=1",
            "--verify_fatal=1",
            "--fsync=64",
            "--verify_state_save=0",
            "--output-format=terse",
        ],
    ))?;
    daemon.stop()
}
