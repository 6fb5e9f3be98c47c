//! The real daemon, under test: one process on a directory and ports of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::tool;

/// The contract: SIGTERM ends the daemon within this time.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The program under test: the one built beside this test, or `CINDERBLOCK_BIN`.
pub(crate) fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CINDERBLOCK_BIN") {
        return path.into();
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.parent()?.parent()?.join("cinderblock")));
    let program = beside.unwrap_or_default();
    assert!(program.is_file(), "build it first: cargo build --workspace");
    program
}

/// A data directory, and the daemon on it while it runs.
pub(crate) struct Daemon {
    data: PathBuf,
    child: Option<Child>,
    http: Option<SocketAddr>,
    nbd: Option<SocketAddr>,
    config: Option<PathBuf>,
    // Dropped last, after the process that uses it has ended.
    _home: Option<TempDir>,
}

impl Daemon {
    /// A fresh daemon that answers.
    pub(crate) fn start() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut daemon = Self::on(&home.path().join("data"));
        daemon._home = Some(home);
        daemon.up()?;
        Ok(daemon)
    }

    /// A daemon on a directory of the caller's, not started yet.
    pub(crate) fn on(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            child: None,
            http: None,
            nbd: None,
            config: None,
            _home: None,
        }
    }

    /// A fresh daemon that answers, with a configuration file of this text.
    pub(crate) fn configured(text: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut daemon = Self::on(&home.path().join("data"));
        let config = home.path().join("cinderblock.toml");
        fs::write(&config, text)?;
        daemon.config = Some(config);
        daemon._home = Some(home);
        daemon.up()?;
        Ok(daemon)
    }

    /// Starts the process and returns when `/healthz` answers 200.
    pub(crate) fn up(&mut self) -> Result<()> {
        self.spawn()?;
        let mut ended = None;
        let ready = tool::until(tool::PATIENCE, "a healthy daemon", || {
            ended = self.child.as_mut()?.try_wait().ok()?;
            (ended.is_some() || self.learn().is_ok()).then_some(())
        });
        if let Some(status) = ended {
            self.child = None;
            bail!("the daemon ended at its start: {status}\n{}", self.log());
        }
        ready.with_context(|| self.log())
    }

    fn spawn(&mut self) -> Result<()> {
        fs::create_dir_all(&self.data)?;
        // Addresses of an earlier start must not be taken for the new one's.
        let _ = fs::remove_file(self.data.join("run.json"));
        let log = File::create(self.log_path())?;
        let child = Command::new(program())
            .args(["serve", "--http", "127.0.0.1:0", "--nbd", "127.0.0.1:0"])
            .args(
                self.config
                    .iter()
                    .flat_map(|file| [OsStr::new("--config"), file.as_os_str()]),
            )
            .arg("--data")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    fn learn(&mut self) -> Result<()> {
        let run: Value = serde_json::from_slice(&fs::read(self.data.join("run.json"))?)?;
        let pid = self.child.as_ref().map(Child::id).context("not running")?;
        ensure!(run["pid"] == pid, "run.json of another process");
        let address = |key: &str| -> Result<SocketAddr> {
            Ok(run[key].as_str().context("no address")?.parse()?)
        };
        self.http = Some(address("http")?);
        self.nbd = Some(address("nbd")?);
        let (status, _) = self.get("/healthz")?;
        ensure!(status == 200, "/healthz answers {status}");
        Ok(())
    }

    /// What the daemon wrote since its last start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Where the REST services listen.
    pub(crate) fn http(&self) -> Result<SocketAddr> {
        self.http.context("not started")
    }

    /// Where NBD listens on TCP.
    pub(crate) fn nbd(&self) -> Result<SocketAddr> {
        self.nbd.context("not started")
    }

    /// The operators' socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.data.join("nbd.sock")
    }

    /// A volume by name or id on the operators' socket.
    pub(crate) fn uri(&self, volume: &str) -> String {
        format!("nbd+unix:///{volume}?socket={}", self.socket().display())
    }

    /// Whether the process still runs.
    pub(crate) fn alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills it as a power cut would end it, seen from the process.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        let mut child = self.child.take().context("not running")?;
        child.kill()?;
        let status = child.wait()?;
        ensure!(
            status.signal() == Some(9),
            "it ended before: {status}\n{}",
            self.log()
        );
        Ok(())
    }

    /// Asks it to stop, and fails unless it does in time and says so by its status.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let mut child = self.child.take().context("not running")?;
        tool::terminate(&child)?;
        let status = tool::wait(&mut child, STOP_LIMIT).with_context(|| self.log())?;
        ensure!(status.success(), "stopped with {status}\n{}", self.log());
        ensure!(!self.log().contains("panicked"), "{}", self.log());
        Ok(())
    }

    /// A command of ours or another's with the credentials of the first admin.
    pub(crate) fn with_cloud(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env("OS_CLIENT_CONFIG_FILE", self.data.join("clouds.yaml"))
            .env("OS_CLOUD", "cinderblock");
        command
    }

    /// Runs our command line, which must succeed.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Result<String> {
        tool::run(self.with_cloud(program()).args(arguments))
    }

    /// As [`Self::cli`], with `--json`.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = tool::run(self.with_cloud(program()).args(arguments).arg("--json"))?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Makes an attachment and returns the address a host would use.
    pub(crate) fn attach(&self, volume: &str) -> Result<String> {
        let attachment = self.json(&["attachment", "create", volume])?;
        let uri = attachment["uri"].as_str();
        uri.map(str::to_owned)
            .with_context(|| attachment.to_string())
    }

    /// Packs everything and frees what nothing needs.
    pub(crate) fn reclaim(&self) -> Result<()> {
        self.cli(&["reclaim"]).map(drop)
    }

    /// One of the pool's counters, by its name.
    pub(crate) fn pool(&self, counter: &str) -> Result<u64> {
        let status = self.json(&["status"])?;
        status["pool"][counter]
            .as_u64()
            .with_context(|| status.to_string())
    }

    /// A plain GET, without credentials: status and body.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        let answer = self.raw_http(request.as_bytes())?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, body.to_owned()))
    }

    /// Sends bytes to the HTTP port and returns what comes back until it closes.
    pub(crate) fn raw_http(&self, bytes: &[u8]) -> Result<String> {
        http(self.http()?, bytes)
    }
}

/// Sends bytes to an address and returns what comes back until it closes.
pub(crate) fn http(address: SocketAddr, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A test that fails leaves no process behind; there is nobody left to tell of an error.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
