//! Conversions: an image's bytes to a raw disk, and a disk to an image's bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use store::{Durability, Volume};

use super::bytes::Stored;
use super::disks::{Disk, Disks, SOCKET, SOURCE, TARGET, serve};
use super::error::Error;
use super::format::Format;
use super::inspect::{Inspected, inspect};
use super::sandbox::{Limits, Sandbox};
use crate::jobs::JobError;

/// The file that a conversion writes into its directory.
const OUT: &str = "out";
/// Any conversion may take so long, and a second more for so many bytes of the disk.
const SECONDS_LEAST: u64 = 600;
const BYTES_A_SECOND: u64 = 4 << 20;
/// An image's own tables come on top of the disk's bytes.
const TABLES_LEAST: u64 = 64 << 20;
/// Read and written at a time.
const PIECE_BYTES: usize = 1 << 20;
/// The server has nothing left to do when the process is gone.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Is told how much of how much is done, and may end it.
pub type Watch<'a> = &'a dyn Fn(u64, u64) -> Result<(), JobError>;

/// Converts in a directory of its own.
pub struct Converter {
    scratch: PathBuf,
}

impl Converter {
    /// A converter whose directories are made in `scratch`, which is there.
    pub fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
        }
    }

    /// Inspects an image and writes its disk into `target`, which is empty and as large as `target_of`
    /// makes it when told the disk's size; durable on return.
    ///
    /// # Errors
    /// Why the image is not taken, or was not converted.
    pub fn to_volume(
        &self,
        image: Stored,
        disk_format: &str,
        target_of: impl FnOnce(u64) -> Result<Volume, JobError>,
        watch: Watch<'_>,
    ) -> Result<Inspected, Error> {
        let inspected = inspect(&image, disk_format)?;
        let unknown = || Error::Failed(format!("images of format {disk_format} are not read"));
        let inspected = inspected.ok_or_else(unknown)?;
        let size = inspected.virtual_size_bytes;
        let target = target_of(size).map_err(Error::Ended)?;
        let len = target.size_bytes();
        let source = Disk::to_read(image.volume, image.len);
        let written = Disk::to_write(target.clone(), len);
        let reached = written.reached();
        let disks = Disks {
            source: Arc::new(source),
            target: Some(Arc::new(written)),
        };
        let (sandbox, server) = Sandbox::new(&self.scratch, |dir| serve(dir, disks))?;
        let (from, to) = (source_of(inspected.format), target_export());
        let arguments = [
            "convert",
            "-n",
            "--target-is-zero",
            "-S",
            "64k",
            "--target-image-opts",
            &from,
            &to,
        ];
        let ran = sandbox.run(&arguments, limits(size, 0), &mut || {
            watch(reached.load(Ordering::Relaxed), len)
        });
        server.shutdown(SHUTDOWN);
        ran?;
        target.flush()?;
        Ok(inspected)
    }

    /// Writes the disk of a volume as an image of `format` into what `target_of` makes when told the
    /// image's length; durable on return.
    ///
    /// # Errors
    /// Why it was not converted.
    pub fn from_volume(
        &self,
        volume: Volume,
        format: Format,
        target_of: impl FnOnce(u64) -> Result<Volume, JobError>,
        watch: Watch<'_>,
    ) -> Result<u64, Error> {
        let size = volume.size_bytes();
        let source = Disk::to_read(volume, size);
        let reached = source.reached();
        let disks = Disks {
            source: Arc::new(source),
            target: None,
        };
        let (sandbox, server) = Sandbox::new(&self.scratch, |dir| serve(dir, disks))?;
        let from = source_of(Format::Raw);
        let mut arguments = vec!["convert", "-O", format.driver()];
        match format {
            // One file, as it is shipped.
            Format::Vmdk => arguments.extend(["-o", "subformat=streamOptimized"]),
            // The size to the byte, instead of what its geometry can tell.
            Format::Vhd => arguments.extend(["-o", "force_size=on"]),
            _ => {}
        }
        arguments.extend([from.as_str(), OUT]);
        let file_bytes = size + size / 64 + TABLES_LEAST;
        // Reading is most of it; the image is copied into the pool afterwards.
        let ran = sandbox.run(&arguments, limits(size, file_bytes), &mut || {
            watch(reached.load(Ordering::Relaxed) / 2, size)
        });
        server.shutdown(SHUTDOWN);
        ran?;
        let (file, len) = result(sandbox.path(), file_bytes)?;
        let target = target_of(len).map_err(Error::Ended)?;
        copy(&file, len, &target, watch)?;
        Ok(len)
    }
}

fn limits(size: u64, file_bytes: u64) -> Limits {
    Limits {
        seconds: SECONDS_LEAST + size / BYTES_A_SECOND,
        file_bytes,
    }
}

/// An export as `qemu-img` opens it. The socket is in its working directory.
fn export(name: &str) -> Value {
    json!({"driver": "nbd", "server": {"type": "unix", "path": SOCKET}, "export": name})
}

/// The image, with nothing left to guess: neither format nor backing file.
fn source_of(format: Format) -> String {
    let mut options = json!({"driver": format.driver(), "file": export(SOURCE)});
    match format {
        Format::Qcow2 | Format::Vmdk => options["backing"] = Value::Null,
        // The size that it says, not that of its geometry.
        Format::Vhd => options["force_size_calc"] = json!("current_size"),
        Format::Raw | Format::Iso | Format::Vdi | Format::Vhdx => {}
    }
    format!("json:{options}")
}

/// Targets are said in pairs.
fn target_export() -> String {
    format!(
        "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path={SOCKET},file.export={TARGET}"
    )
}

/// The file that the process left, which is opened as what it has to be.
fn result(dir: &Path, most: u64) -> Result<(File, u64), Error> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(dir.join(OUT))
        .map_err(Error::io("opening the converted image"))?;
    let found = file.metadata().map_err(Error::io("the converted image"))?;
    if !found.is_file() || found.len() > most {
        return Err(Error::Failed("it left no image".to_owned()));
    }
    Ok((file, found.len()))
}

fn copy(file: &File, len: u64, target: &Volume, watch: Watch<'_>) -> Result<(), Error> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    while at < len {
        let used = (len - at).min(PIECE_BYTES as u64) as usize;
        // Volumes are whole sectors.
        let padded = used.next_multiple_of(512);
        let piece = &mut buffer[..padded];
        read(file, &mut piece[..used], at).map_err(Error::io("reading the converted image"))?;
        piece[used..].fill(0);
        if piece.iter().any(|byte| *byte != 0) {
            target.write(at, piece, Durability::Buffered)?;
        }
        at += used as u64;
        watch((len + at) / 2, len).map_err(Error::Ended)?;
    }
    Ok(target.flush()?)
}

fn read(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.read_exact_at(buffer, at)
}
