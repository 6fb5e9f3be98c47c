//! The console on a real pseudo-terminal: it ends with its terminal and with signals, whatever the
//! terminal does, and gives a terminal that is there back as it was. So do commands that ask for a
//! password, which is not shown.
//!
//! The terminal is not the console's controlling one, so no SIGHUP tells of its end: the harder case.

#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap fails its test, also outside of #[test] functions"
)]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// For whatever takes no time unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);
/// What "at once" means on a busy machine.
const PROMPT: Duration = Duration::from_secs(15);
/// Leaves the screen that the console draws on.
const LEAVE: &str = "\x1b[?1049l";

fn until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        thread::yield_now();
    }
}

/// The program, ended with the test.
struct Console(Child);

impl Console {
    fn start(terminal: &Terminal) -> Self {
        Self::run(terminal, &["tui", "--interval-ms", "100"])
    }

    fn run(terminal: &Terminal, arguments: &[&str]) -> Self {
        let end = || Stdio::from(terminal.end());
        // The tests may run under nohup, whose choice about SIGHUP the console would keep to.
        let child = Command::new("env")
            .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_cinderblock")])
            .args(arguments)
            // Nobody listens on this port; the console says so and goes on.
            .env("OS_AUTH_URL", "http://127.0.0.1:1/identity/v3")
            .envs([("OS_USERNAME", "u"), ("OS_PASSWORD", "p")])
            .envs([("OS_PROJECT_NAME", "p"), ("TERM", "xterm")])
            .env_remove("OS_CLOUD")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        until("the console's end", PROMPT, || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The side of the terminal that shows things; closing it is what a closed window does.
struct Terminal(OwnedFd);

impl Terminal {
    fn open() -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let master = master.unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        Self(master)
    }

    /// The side that programs use, opened anew.
    fn end(&self) -> File {
        let name = ptsname(&self.0, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let end = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap();
        rustix::fs::fcntl_setfl(&end, OFlags::RDWR).unwrap();
        end.into()
    }

    /// Whether a program has taken the keyboard for itself.
    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.0).unwrap().local_modes;
        !modes.contains(LocalModes::ICANON)
    }

    /// Reads what programs show, until the terminal is closed.
    fn show(&self) -> Arc<Mutex<String>> {
        let mut from = File::from(self.0.try_clone().unwrap());
        let shown: Arc<Mutex<String>> = Arc::default();
        let to = shown.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                to.lock().unwrap().push_str(&text);
            }
        });
        shown
    }

    /// Reads until the console has drawn, and then no more.
    fn show_beginning(&self) {
        let mut from = File::from(self.0.try_clone().unwrap());
        let mut shown = Vec::new();
        let mut bytes = [0; 512];
        while !String::from_utf8_lossy(&shown).contains("cinderblock") {
            let length = from.read(&mut bytes).unwrap();
            shown.extend_from_slice(&bytes[..length]);
        }
    }

    /// Leaves no room for anything more to be shown.
    fn fill(&self) {
        let mut end = self.end();
        rustix::fs::fcntl_setfl(&end, OFlags::RDWR | OFlags::NONBLOCK).unwrap();
        // The kernel moves what was written on a little later, and then there is room again.
        while has_room_soon(&end) {
            while end.write(b" ").is_ok() {}
        }
    }
}

fn has_room_soon(end: &File) -> bool {
    let quiet = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
    let mut fds = [PollFd::new(end, PollFlags::OUT)];
    poll(&mut fds, Some(&quiet)).unwrap() > 0
}

#[test]
fn signals_end_it_and_the_terminal_is_as_before() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = Terminal::open();
        // Without an open end there is no terminal.
        let _open = terminal.end();
        let shown = terminal.show();
        let mut console = Console::start(&terminal);
        until("a drawing", PATIENCE, || {
            shown.lock().unwrap().contains("cinderblock")
        });
        assert!(terminal.is_raw());
        console.signal(signal);
        let status = console.ended();
        assert!(status.success(), "{signal:?}: {status}");
        assert!(!terminal.is_raw());
        until("the screen's end", PATIENCE, || {
            shown.lock().unwrap().contains(LEAVE)
        });
    }
}

#[test]
fn it_ends_with_its_terminal() {
    let terminal = Terminal::open();
    let mut console = Console::start(&terminal);
    terminal.show_beginning();
    drop(terminal);
    let status = console.ended();
    assert_eq!(status.code(), Some(1), "{status}");
}

#[test]
fn a_terminal_that_nobody_reads_does_not_keep_it() {
    let terminal = Terminal::open();
    let _open = terminal.end();
    let mut console = Console::start(&terminal);
    terminal.show_beginning();
    terminal.fill();
    console.signal(Signal::TERM);
    let status = console.ended();
    assert!(status.success(), "{status}");
    assert!(!terminal.is_raw());
}

/// Asks for a password on a terminal, gives it these keys, and returns the end and what was shown.
fn asked(file: &str, keys: &str) -> (ExitStatus, String) {
    let terminal = Terminal::open();
    let open = terminal.end();
    let before = tcgetattr(&open).unwrap().local_modes;
    let shown = terminal.show();
    let mut program = Console::run(&terminal, &["credentials", "openrc", file, "--user", "ann"]);
    until("a silent terminal", PATIENCE, || terminal.is_raw());
    let mut master = File::from(terminal.0.try_clone().unwrap());
    master.write_all(keys.as_bytes()).unwrap();
    let status = program.ended();
    assert_eq!(tcgetattr(&open).unwrap().local_modes, before);
    until("the question", PATIENCE, || {
        shown.lock().unwrap().contains("Password: ")
    });
    let shown = shown.lock().unwrap().clone();
    (status, shown)
}

#[test]
fn a_password_is_typed_unseen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("openrc");
    let file = path.to_str().unwrap();
    let (status, shown) = asked(file, "top\u{3}");
    assert_eq!(status.code(), Some(1), "{shown}");
    assert!(!path.exists());
    let (status, shown) = asked(file, "topsekret\u{7f}\u{7f}\u{7f}\u{7f}cret\n");
    assert!(status.success(), "{shown}");
    assert!(!shown.contains("tops"), "{shown}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("export OS_PASSWORD='topsecret'") && text.contains("'ann'"),
        "{text}"
    );
}
