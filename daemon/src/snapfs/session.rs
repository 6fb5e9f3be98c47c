//! The kernel's side of the mount: when it begins, what ends it, and leaving nothing behind.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use fuser::{BackgroundSession, Config, INodeNo, MountOption, Session, SessionACL};
use rustix::io::Errno;

use super::fuse::SnapshotFs;
use super::names::Forget;
use crate::signals::EndSignals;

/// Requests answered at the same time: reads wait for the daemon, not for a core.
const THREADS: usize = 4;
/// How often housekeeping runs and an unmount from outside is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Why a mount ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A signal asked for it.
    Signal,
    /// Standard input closed: whoever started the mount is gone or wants its end.
    InputClosed,
    /// Somebody unmounted it.
    Unmounted,
}

/// Waits for reasons to end.
pub(super) struct Watch(mpsc::Receiver<End>);

impl Watch {
    /// Takes the signals over, and reads standard input if it counts.
    pub(super) fn start(stdin: bool) -> Result<Self> {
        let (sender, receiver) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let mut signals = {
            let _inside = runtime.enter();
            EndSignals::listen()?
        };
        let told = sender.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(signals.next());
                // Nobody listens when the mount has ended already; so below.
                let _ = told.send(End::Signal);
            })?;
        if stdin {
            thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(move || {
                    let mut byte = [0];
                    while matches!(io::stdin().read(&mut byte), Ok(1)) {}
                    let _ = sender.send(End::InputClosed);
                })?;
        }
        Ok(Self(receiver))
    }

    /// Waits for the end. `look` is called now and then, and says whether the mount is over.
    pub(super) fn wait(&self, look: impl Fn() -> bool) -> End {
        loop {
            match self.0.recv_timeout(LOOK_EVERY) {
                Ok(end) => return end,
                Err(RecvTimeoutError::Timeout) if look() => return End::Unmounted,
                Err(RecvTimeoutError::Timeout) => {}
                // The thread that waits for signals lives until it sends.
                Err(RecvTimeoutError::Disconnected) => return End::Signal,
            }
        }
    }
}

/// A live mount.
pub(super) struct Mounted {
    session: BackgroundSession,
    dir: PathBuf,
}

impl Mounted {
    /// Mounts `filesystem` on `dir`, which must be an empty folder or what a killed mount left.
    pub(super) fn new(filesystem: SnapshotFs, dir: &Path, allow_other: bool) -> Result<Self> {
        clear(dir)?;
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("cinderblock".to_owned()),
            MountOption::Subtype("cinderblock".to_owned()),
            MountOption::RO,
            MountOption::NoDev,
            MountOption::NoSuid,
            MountOption::NoExec,
            MountOption::NoAtime,
            MountOption::DefaultPermissions,
        ];
        config.acl = match allow_other {
            true => SessionACL::All,
            false => SessionACL::Owner,
        };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let session = Session::new(filesystem, dir, &config)?.spawn()?;
        let dir = dir.to_owned();
        Ok(Self { session, dir })
    }

    /// What tells the kernel to forget names.
    pub(super) fn forgetter(&self) -> Forget {
        let notifier = self.session.notifier();
        Box::new(move |names| {
            for (parent, name) in names {
                // Names that the kernel does not remember are an error to it, and none to us.
                let _ = notifier.inval_entry(INodeNo(*parent), OsStr::new(name));
            }
        })
    }

    /// Whether somebody has unmounted it.
    pub(super) fn is_over(&self) -> bool {
        self.session.guard.is_finished()
    }

    /// Unmounts; where files are still open, the folder is freed at once all the same.
    pub(super) fn end(self) -> Result<()> {
        let Err(error) = self.session.umount_and_join() else {
            return Ok(());
        };
        tracing::warn!(%error, "still in use, detached");
        detach(&self.dir)
    }
}

/// Looks at the folder, and takes away a mount whose process was killed.
fn clear(dir: &Path) -> Result<()> {
    let looked = match std::fs::metadata(dir) {
        Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
            tracing::warn!(dir = %dir.display(), "removing what a killed mount left");
            detach(dir)?;
            std::fs::metadata(dir)
        }
        looked => looked,
    };
    if !looked?.is_dir() {
        anyhow::bail!("not a folder");
    }
    if std::fs::read_dir(dir)?.next().is_some() {
        anyhow::bail!("not an empty folder");
    }
    Ok(())
}

/// Unmounts lazily; the helper has the rights to, for root and for others.
fn detach(dir: &Path) -> Result<()> {
    let status = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(dir)
        .stdin(Stdio::null())
        .status()
        .context("running fusermount3")?;
    anyhow::ensure!(status.success(), "fusermount3 ended with {status}");
    Ok(())
}
