//! `cinderblock volume import`: a volume with the content of an image file.
//!
//! The volume is as large as the image, rounded up to whole GiB with zeroes; the image's own length
//! is recorded, so that an export gives the same bytes back. If the import fails, there is no volume.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use api::client::Client;
use api::types::cinder::{Volume, VolumeCreate};
use nbd::Fua;

use super::describe;
use super::format::{Format, decide};
use super::lease::Lease;
use super::progress::Progress;
use super::qemu;
use super::sparse::{DataRanges, worthwhile};
use crate::cli::access::{Access, failed};
use crate::cli::attachment::Mode;
use crate::cli::interrupt::Interrupt;
use crate::cli::{Exit, complain};

const GIB: u64 = 1 << 30;
/// Largest disk there is.
const BYTES_MAX: u64 = 64 << 40;
/// Data is read and sent in pieces of this size, and so many of them may be on their way.
const PIECE_BYTES: usize = 1 << 20;
const PIECES_IN_FLIGHT: usize = 16;
/// Writes end on a multiple of this; the volume, being whole GiB, has room for the padding.
const ALIGN_BYTES: usize = 4096;
const CREATE_TIMEOUT: Duration = Duration::from_secs(300);

/// What to import.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The image: raw, sparse, or any format that qemu-img reads
    file: PathBuf,
    /// Name of the volume
    #[arg(long)]
    name: String,
    /// Format of the image [default: by the file's extension, else raw]
    #[arg(long, alias = "type", value_enum)]
    format: Option<Format>,
    /// Size of the volume in GiB [default: the image's, rounded up]
    #[arg(long, value_name = "GIB")]
    size: Option<u64>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Imports.
pub(super) fn run(access: &Access, client: &Client, args: &Args) -> Result<()> {
    let name = args.file.display().to_string();
    let interrupt = Interrupt::listen()?;
    let mut file = open(&args.file).with_context(|| name.clone())?;
    let format = decide(&args.file, &file, args.format)?;
    let scratch;
    if format != Format::Raw {
        scratch = convert(&args.file, format).with_context(|| name.clone())?;
        file = File::open(scratch.path())?;
        interrupt.check()?;
    }
    let length = file.seek(SeekFrom::End(0))?;
    let size = size_gib(length, args.size)?;
    let volume = create(client, args, size)?;
    let filled = fill(client, &volume, &file, length, &interrupt);
    if let Err(error) = filled {
        if let Err(also) = client.delete_volume(&volume.id, false) {
            complain(format_args!("volume {} remains: {also}", volume.id));
        }
        return Err(error.context(format!("importing {name}")));
    }
    let volume = client
        .settle_volume(&volume.id, CREATE_TIMEOUT)
        .map_err(failed)?;
    access.show(&volume, describe)
}

fn open(path: &Path) -> Result<File> {
    let missing = Exit::NotFound.wrap();
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(error),
        _ => error.into(),
    })?;
    let kind = file.metadata()?.file_type();
    ensure!(
        kind.is_file() || kind.is_block_device(),
        Exit::Usage.because("neither a file nor a block device")
    );
    Ok(file)
}

fn convert(image: &Path, format: Format) -> Result<tempfile::NamedTempFile> {
    let size = qemu::virtual_size(image, format)?;
    ensure!(size <= BYTES_MAX, "larger than 64 TiB");
    let raw = tempfile::Builder::new()
        .prefix("cinderblock-import-")
        .tempfile_in(qemu::scratch_dir())?;
    let _spinner = Progress::spinner("converting to raw");
    qemu::to_raw(image, format, raw.path(), size)?;
    Ok(raw)
}

fn size_gib(length: u64, asked: Option<u64>) -> Result<u64> {
    ensure!(length > 0, Exit::Usage.because("the image is empty"));
    ensure!(
        length <= BYTES_MAX,
        Exit::Usage.because("the image is larger than 64 TiB")
    );
    let needed = length.div_ceil(GIB);
    match asked {
        Some(size) if size < needed => Err(Exit::Usage.because(format!(
            "--size {size} is too small: the image needs {needed} GiB"
        ))),
        Some(size) => Ok(size),
        None => Ok(needed),
    }
}

fn create(client: &Client, args: &Args, size: u64) -> Result<Volume> {
    let request = VolumeCreate {
        size: Some(size),
        name: Some(args.name.clone()),
        description: args.description.clone(),
        ..VolumeCreate::default()
    };
    let volume = client.create_volume(request).map_err(failed)?;
    let volume = client
        .settle_volume(&volume.id, CREATE_TIMEOUT)
        .map_err(failed)?;
    ensure!(
        volume.status == "available",
        "the new volume {} is {}",
        volume.id,
        volume.status
    );
    Ok(volume)
}

fn fill(
    client: &Client,
    volume: &Volume,
    file: &File,
    length: u64,
    interrupt: &Interrupt,
) -> Result<()> {
    client
        .set_source_length(&volume.id, length)
        .map_err(failed)
        .context("recording the image's length")?;
    let lease = Lease::take(client, &volume.id, Mode::Rw)?;
    let disk = lease.disk();
    ensure!(
        disk.size_bytes() >= length.next_multiple_of(ALIGN_BYTES as u64),
        "the export is smaller than the volume"
    );
    copy(file, length, disk, interrupt)?;
    disk.flush()?;
    lease.end()
}

fn copy(file: &File, length: u64, disk: &nbd::Client, interrupt: &Interrupt) -> Result<()> {
    let progress = Progress::of_bytes("importing", length);
    let mut on_the_way = VecDeque::with_capacity(PIECES_IN_FLIGHT);
    let mut buffer = vec![0; PIECE_BYTES];
    for range in DataRanges::new(file, length) {
        for piece in pieces(range?) {
            interrupt.check()?;
            let used = (piece.end - piece.start) as usize;
            let padded = used.next_multiple_of(ALIGN_BYTES);
            file.read_exact_at(&mut buffer[..used], piece.start)
                .context("reading")?;
            buffer[used..padded].fill(0);
            for run in worthwhile(&buffer[..padded]) {
                if on_the_way.len() == PIECES_IN_FLIGHT {
                    settle(on_the_way.pop_front())?;
                }
                let at = piece.start + run.start as u64;
                on_the_way.push_back(disk.start_write(at, &buffer[run], Fua::No)?);
            }
            progress.at(piece.end);
        }
    }
    while let Some(write) = on_the_way.pop_front() {
        settle(Some(write))?;
    }
    Ok(())
}

fn settle(write: Option<nbd::Pending>) -> Result<()> {
    if let Some(write) = write {
        write.wait().context("writing")?;
    }
    Ok(())
}

/// Cuts a range where multiples of the piece size are.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let start = at;
        at = (start / PIECE_BYTES as u64 + 1) * PIECE_BYTES as u64;
        at = at.min(range.end);
        (start < at).then_some(start..at)
    })
}

#[cfg(test)]
mod tests {
    use super::{GIB, PIECE_BYTES, pieces, size_gib};

    #[test]
    fn sizes_are_rounded_up_to_whole_gib() {
        assert_eq!(size_gib(1, None).unwrap(), 1);
        assert_eq!(size_gib(GIB, None).unwrap(), 1);
        assert_eq!(size_gib(GIB + 1, None).unwrap(), 2);
        assert_eq!(size_gib(1, Some(5)).unwrap(), 5);
        for (length, asked) in [(0, None), (GIB + 1, Some(1)), (u64::MAX, None)] {
            assert!(size_gib(length, asked).is_err());
        }
    }

    #[test]
    fn pieces_are_aligned_and_cover_the_range() {
        let piece = PIECE_BYTES as u64;
        let cut: Vec<_> = pieces(5..2 * piece + 1).collect();
        assert_eq!(cut, [5..piece, piece..2 * piece, 2 * piece..2 * piece + 1]);
        assert_eq!(pieces(7..7).count(), 0);
    }
}
