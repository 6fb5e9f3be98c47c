//! `cinderblock volume export`: a volume as an image file.
//!
//! The file is written under another name and gets its own only when it is complete and on disk. A
//! volume that was imported is cut to the image's length while nothing was written behind it.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use api::client::{Client, ErrorKind};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use tui::units::bytes;

use super::format::Format;
use super::lease::Lease;
use super::progress::Progress;
use super::qemu;
use super::sparse::{is_zero, worthwhile};
use crate::cli::Exit;
use crate::cli::access::{Access, failed};
use crate::cli::attachment::Mode;
use crate::cli::interrupt::Interrupt;

const PIECE_BYTES: u64 = 1 << 20;
const PIECES_IN_FLIGHT: usize = 16;

/// What to export.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name or id of the volume, which must not be attached
    volume: String,
    /// The file to write
    file: PathBuf,
    /// Format of the file [default: by its extension, else raw]
    #[arg(long, alias = "type", value_enum)]
    format: Option<Format>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Exports.
pub(super) fn run(access: &Access, client: &Client, args: &Args) -> Result<()> {
    let format = args.format.or(Format::of_name(&args.file));
    let format = format.unwrap_or(Format::Raw);
    if !args.force && args.file.symlink_metadata().is_ok() {
        return Err(exists(&args.file));
    }
    let interrupt = Interrupt::listen()?;
    let volume = client.find_volume(&args.volume).map_err(failed)?;
    let name = args.file.display().to_string();
    let length = write(client, &volume.id, args, format, &interrupt)
        .with_context(|| format!("exporting to {name}"))?;
    let done = json!({
        "volume_id": volume.id, "file": args.file, "format": format.name(), "length_bytes": length,
    });
    access.show(&done, |_| {
        format!("{name}: {} of {}\n", format.name(), bytes(length))
    })
}

fn exists(file: &Path) -> anyhow::Error {
    Exit::Refused.because(format!("{} exists; --force replaces it", file.display()))
}

fn write(
    client: &Client,
    volume_id: &str,
    args: &Args,
    format: Format,
    interrupt: &Interrupt,
) -> Result<u64> {
    let part = Part::new(&args.file, ".part")?;
    if format == Format::Raw {
        let length = read_volume(client, volume_id, &part, interrupt)?;
        part.publish(&args.file, args.force)?;
        return Ok(length);
    }
    let raw = Part::new(&args.file, ".raw.part")?;
    let length = read_volume(client, volume_id, &raw, interrupt)?;
    {
        let _spinner = Progress::spinner("converting");
        qemu::from_raw(&raw.path, length, format, &part.path)?;
    }
    interrupt.check()?;
    part.publish(&args.file, args.force)?;
    Ok(length)
}

/// A file on its way; it is removed unless it is published.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn new(target: &Path, suffix: &str) -> Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        // Nobody else may read a disk that is about to become somebody's file.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Exit::Refused.because(format!(
                "{} exists: another export runs, or has crashed and left it to be removed",
                path.display()
            )),
            _ => Exit::Failure.because(format!("{}: {error}", path.display())),
        })?;
        Ok(Self { path, file })
    }

    fn publish(self, target: &Path, force: bool) -> Result<()> {
        self.file.sync_all()?;
        let flags = if force {
            RenameFlags::empty()
        } else {
            RenameFlags::NOREPLACE
        };
        match renameat_with(CWD, &self.path, CWD, target, flags) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(exists(target)),
            // Some file systems do not know the flag; the check at the start has to do there.
            Err(rustix::io::Errno::INVAL) => fs::rename(&self.path, target)?,
            Err(error) => return Err(error.into()),
        }
        let parent = target.parent().filter(|dir| !dir.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After publishing there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}

fn read_volume(client: &Client, volume_id: &str, to: &Part, interrupt: &Interrupt) -> Result<u64> {
    let source_length = match client.source_length(volume_id) {
        Ok(length) => length,
        // A service without the native API has nothing recorded either.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let lease = Lease::take(client, volume_id, Mode::Ro)?;
    let disk = lease.disk();
    let length = length(disk, source_length)?;
    to.file.set_len(length)?;
    let progress = Progress::of_bytes("exporting", length);
    for_data(disk, 0..length, |at, data| {
        interrupt.check()?;
        for run in worthwhile(&data) {
            let start = at + run.start as u64;
            to.file.write_all_at(&data[run], start).context("writing")?;
        }
        progress.at(at + data.len() as u64);
        Ok(())
    })?;
    lease.end()?;
    Ok(length)
}

/// The source's length while there is nothing behind it, else the volume's.
fn length(disk: &nbd::Client, source_length: Option<u64>) -> Result<u64> {
    let size = disk.size_bytes();
    let Some(source) = source_length.filter(|source| *source < size) else {
        return Ok(size);
    };
    let mut clean = true;
    for_data(disk, source..size, |_, data| {
        clean &= is_zero(&data);
        Ok(())
    })?;
    Ok(if clean { source } else { size })
}

/// Calls `each` with the pieces of a range that are not known to be zeroes, in order.
fn for_data(
    disk: &nbd::Client,
    range: Range<u64>,
    mut each: impl FnMut(u64, Vec<u8>) -> Result<()>,
) -> Result<()> {
    let mut on_the_way: VecDeque<(u64, nbd::Pending)> = VecDeque::new();
    let mut at = range.start;
    while at < range.end {
        for extent in disk.block_status(at, range.end - at)? {
            let end = (at + extent.length).min(range.end);
            while at < end && !extent.zero {
                if on_the_way.len() == PIECES_IN_FLIGHT
                    && let Some((at, read)) = on_the_way.pop_front()
                {
                    each(at, read.wait().context("reading")?)?;
                }
                let next = (at + PIECE_BYTES).min(end);
                let buffer = vec![0; (next - at) as usize];
                on_the_way.push_back((at, disk.start_read(at, buffer)?));
                at = next;
            }
            at = end;
        }
    }
    for (at, read) in on_the_way {
        each(at, read.wait().context("reading")?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::Part;
    use crate::cli::Exit;

    #[test]
    fn an_existing_file_is_kept_unless_forced_and_parts_vanish() {
        let dir = TempDir::new().unwrap();
        let target = dir.path().join("a.img");
        fs::write(&target, "old").unwrap();
        let part = Part::new(&target, ".part").unwrap();
        let second = Part::new(&target, ".part").err().unwrap();
        assert_eq!(Exit::of(&second), Exit::Refused);
        let error = part.publish(&target, false).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::Refused);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        let part = Part::new(&target, ".part").unwrap();
        part.publish(&target, true).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
