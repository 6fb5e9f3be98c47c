//! `qemu-img` for the formats we do not read ourselves: told the format, and under limits.
//!
//! The image may be hostile. The process gets no environment but its path, no backing file, and
//! limits on memory, processor time and on what it may write. It never sees an export's name.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::{Value, json};

use super::format::Format;
use crate::cli::Exit;

/// Looking at a header needs little; an image that needs more is made to waste it.
const INFO_CPU_SECONDS: u64 = 30;
const INFO_MEMORY_BYTES: u64 = 1 << 30;
/// Enough to convert tens of TiB.
const CONVERT_CPU_SECONDS: u64 = 6 * 3600;
const CONVERT_MEMORY_BYTES: u64 = 4 << 30;
/// Answers and messages beyond this are cut.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Copy)]
struct Limits {
    cpu_seconds: u64,
    memory_bytes: u64,
    file_bytes: u64,
}

/// The size in bytes of the disk in an image.
pub(super) fn virtual_size(image: &Path, format: Format) -> Result<u64> {
    let limits = Limits {
        cpu_seconds: INFO_CPU_SECONDS,
        memory_bytes: INFO_MEMORY_BYTES,
        file_bytes: OUTPUT_BYTES_MAX,
    };
    let source = source(image, format)?;
    let said = run(&["info", "--output=json", &source], limits)?;
    let info: Value = serde_json::from_str(&said).context("qemu-img's answer")?;
    info["virtual-size"]
        .as_u64()
        .context("qemu-img does not tell the size")
}

/// Writes the disk in an image to a raw file of `size` bytes.
pub(super) fn to_raw(image: &Path, format: Format, raw: &Path, size: u64) -> Result<()> {
    let source = source(image, format)?;
    // Sparse: runs of 64 KiB of zeroes become holes.
    let args = ["convert", "-S", "64k", "-O", "raw", &source, &target(raw)?];
    run(&args, convert_limits(size)).map(drop)
}

/// Writes a raw file of `size` bytes as an image of `format`.
pub(super) fn from_raw(raw: &Path, size: u64, format: Format, image: &Path) -> Result<()> {
    let source = source(raw, Format::Raw)?;
    let args = ["convert", "-O", format.name(), &source, &target(image)?];
    run(&args, convert_limits(size)).map(drop)
}

/// The image's own tables come on top of the disk's bytes.
fn convert_limits(size: u64) -> Limits {
    Limits {
        cpu_seconds: CONVERT_CPU_SECONDS,
        memory_bytes: CONVERT_MEMORY_BYTES,
        file_bytes: size + size / 64 + (64 << 20),
    }
}

/// An image as `qemu-img` opens it without guessing anything: neither format nor backing file.
fn source(image: &Path, format: Format) -> Result<String> {
    let file = json!({"driver": "file", "filename": absolute(image)?});
    let mut options = json!({"driver": format.name(), "file": file});
    if format.has_backing() {
        options["backing"] = Value::Null;
    }
    Ok(format!("json:{options}"))
}

/// A path that can be neither an option nor a protocol.
fn target(path: &Path) -> Result<String> {
    absolute(path)
}

fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)?;
    let text = path.to_str();
    let text = text.with_context(|| format!("{}: not a UTF-8 path", path.display()))?;
    Ok(text.to_owned())
}

/// Where a converted disk is kept meanwhile; `/tmp` may be memory.
pub(super) fn scratch_dir() -> PathBuf {
    std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from)
}

fn run(args: &[&str], limits: Limits) -> Result<String> {
    let mut command = Command::new("qemu-img");
    // Files instead of pipes, so that the limit on written bytes holds for them too.
    let (mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?);
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?);
    // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor
    // takes a lock, and captures a plain copy.
    unsafe {
        command.pre_exec(move || apply(limits));
    }
    let status = command.status().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Exit::Failure.because("qemu-img is not installed (Debian: qemu-utils)")
        }
        _ => Exit::Failure.because(format!("qemu-img: {error}")),
    })?;
    if status.success() {
        return text(&mut out);
    }
    let said = text(&mut err)?;
    let said = said.trim().trim_start_matches("qemu-img: ");
    let why = if said.is_empty() {
        status.to_string()
    } else {
        said.replace('\n', "; ")
    };
    Err(Exit::Failure.because(format!("qemu-img: {why}")))
}

fn apply(limits: Limits) -> io::Result<()> {
    let set = |resource, most: u64| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit).map_err(io::Error::from)
    };
    set(Resource::Cpu, limits.cpu_seconds)?;
    set(Resource::As, limits.memory_bytes)?;
    set(Resource::Fsize, limits.file_bytes)?;
    set(Resource::Core, 0)
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::{Format, source};

    #[test]
    fn nothing_is_left_to_guess() {
        let text = source(Path::new("/x/a,b\".img"), Format::Qcow2).unwrap();
        let said: Value = serde_json::from_str(text.strip_prefix("json:").unwrap()).unwrap();
        let file = json!({"driver": "file", "filename": "/x/a,b\".img"});
        assert_eq!(
            said,
            json!({"driver": "qcow2", "file": file, "backing": null})
        );
        assert!(
            !source(Path::new("/x"), Format::Vdi)
                .unwrap()
                .contains("backing")
        );
    }
}
