//! Checks of this machine: addresses, programs, kernel.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, geteuid, getrlimit};

use super::{Daemon, Finding, Level};
use crate::config::{Config, IdentityMode, ImageMode};
use crate::tls::Certificate;

/// File descriptors besides connections: files of the pool, listeners, the catalogue.
const FILES_BESIDES: u64 = 256;

/// Days before its end from which on a certificate is worth a warning.
const EXPIRY_DAYS: i64 = 14;

/// What runs here, for reports of problems.
pub(super) fn versions() -> Finding {
    let system = rustix::system::uname();
    let kernel = system.release().to_string_lossy();
    let message = format!("cinderblock {}, Linux {kernel}", env!("CARGO_PKG_VERSION"));
    Finding::new("versions", Level::Ok, message)
}

/// Whether all connections get a file descriptor.
pub(super) fn open_files(config: &Config) -> Finding {
    let needed = (config.nbd.max_connections + config.http.max_connections) as u64 + FILES_BESIDES;
    let limit = getrlimit(Resource::Nofile).current;
    let (level, text) = match limit {
        Some(limit) if limit < needed => (
            Level::Warning,
            format!("{limit}, and all connections together need {needed}"),
        ),
        Some(limit) => (Level::Ok, format!("{limit} may be open")),
        None => (Level::Ok, "no limit".to_owned()),
    };
    Finding::new("open files", level, text)
}

/// Whether snapshots can be mounted.
pub(super) fn fuse(config: &Config) -> Finding {
    // Without a mount configured it is only good to know.
    let missing = match config.mount {
        Some(_) => Level::Failed,
        None => Level::Warning,
    };
    let finding = |level, message: String| Finding::new("FUSE", level, message);
    if !Path::new("/dev/fuse").exists() {
        return finding(
            missing,
            "no /dev/fuse: snapshots cannot be mounted".to_owned(),
        );
    }
    if run("fusermount3", "-V").is_none() {
        return finding(missing, "no fusermount3 (package fuse3)".to_owned());
    }
    match &config.mount {
        Some(dir) if !dir.is_dir() => finding(
            Level::Failed,
            format!("{} is not a folder to mount on", dir.display()),
        ),
        _ => finding(Level::Ok, "present".to_owned()),
    }
}

/// Whether images other than raw become volumes, and volumes such images, and how safely.
pub(super) fn qemu_img() -> Finding {
    let finding = |level, message: String| Finding::new("qemu-img", level, message);
    let only_raw = |why: String| finding(Level::Warning, format!("only raw images: {why}"));
    let dir = match tempfile::tempdir() {
        Ok(dir) => dir,
        Err(error) => return only_raw(error.to_string()),
    };
    match (api::convert::check(dir.path()), geteuid().is_root()) {
        (Ok(message), true) => finding(Level::Ok, message),
        (Ok(message), false) => finding(Level::Warning, message),
        (Err(error), _) => only_raw(error.to_string()),
    }
}

/// The first line that a program prints about itself; `None` if it does not run.
fn run(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().next().unwrap_or(program).to_owned())
}

/// Whether the addresses are free.
pub(super) fn ports(config: &Config, daemon: Daemon) -> Vec<Finding> {
    let mut wanted = vec![
        ("port http.listen", config.http.listen),
        ("port nbd.listen", config.nbd.listen),
    ];
    if config.http.classic_ports {
        let address = |port| SocketAddr::new(config.http.listen.ip(), port);
        if config.identity.mode == IdentityMode::BuiltIn {
            wanted.push(("port of Identity", address(5000)));
        }
        wanted.push(("port of Block Storage", address(8776)));
        if config.image.mode == ImageMode::BuiltIn {
            wanted.push(("port of Image", address(9292)));
        }
    }
    wanted.extend(
        config
            .metrics_listen
            .map(|address| ("port metrics.listen", address)),
    );
    let finding = |(check, address)| port(check, address, daemon);
    wanted.into_iter().map(finding).collect()
}

/// Whether the certificate of HTTPS can be used, and for how long.
pub(super) fn certificate(config: &Config) -> Option<Finding> {
    let tls = &config.http.tls;
    let (cert, key) = (tls.cert.as_ref()?, tls.key.as_ref()?);
    let finding = |level, message: String| Some(Finding::new("certificate", level, message));
    let opened = Certificate::open(cert, key);
    let left = opened.and_then(|certificate| certificate.left_days());
    match left {
        Err(error) => finding(Level::Failed, format!("{error:#}")),
        Ok(days) if days < 0 => finding(Level::Failed, "it has expired".to_owned()),
        Ok(days @ ..EXPIRY_DAYS) => finding(Level::Warning, format!("good for {days} days only")),
        Ok(days) => finding(Level::Ok, format!("good for {days} days")),
    }
}

fn port(check: &'static str, address: SocketAddr, daemon: Daemon) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::new(check, Level::Ok, format!("{address} is free")),
        Err(error) => {
            let (level, by) = match daemon {
                Daemon::Running => (Level::Warning, ", perhaps by the daemon that runs"),
                Daemon::Stopped => (Level::Failed, ""),
            };
            Finding::new(check, level, format!("{address} is taken{by}: {error}"))
        }
    }
}
