//! One run of `qemu-img`, which may do nothing but compute.
//!
//! | it has | how |
//! |---|---|
//! | no rights | a user id of its own for each run, no groups, no new privileges |
//! | no network | an empty network namespace |
//! | no files | a private working directory; what may be written there is bounded |
//! | bounded means | memory, processor time, open files, no core; a deadline on top |
//! | no environment | none at all |
//!
//! A daemon that is not root cannot give up its user id: the process keeps that, and a user namespace
//! makes the network one possible. Where that is forbidden too nothing is converted. The process dies
//! with the thread that waits for it, and so with the daemon.

use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, geteuid, kill_process_group, set_parent_process_death_signal,
    setrlimit,
};
use rustix::thread::{
    Gid, Uid, UnshareFlags, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid, unshare_unsafe,
};
use tempfile::TempDir;

use super::error::{Error, Unavailable};
use crate::jobs::JobError;

/// User ids that no system gives out: above those of containers, below those that are negative
/// somewhere.
const USER_FIRST: u32 = 0x7000_0000;
/// Who everybody may become in a container that has not got so many ids.
const NOBODY: u32 = 65534;
/// What `qemu-img` takes is mostly address space of its threads.
const MEMORY_BYTES: u64 = 2 << 30;
/// Its libraries, two sockets, one file, and what its event loop needs.
const OPEN_FILES: u64 = 64;
/// Much more than any message.
const MESSAGE_BYTES_MAX: u64 = 16 << 10;
/// Between two looks at a running process: conversions take longer than this.
const LOOK: Duration = Duration::from_millis(10);

/// What one run may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// On the wall; processor time is bounded by four times that, as it has threads.
    pub(super) seconds: u64,
    /// Written to files.
    pub(super) file_bytes: u64,
}

/// A private directory, and the user it belongs to.
pub(super) struct Sandbox {
    program: PathBuf,
    dir: TempDir,
    /// `None`: the daemon's own.
    user: Option<u32>,
}

impl Sandbox {
    /// Makes the directory in `scratch`; `prepare` may put into it what the run will find there.
    pub(super) fn new<T>(
        scratch: &Path,
        prepare: impl FnOnce(&Path) -> Result<T, Error>,
    ) -> Result<(Self, T), Error> {
        let program = program()?;
        let dir = tempfile::Builder::new()
            .prefix("convert-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(scratch)
            .map_err(Error::io("making a directory to convert in"))?;
        let prepared = prepare(dir.path())?;
        let user = own(dir.path()).map_err(Error::io("giving a directory away"))?;
        Ok((Self { program, dir, user }, prepared))
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `qemu-img` to its end. `watch` is asked now and then, and may end it.
    pub(super) fn run(
        &self,
        arguments: &[&str],
        limits: Limits,
        watch: &mut dyn FnMut() -> Result<(), JobError>,
    ) -> Result<(), Error> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env_clear()
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0);
        let user = self.user;
        // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor
        // takes a lock, and captures plain copies.
        unsafe {
            command.pre_exec(move || confine(user, limits));
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unavailable::NotInstalled.into(),
            io::ErrorKind::PermissionDenied => Unavailable::NotConfined(error).into(),
            _ => Error::io("starting qemu-img")(error),
        })?;
        Running(child).finish(limits.seconds, watch)
    }
}

/// A process that does not outlive its owner's interest.
struct Running(Child);

impl Running {
    fn finish(
        mut self,
        seconds: u64,
        watch: &mut dyn FnMut() -> Result<(), JobError>,
    ) -> Result<(), Error> {
        let end = Instant::now() + Duration::from_secs(seconds);
        let status = loop {
            let looked = self.0.try_wait();
            if let Some(status) = looked.map_err(Error::io("waiting for qemu-img"))? {
                break status;
            }
            watch().map_err(Error::Ended)?;
            if Instant::now() >= end {
                return Err(Error::TooSlow(seconds));
            }
            thread::sleep(LOOK);
        };
        if status.success() {
            return Ok(());
        }
        let said = self.message();
        Err(Error::Failed(match said.is_empty() {
            true => status.to_string(),
            false => said,
        }))
    }

    /// What it said, in one line. All of it is in the pipe, whose writers are gone.
    fn message(&mut self) -> String {
        self.end();
        let mut said = Vec::new();
        if let Some(pipe) = self.0.stderr.take() {
            // What could be read is better than nothing.
            let _ = pipe.take(MESSAGE_BYTES_MAX).read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        let said = said.trim().trim_start_matches("qemu-img: ");
        said.replace('\n', "; ").replace(char::is_control, " ")
    }

    fn end(&mut self) {
        // It leads a group of its own. An id that was waited for may be somebody else's by now, but no
        // group has it while a process of the old one is left, and without one the call fails.
        if let Some(group) = Pid::from_raw(self.0.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Where the program is.
fn program() -> Result<PathBuf, Unavailable> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join("qemu-img"))
        .find(|file| file.is_absolute() && file.is_file());
    found.ok_or(Unavailable::NotInstalled)
}

/// Gives the directory to a user whom nobody else is, if this process may do that.
fn own(dir: &Path) -> io::Result<Option<u32>> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    if !geteuid().is_root() {
        return Ok(None);
    }
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let fresh = USER_FIRST + ((std::process::id() & 0x3f_ffff) << 6 | run & 0x3f);
    for user in [fresh, NOBODY] {
        if chown(dir, Some(user), Some(user)).is_ok() {
            return Ok(Some(user));
        }
    }
    Err(io::ErrorKind::PermissionDenied.into())
}

/// What the new process does to itself before it becomes `qemu-img`.
fn confine(user: Option<u32>, limits: Limits) -> io::Result<()> {
    let apart = UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    // SAFETY: the process has one thread and shares no descriptors, so that nothing it relies on goes.
    let cut_off = user.is_some() && unsafe { unshare_unsafe(apart) }.is_ok();
    if let Some(id) = user {
        let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    if !cut_off {
        // SAFETY: as above.
        unsafe { unshare_unsafe(apart | UnshareFlags::NEWUSER) }
            .map_err(|_| io::Error::from(io::ErrorKind::PermissionDenied))?;
    }
    set_no_new_privs(true)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    for (resource, most) in [
        (Resource::As, MEMORY_BYTES),
        (Resource::Cpu, limits.seconds.saturating_mul(4)),
        (Resource::Fsize, limits.file_bytes),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

/// Whether images can be converted on this machine, and as whom.
///
/// # Errors
/// Why they cannot.
pub fn check(scratch: &Path) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let (sandbox, ()) = Sandbox::new(scratch, |_| Ok(()))?;
    let limits = Limits {
        seconds: 10,
        file_bytes: 0,
    };
    sandbox.run(&["--version"], limits, &mut || Ok(()))?;
    Ok(match sandbox.user {
        Some(_) => "qemu-img runs as a user of its own, without network".to_owned(),
        None => "qemu-img runs without network, but as the daemon's own user".to_owned(),
    })
}
