//! The program itself: starts, says where it is, refuses a second start, survives a kill, stops.

#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap fails its test, also outside of #[test] functions"
)]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// For whatever takes no time unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the program promises for its stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

struct Daemon {
    child: Child,
    data: PathBuf,
}

impl Daemon {
    fn start(data: &Path, extra: &[&str]) -> Self {
        Self::healthy(serve(data).args(extra).spawn().unwrap(), data)
    }

    /// The daemon of a process that is starting, once it answers.
    fn healthy(child: Child, data: &Path) -> Self {
        let mut daemon = Self {
            child,
            data: data.to_owned(),
        };
        until("health", PATIENCE, || {
            assert!(
                daemon.child.try_wait().unwrap().is_none(),
                "ended: {}",
                log(data)
            );
            let run = daemon.run_info()?;
            (run["pid"] == daemon.child.id()).then_some(())?;
            get(run["http"].as_str()?.parse().ok()?, "/healthz")
                .starts_with("HTTP/1.1 200")
                .then_some(())
        });
        daemon
    }

    fn run_info(&self) -> Option<Value> {
        let text = fs::read(self.data.join("run.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn stop(self) {
        self.stop_by(Signal::TERM);
    }

    fn stop_by(mut self, signal: Signal) {
        self.signal(signal);
        let status = until("the stop", STOP_LIMIT, || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", log(&self.data));
        assert!(!self.data.join("run.json").exists());
        assert!(!self.data.join("nbd.sock").exists());
        assert!(!log(&self.data).contains("panicked"), "{}", log(&self.data));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path) -> Command {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(data.with_extension("log"))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cinderblock"));
    command
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--nbd",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .stderr(log);
    command
}

fn log(data: &Path) -> String {
    fs::read_to_string(data.with_extension("log")).unwrap_or_default()
}

fn get(address: SocketAddr, path: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_default()
}

fn password(data: &Path) -> String {
    let text = fs::read_to_string(data.join("clouds.yaml")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("password: "));
    line.unwrap().trim_matches(['"', '\'']).to_owned()
}

fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_cinderblock");
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn starts_refuses_a_second_survives_a_kill_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let daemon = Daemon::start(&data, &["--metrics", "127.0.0.1:0"]);
    let info = daemon.run_info().unwrap();
    let http = info["http"].as_str().unwrap().parse().unwrap();
    let metrics = info["metrics"].as_str().unwrap().parse().unwrap();
    assert!(get(http, "/metrics").starts_with("HTTP/1.1 401"));
    assert!(get(metrics, "/metrics").contains("cinderblock_pool_volumes{backend=\"pool\"} 0"));
    let mode = |name: &str| fs::metadata(data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode("clouds.yaml"), mode("nbd.sock"), mode("")),
        (0o600, 0o600, 0o700)
    );

    let second = serve(&data).stderr(Stdio::piped()).output().unwrap();
    let message = String::from_utf8_lossy(&second.stderr).into_owned();
    let pid = format!("pid {}", daemon.child.id());
    assert!(
        !second.status.success() && message.contains(&pid),
        "{message}"
    );

    let secret = password(&data);
    daemon.signal(Signal::KILL);
    drop(daemon);
    assert!(data.join("run.json").exists() && data.join("nbd.sock").exists());
    Daemon::start(&data, &[]).stop();
    assert_eq!(password(&data), secret);
    assert!(!log(&data).contains(&secret));
}

#[test]
fn a_log_that_cannot_be_written_is_no_reason_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = serve(&data).stderr(full).spawn().unwrap();
    Daemon::healthy(child, &data).stop();
}

#[test]
fn nohup_outlives_its_terminal_and_others_stop_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("d");
    let command = serve(&data);
    // The tests themselves may run under nohup.
    let mut plain = Command::new("env");
    plain
        .arg("--default-signal=HUP")
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null())
        .stderr(fs::File::create(data.with_extension("log")).unwrap());
    Daemon::healthy(plain.spawn().unwrap(), &data).stop_by(Signal::HUP);
    let mut nohup = Command::new("nohup");
    nohup.arg(command.get_program()).args(command.get_args());
    let file = fs::File::create(dir.path().join("nohup.log")).unwrap();
    let child = nohup
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let daemon = Daemon::healthy(child, &data);
    daemon.signal(Signal::HUP);
    let http = daemon.run_info().unwrap()["http"].as_str().unwrap().parse();
    assert!(get(http.unwrap(), "/healthz").starts_with("HTTP/1.1 200"));
    daemon.stop();
    let told = fs::read_to_string(dir.path().join("nohup.log")).unwrap();
    assert!(
        told.contains("SIGTERM") && !told.contains("SIGHUP"),
        "{told}"
    );
}

#[test]
fn wrong_settings_are_said_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    fs::write(&file, "data = '/nowhere'\n\n[nbd]\nlissten = 'x'\n").unwrap();
    let file = file.display().to_string();
    let output = run(&["serve", "--config", &file]);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("c.toml:4: unknown key `nbd.lissten`"),
        "{message}"
    );
    let output = run(&["serve", "--print-config"]);
    assert!(output.status.success() && output.stdout.starts_with(b"# Settings"));
}
