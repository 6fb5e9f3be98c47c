//! The mount: snapshots as read-only files, in a process of its own.
//!
//! It reads data as an NBD client of the operators' socket and names from the API, and holds nothing
//! that the daemon would miss: when either goes away, reads fail with EIO and names stay as they
//! were until it is back.

mod api_names;
mod datamap;
mod disks;
mod fuse;
mod info;
mod names;
mod session;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use api::client::Source;

use api_names::ApiNames;
use disks::Disks;
use fuse::{Owner, SnapshotFs};
use names::Keeper;
pub(crate) use session::End;
use session::{Mounted, Watch};

/// What to mount, where, and until when.
#[derive(Debug)]
pub(crate) struct MountOptions {
    /// The folder.
    pub(crate) dir: PathBuf,
    /// The operators' socket.
    pub(crate) socket: PathBuf,
    /// Where names come from.
    pub(crate) source: Source,
    /// Whether other users may read.
    pub(crate) allow_other: bool,
    /// Whether to end with the end of standard input.
    pub(crate) while_stdin_open: bool,
}

/// Mounts and serves until unmounted or told to stop.
///
/// # Errors
/// What keeps it from mounting or unmounting.
pub(crate) fn run(options: MountOptions) -> Result<End> {
    let watch = Watch::start(options.while_stdin_open)?;
    let disks = Arc::new(Disks::new(options.socket, disks::TIMEOUTS));
    let keeper = Keeper::start(Box::new(ApiNames::new(options.source)))?;
    let owner = Owner {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        others: options.allow_other,
    };
    let filesystem = SnapshotFs::new(keeper.names().clone(), disks.clone(), owner);
    let mounted = Mounted::new(filesystem, &options.dir, options.allow_other)
        .with_context(|| format!("mounting on {}", options.dir.display()))?;
    keeper.tell(mounted.forgetter());
    tracing::info!(dir = %options.dir.display(), "mounted");
    let end = watch.wait(|| {
        disks.close_idle();
        mounted.is_over()
    });
    // Requests that wait for names are let go first.
    keeper.stop();
    mounted.end()?;
    tracing::info!(?end, "unmounted");
    Ok(end)
}

#[cfg(test)]
mod tests;
