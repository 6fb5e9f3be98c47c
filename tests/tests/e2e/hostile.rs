//! Garbage on the ports, in the configuration and on the disk: a clear error each time, no panic, and
//! nothing that was acknowledged goes missing without a word.

use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::pattern::{self, Dice};
use crate::tool;

const MIB: u64 = 1 << 20;

fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    (0..len).map(|_| dice.below(256) as u8).collect()
}

/// Sends bytes and reads whatever comes, until the peer closes or has been silent for a while.
fn poke(mut stream: impl Read + Write, bytes: &[u8]) {
    // The server may close while this still sends or reads: that is its right.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4096];
    while matches!(stream.read(&mut answer), Ok(1..)) {}
}

#[test]
fn garbage_on_the_ports_harms_nobody() -> Result<()> {
    let mut daemon = Daemon::start()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let mut bystander = Disk::open(&daemon.uri("v"))?;
    bystander.write(0, b"still here")?;
    let mut dice = Dice::new(7);
    let silence = Some(Duration::from_millis(200));
    for round in 0..60 {
        let len = 1 + dice.below(3000) as usize;
        let mut bytes = noise(&mut dice, len);
        if round % 3 == 1 {
            // Past the greeting, so that the option parser gets its share.
            bytes = [b"\0\0\0\x03IHAVEOPT".as_slice(), &bytes].concat();
        } else if round % 3 == 2 {
            bytes = [
                b"POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\n".as_slice(),
                &bytes,
            ]
            .concat();
        }
        for address in [daemon.http()?, daemon.nbd()?] {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(silence)?;
            poke(stream, &bytes);
        }
        let stream = UnixStream::connect(daemon.socket())?;
        stream.set_read_timeout(silence)?;
        poke(stream, &bytes);
    }
    ensure!(bystander.read(0, 10)? == b"still here");
    drop(bystander);
    daemon.stop()
}

#[test]
fn malformed_http_gets_an_answer_not_a_panic() -> Result<()> {
    let mut daemon = Daemon::start()?;
    let post = |body: &str| {
        let len = body.len();
        format!(
            "POST /identity/v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
        )
    };
    let deep = "[".repeat(50_000);
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{\"auth\":7}",
        "{\"auth\":{\"identity\":{}}}",
        "\u{0}",
        &deep,
    ] {
        let answer = daemon.raw_http(post(body).as_bytes())?;
        ensure!(
            answer.starts_with("HTTP/1.1 4"),
            "{body:.40}: {answer:.200}"
        );
    }
    for path in [
        "/volume/v3/../../etc/passwd",
        "/%00",
        "/volume/v3/x/volumes/%ff",
        "//",
        "/volume/v3/x/volumes?limit=-1",
    ] {
        let (status, _) = daemon.get(path)?;
        ensure!((300..500).contains(&status), "{path}: {status}");
    }
    daemon.stop()
}

#[test]
fn wrong_configuration_names_the_line() -> Result<()> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("config.toml");
    for (text, hint) in [
        ("[nbd\n", "config.toml:1:"),
        ("\n\nno_such_key = 1\n", "no_such_key"),
        ("\n[nbd]\nlisten = 7\n", "config.toml:3:"),
        ("[nbd]\nlisten = \"0.0.0.0:0\"\n", "allow_plaintext"),
    ] {
        fs::write(&file, text)?;
        let mut command =
            tool::command(&crate::daemon::program().display().to_string(), &["serve"]);
        command
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(home.path().join("data"));
        let output = tool::output(&mut command)?;
        let said = tool::said(&output);
        ensure!(!output.status.success(), "accepted {text:?}");
        ensure!(
            said.contains(hint) && !said.contains("panicked"),
            "{text:?}: {said}"
        );
    }
    Ok(())
}

/// A pool with a packed part and a journal part, both flushed, and the daemon stopped or killed.
fn pool(home: &Path, clean: bool) -> Result<Daemon> {
    let mut daemon = Daemon::on(&home.join("data"));
    daemon.up()?;
    daemon.cli(&["volume", "create", "v", "--size", "1"])?;
    let mut disk = Disk::open(&daemon.uri("v"))?;
    for block in 0..32 {
        disk.write(block * MIB, &pattern::block(block, MIB as usize))?;
    }
    disk.flush()?;
    daemon.reclaim()?;
    for block in 32..40 {
        disk.write(block * MIB, &pattern::block(block, MIB as usize))?;
    }
    disk.flush()?;
    // What was synced last and is followed by nothing cannot be told from a write that a power cut
    // tore; all before it can.
    disk.write(40 * MIB, b"the end")?;
    disk.flush()?;
    drop(disk);
    if clean {
        daemon.stop()?;
    } else {
        daemon.kill9()?;
    }
    Ok(daemon)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    tool::run(&mut tool::command(
        "cp",
        &[
            "-a",
            "--sparse=always",
            &from.display().to_string(),
            &to.display().to_string(),
        ],
    ))?;
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            found.extend(files(&entry.path())?);
        } else if meta.is_file() && meta.len() > 0 {
            found.push((entry.path(), meta.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// Flips a bit of a byte that is in use, near `at`: files are mostly zeroes that nobody reads.
fn flip(path: &Path, at: u64, mask: u8) -> Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut bytes = vec![0; 1 << 20];
    file.seek(SeekFrom::Start(at))?;
    let found = file.read(&mut bytes)?;
    let used = bytes[..found]
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(0);
    file.seek(SeekFrom::Start(at + used as u64))?;
    file.write_all(&[bytes[used] ^ mask])?;
    Ok(())
}

/// Opens a damaged pool. Refusing is right, an error on reading is right, the true data is right;
/// other data, a panic or a crash is not.
fn face_damage(daemon: &mut Daemon, what: &str) -> Result<&'static str> {
    if let Err(refused) = daemon.up() {
        let text = format!("{refused:#}");
        // 101 is how an uncaught panic ends a program.
        ensure!(!text.contains("status: 101"), "{what}: {text}");
        ensure!(
            text.contains("ended at its start"),
            "{what}: neither up nor refused: {text}"
        );
        ensure!(
            text.lines()
                .any(|line| line.to_lowercase().contains("error") || line.contains("cinderblock:")),
            "{what}: refused without a reason: {text}"
        );
        return Ok("refused");
    }
    let mut verdict = "intact";
    match Disk::open(&daemon.uri("v")) {
        Err(_) => verdict = "volume refused",
        Ok(mut disk) => {
            for block in 0..40 {
                match disk.read(block * MIB, MIB as usize) {
                    Ok(bytes) if bytes == pattern::block(block, MIB as usize) => {}
                    Ok(_) => bail!(
                        "{what}: wrong data in MiB {block} without an error\n{}",
                        daemon.log()
                    ),
                    Err(_) => verdict = "error on read",
                }
            }
        }
    }
    ensure!(daemon.alive(), "{what}: crashed\n{}", daemon.log());
    ensure!(
        !daemon.log().contains("panicked"),
        "{what}: {}",
        daemon.log()
    );
    daemon.kill9()?;
    Ok(verdict)
}

#[test]
fn damaged_files_are_noticed() -> Result<()> {
    let home = tempfile::tempdir()?;
    let mut dice = Dice::new(11);
    let mut bad = Vec::new();
    for clean in [true, false] {
        let name = if clean { "clean" } else { "killed" };
        let place = home.path().join(name);
        fs::create_dir(&place)?;
        let mut daemon = pool(&place, clean)?;
        let kept = place.join("kept");
        copy_tree(daemon.data(), &kept)?;
        for (path, len) in files(&kept)? {
            let inside = path.strip_prefix(&kept)?.to_owned();
            if ["run.json", "clouds.yaml", "lock"]
                .iter()
                .any(|name| inside.ends_with(name))
            {
                continue;
            }
            for kind in ["flip", "flip", "flip head", "truncate"] {
                fs::remove_dir_all(daemon.data())?;
                copy_tree(&kept, daemon.data())?;
                let target = daemon.data().join(&inside);
                match kind {
                    "truncate" => OpenOptions::new()
                        .write(true)
                        .open(&target)?
                        .set_len(len / 2)?,
                    "flip head" => flip(&target, dice.below(len.min(64)), 1 << dice.below(8))?,
                    _ => flip(&target, dice.below(len), 1 << dice.below(8))?,
                }
                let what = format!("{name}: {kind} of {}", inside.display());
                match face_damage(&mut daemon, &what) {
                    Ok(verdict) => println!("{what} ({len} bytes): {verdict}"),
                    Err(error) => {
                        bad.push(format!("{error:#}"));
                        // It may be gone already, which the error told.
                        let _ = daemon.kill9();
                    }
                }
            }
        }
    }
    ensure!(bad.is_empty(), "{}", bad.join("\n\n"));
    Ok(())
}
