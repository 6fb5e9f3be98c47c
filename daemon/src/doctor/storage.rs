//! Checks of the data directory and of the file system under it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{Daemon, Finding, Level};
use crate::config::Config;
use crate::datadir::DataDir;

/// Less free space than this does not carry a daemon far.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Below this share of the file system, writes slow down and reclaim has little room.
const FREE_PERCENT_MIN: u64 = 10;

/// Whether the directory is there, ours, and closed to others.
pub(super) fn directory(data: &DataDir) -> Finding {
    let path = data.path().display();
    let finding = |level, text: String| Finding::new("data directory", level, text);
    let found = match fs::metadata(data.path()) {
        Ok(found) => found,
        Err(_) => return absent(data.path()),
    };
    let own = rustix::process::geteuid().as_raw();
    if !found.is_dir() {
        return finding(Level::Failed, format!("{path} is not a directory"));
    }
    if found.uid() != own && own != 0 {
        let message = format!("{path} belongs to uid {}, this is uid {own}", found.uid());
        return finding(Level::Failed, message);
    }
    match found.permissions().mode() & 0o077 {
        0 => finding(Level::Ok, format!("{path} is there, for its owner alone")),
        _ => finding(
            Level::Warning,
            format!("{path} is open to others; chmod 700 it"),
        ),
    }
}

fn absent(path: &Path) -> Finding {
    let shown = path.display();
    let above = nearest(path);
    let writable = rustix::fs::access(&above, rustix::fs::Access::WRITE_OK).is_ok();
    let (level, what) = match writable {
        true => (Level::Ok, "will be made"),
        false => (Level::Failed, "cannot be made"),
    };
    let message = format!("{shown} is not there and {what} below {}", above.display());
    Finding::new("data directory", level, message)
}

/// The path itself or the nearest folder above that exists.
fn nearest(path: &Path) -> PathBuf {
    let exists = path.ancestors().find(|path| path.is_dir());
    exists.unwrap_or(Path::new("/")).to_owned()
}

/// Whether a daemon has the directory.
pub(super) fn lock(data: &DataDir) -> (Daemon, Finding) {
    let finding = |level, message: String| Finding::new("lock", level, message);
    if !data.path().join("lock").exists() {
        return (Daemon::Stopped, finding(Level::Ok, "never used".to_owned()));
    }
    match data.lock() {
        Ok(_) => (
            Daemon::Stopped,
            finding(Level::Ok, "no daemon runs here".to_owned()),
        ),
        Err(error) => (
            Daemon::Running,
            finding(Level::Warning, format!("{error:#}")),
        ),
    }
}

/// Whether the backends have space to work with.
pub(super) fn spaces(config: &Config) -> Vec<Finding> {
    let backends = config.backends.iter();
    backends.map(|backend| space(&backend.directory)).collect()
}

fn space(directory: &Path) -> Finding {
    let path = nearest(directory);
    let finding = |level, message: String| Finding::new("free space", level, message);
    let space = match rustix::fs::statvfs(&path) {
        Ok(space) => space,
        Err(error) => return finding(Level::Failed, format!("{}: {error}", path.display())),
    };
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    let total = space.f_blocks.saturating_mul(space.f_frsize).max(1);
    let percent = free / (total / 100).max(1);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let message = format!(
        "{}: {:.1} GiB of {:.1} GiB ({percent} %)",
        directory.display(),
        gib(free),
        gib(total)
    );
    let level = match (free, percent) {
        (..FREE_BYTES_MIN, _) => Level::Failed,
        (_, ..FREE_PERCENT_MIN) => Level::Warning,
        _ => Level::Ok,
    };
    finding(level, message)
}

/// Whether the file system takes writes past the page cache.
pub(super) fn direct_io(data: &DataDir) -> Finding {
    let finding = |level, message: String| Finding::new("direct I/O", level, message);
    let dir = nearest(data.path());
    let file = match tempfile::NamedTempFile::new_in(&dir) {
        Ok(file) => file,
        Err(error) => return finding(Level::Failed, format!("{}: {error}", dir.display())),
    };
    let flags = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(flags)
        .open(file.path());
    match opened {
        Ok(_) => finding(Level::Ok, "supported".to_owned()),
        Err(_) => {
            let message = "not supported here: flushes are several times slower";
            finding(Level::Warning, message.to_owned())
        }
    }
}

/// Whether clouds.yaml is for its owner alone.
pub(super) fn credentials(data: &DataDir) -> Finding {
    let finding = |level, message: &str| Finding::new("clouds.yaml", level, message);
    match fs::metadata(data.clouds()) {
        Err(_) if data.catalogue().exists() => {
            let message = "not there any more; the password in it cannot be read back";
            finding(Level::Warning, message)
        }
        Err(_) => finding(Level::Ok, "will be made by the first start"),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => finding(
            Level::Failed,
            "holds a password and is open to others; chmod 600 it",
        ),
        Ok(_) => finding(Level::Ok, "for its owner alone"),
    }
}
