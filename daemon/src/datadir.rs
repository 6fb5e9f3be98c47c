//! The data directory: what lies where, its lock, and the small files written for others.
//!
//! ```text
//! DIR/lock             held while a daemon runs; its content means nothing
//! DIR/pool/            the pool (crate store), unless backends are configured
//! DIR/catalogue.redb   the objects of the API
//! DIR/clouds.yaml      credentials of the first administrator, mode 0600
//! DIR/run.json         addresses and pid of the running daemon; absent after an orderly stop
//! DIR/master.key       the key of encrypted volumes' keys, unless configured elsewhere
//! DIR/nbd.sock         the operators' socket, unless configured elsewhere
//! ```
//!
//! Files are replaced whole, so that a reader never sees half of one. A run.json left by a kill is
//! not trusted by anyone who looks at the lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Where things lie in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

/// Proof that no other daemon uses the directory.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave it to a process being started, which has the file until it runs its
        // program. What cannot be unlocked is unlocked by closing.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

/// Content of run.json.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunInfo {
    /// The daemon's process.
    pub(crate) pid: u32,
    /// The daemon's version.
    pub(crate) version: String,
    /// Address of the API listener.
    pub(crate) http: String,
    /// URL in the service catalogue.
    pub(crate) public_url: String,
    /// Address of the NBD listener.
    pub(crate) nbd: String,
    /// What attachments tell hosts.
    pub(crate) nbd_advertise: String,
    /// The operators' socket.
    pub(crate) nbd_socket: PathBuf,
    /// Address that answers /metrics without a token.
    pub(crate) metrics: Option<String>,
    /// The folder of the mount.
    pub(crate) mount: Option<PathBuf>,
}

impl DataDir {
    /// The directory at `path`, which need not exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where backups go unless told otherwise.
    pub(crate) fn backups(&self) -> PathBuf {
        self.0.join("backups")
    }

    /// The catalogue's file.
    pub(crate) fn catalogue(&self) -> PathBuf {
        self.0.join("catalogue.redb")
    }

    /// The credentials' file.
    pub(crate) fn clouds(&self) -> PathBuf {
        self.0.join("clouds.yaml")
    }

    /// The running daemon's file.
    pub(crate) fn run_info(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// Where images are converted, empty: what a kill left there goes.
    pub(crate) fn make_scratch(&self) -> Result<PathBuf> {
        let path = self.0.join("scratch");
        let made = match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => DirBuilder::new().mode(0o700).create(&path),
        };
        made.with_context(|| format!("creating {}", path.display()))?;
        Ok(path)
    }

    /// Creates the directory, for its owner alone, if it is not there.
    pub(crate) fn create(&self) -> Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&self.0)
            .with_context(|| format!("creating {}", self.0.display()))
    }

    /// Takes the lock; it falls with the process, however that ends.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.0.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { file }),
            Err(Errno::WOULDBLOCK) => bail!(self.taken()),
            Err(error) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }

    fn taken(&self) -> String {
        let dir = self.0.display();
        match self.read_run_info() {
            Ok(Some(run)) => format!("{dir} is in use by the daemon with pid {}", run.pid),
            _ => format!("{dir} is in use by another daemon"),
        }
    }

    /// What the last daemon wrote; `None` if there is nothing.
    pub(crate) fn read_run_info(&self) -> Result<Option<RunInfo>> {
        let path = self.run_info();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let info = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Some(info))
    }

    /// Tells the world where the daemon is.
    pub(crate) fn write_run_info(&self, info: &RunInfo) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(info)?;
        text.push(b'\n');
        replace(&self.run_info(), &text)
    }

    /// Takes back what [`DataDir::write_run_info`] told; fine if it is gone.
    pub(crate) fn remove_run_info(&self) -> Result<()> {
        match fs::remove_file(self.run_info()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).context("removing run.json")
            }
            _ => Ok(()),
        }
    }
}

/// Replaces the file at `path` by one of mode 0600 with this content, durably and at once.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file without a folder")?;
    let work = || -> io::Result<()> {
        // Made with mode 0600, under a name of its own.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(dir)?.sync_all()
    };
    work().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{DataDir, RunInfo, replace};

    #[test]
    fn only_one_has_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(&dir.path().join("a/b"));
        data.create().unwrap();
        let lock = data.lock().unwrap();
        assert!(
            data.lock()
                .unwrap_err()
                .to_string()
                .contains("in use by another daemon")
        );
        let info = RunInfo {
            pid: 4711,
            version: "1".to_owned(),
            http: "127.0.0.1:1".to_owned(),
            public_url: "http://127.0.0.1:1".to_owned(),
            nbd: "127.0.0.1:2".to_owned(),
            nbd_advertise: "127.0.0.1:2".to_owned(),
            nbd_socket: "/s".into(),
            metrics: None,
            mount: None,
        };
        data.write_run_info(&info).unwrap();
        assert_eq!(data.read_run_info().unwrap(), Some(info));
        assert!(data.lock().unwrap_err().to_string().contains("pid 4711"));
        drop(lock);
        data.lock().unwrap();
        data.remove_run_info().unwrap();
        data.remove_run_info().unwrap();
        assert_eq!(data.read_run_info().unwrap(), None);
    }

    #[test]
    fn files_are_replaced_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
