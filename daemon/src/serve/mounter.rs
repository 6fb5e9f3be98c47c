//! Keeps `cinderblock mount` running as a process of its own while the daemon does.
//!
//! The child holds a pipe whose other end is here: when the daemon ends, however it does, the pipe
//! closes and the child unmounts. A child that ends is started again, ever more slowly.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the child is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause before the first new start.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause between starts.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long the child may take to unmount.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// What to mount where.
#[derive(Clone, Debug)]
pub(super) struct MountPlan {
    /// The folder.
    pub(super) dir: PathBuf,
    /// The daemon's data directory, for credentials and addresses.
    pub(super) data: PathBuf,
    /// The operators' socket.
    pub(super) socket: PathBuf,
}

/// The keeper's thread.
pub(super) struct Mounter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Mounter {
    /// Starts keeping.
    pub(super) fn start(plan: MountPlan) -> io::Result<Self> {
        let program = std::env::current_exe()?;
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("mounter".to_owned())
            .spawn(move || keep(&program, &plan, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the child and waits for both.
    pub(super) fn stop(self) {
        // Nobody listens when the thread has ended already.
        let _ = self.stop.send(());
        if self.thread.join().is_err() {
            tracing::error!("the mount's keeper panicked");
        }
    }
}

fn keep(program: &std::path::Path, plan: &MountPlan, stopped: &mpsc::Receiver<()>) {
    let mut pause = PAUSE_MIN;
    loop {
        let started = Instant::now();
        match spawn(program, plan) {
            Ok(mut child) => {
                let told = watch(&mut child, stopped);
                if told {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "the mount cannot be started"),
        }
        if started.elapsed() > PAUSE_MAX {
            pause = PAUSE_MIN;
        }
        match stopped.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => pause = (pause * 2).min(PAUSE_MAX),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn spawn(program: &std::path::Path, plan: &MountPlan) -> io::Result<Child> {
    let child = Command::new(program)
        .arg("mount")
        .arg("--while-stdin-open")
        .arg("--data")
        .arg(&plan.data)
        .arg("--socket")
        .arg(&plan.socket)
        .arg("--")
        .arg(&plan.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    tracing::info!(dir = %plan.dir.display(), pid = child.id(), "mount started");
    Ok(child)
}

/// Watches the child; true when told to stop, after it has ended.
fn watch(child: &mut Child, stopped: &mpsc::Receiver<()>) -> bool {
    loop {
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                tracing::warn!(%status, "the mount ended");
                return false;
            }
            Err(error) => tracing::error!(%error, "the mount's process"),
        }
        match stopped.recv_timeout(LOOK_EVERY) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                end(child);
                return true;
            }
        }
    }
}

fn end(child: &mut Child) {
    // Closing the pipe is the sign to unmount.
    drop(child.stdin.take());
    let deadline = Instant::now() + STOP_LIMIT;
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        thread::sleep(LOOK_EVERY / 10);
    }
    tracing::warn!("the mount does not end, killed");
    if let Err(error) = child.kill().and_then(|()| child.wait()) {
        tracing::error!(%error, "killing the mount");
    }
}
