//! HTTPS from the first certificate to its renewal, and the audit log beside it.

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
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// For whatever takes no time unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::yield_now();
    }
}

fn cinderblock(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cinderblock"));
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = cinderblock(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A daemon with a certificate of a CA of its own.
struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    address: SocketAddr,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    fn start() -> Self {
        Self::start_with("")
    }

    /// With more settings.
    fn start_with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("certs");
        let shown = certs.to_str().unwrap();
        succeeds(&["cert", "init", "--dir", shown]);
        succeeds(&["cert", "issue", "--dir", shown, "localhost", "127.0.0.1"]);
        let config = dir.path().join("c.toml");
        let audit = dir.path().join("audit.log");
        let text = format!(
            "data = '{}'\n[http]\nlisten = '127.0.0.1:0'\ntls_cert = '{shown}/server-cert.pem'\n\
             tls_key = '{shown}/server-key.pem'\ntls_ca = '{shown}/ca-cert.pem'\n\
             [nbd]\nlisten = '127.0.0.1:0'\n[audit]\nfile = '{}'\n[log]\nlevel = 'debug'\n{more}",
            dir.path().join("d").display(),
            audit.display()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_cinderblock"))
            .args(["serve", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let run = dir.path().join("d/run.json");
        let address = until("run.json", || {
            assert!(child.try_wait().unwrap().is_none(), "it ended");
            let run: Value = serde_json::from_slice(&fs::read(&run).ok()?).ok()?;
            assert!(run["public_url"].as_str()?.starts_with("https://"));
            run["http"].as_str()?.parse().ok()
        });
        Self {
            child,
            dir,
            address,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The first administrator's.
    fn password(&self) -> String {
        let clouds = self.text("d/clouds.yaml");
        let mut lines = clouds.lines();
        let password = lines.find_map(|line| line.trim().strip_prefix("password: "));
        password.unwrap().trim_matches('\'').to_owned()
    }

    fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
    }

    /// A connection that trusts the CA alone.
    fn connect(&self) -> Connection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots
            .add(certificate(&self.path("certs/ca-cert.pem")))
            .unwrap();
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection(StreamOwned::new(tls, socket))
    }

    /// What curl says of `/healthz`.
    fn curl(&self, arguments: &[&str]) -> Output {
        let port = self.address.port();
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ]);
        command
            .args(arguments)
            .arg(format!("https://localhost:{port}/healthz"));
        command.output().unwrap()
    }
}

fn certificate(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

struct Connection(StreamOwned<ClientConnection, TcpStream>);

impl Connection {
    /// Sends a request and reads its answer; the connection stays.
    fn ask(&mut self) -> String {
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.0.write_all(request).unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\"ok\"}") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            answer.push(char::from(byte[0]));
        }
        answer
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.0.conn.peer_certificates().unwrap()[0].clone()
    }
}

#[test]
fn clients_speak_http_1_and_2_and_nothing_unencrypted() {
    let daemon = Daemon::start();
    let ca = daemon.path("certs/ca-cert.pem");
    let trust = ["--cacert", ca.to_str().unwrap()];
    let said = |more: &[&str]| {
        let output = daemon.curl(&[&trust, more].concat());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(said(&["--http2"]), "200 2");
    assert_eq!(said(&["--http1.1"]), "200 1.1");
    assert_eq!(said(&["--http1.1", "--tls-max", "1.2"]), "200 1.1");
    assert!(!daemon.curl(&[]).status.success());
    let old = [
        "--tlsv1.0",
        "--tls-max",
        "1.1",
        "--ciphers",
        "DEFAULT@SECLEVEL=0",
    ];
    assert!(!daemon.curl(&[&trust[..], &old].concat()).status.success());
    let mut plain = TcpStream::connect(daemon.address).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    // The end may be a reset.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    let answer = daemon.connect().ask();
    assert!(
        answer.contains("strict-transport-security: max-age="),
        "{answer}"
    );
}

#[test]
fn a_renewed_certificate_is_shown_and_connections_stay() {
    let daemon = Daemon::start();
    let mut early = daemon.connect();
    early.ask();
    let first = early.certificate();
    let certs = daemon.path("certs");
    let certs = certs.to_str().unwrap();
    let told = succeeds(&["cert", "renew", "--dir", certs]);
    assert!(told.contains("more days"), "{told}");
    succeeds(&["cert", "renew", "--dir", certs, "--before-days", "9999"]);
    daemon.hang_up();
    let second = until("the new certificate", || {
        let mut connection = daemon.connect();
        connection.ask();
        let shown = connection.certificate();
        (shown != first).then_some(shown)
    });
    early.ask();
    assert_eq!(second, certificate(&daemon.path("certs/server-cert.pem")));
    // What cannot be used changes nothing.
    fs::write(daemon.path("certs/server-cert.pem"), "nonsense").unwrap();
    daemon.hang_up();
    until("a line of the log", || {
        daemon
            .text("log")
            .contains("stays what it was")
            .then_some(())
    });
    let mut connection = daemon.connect();
    connection.ask();
    assert_eq!(connection.certificate(), second);
    early.ask();
}

/// Sends a request by curl, trusting a daemon's CA: status, headers and body.
fn send(daemon: &Daemon, path: &str, headers: &[String], body: Option<&str>) -> (u16, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--http1.1", "--cacert"]);
    command.arg(daemon.path("certs/ca-cert.pem"));
    for header in headers {
        command.args(["-H", header]);
    }
    if let Some(body) = body {
        command.args(["-H", "Content-Type: application/json", "-d", body]);
    }
    command.arg(format!("https://localhost:{}{path}", daemon.address.port()));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text)
}

/// A token of the administrator's, as a header.
fn token(daemon: &Daemon) -> String {
    let body = serde_json::json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "admin", "domain": {"id": "default"}, "password": daemon.password(),
        }}},
        "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
    }});
    let path = "/identity/v3/auth/tokens";
    let (status, text) = send(daemon, path, &[], Some(&body.to_string()));
    assert_eq!(status, 201, "{text}");
    assert!(text.contains("cache-control: no-store"), "{text}");
    let token = text
        .lines()
        .find_map(|line| line.strip_prefix("x-subject-token: "));
    format!("X-Auth-Token: {}", token.unwrap().trim())
}

#[test]
fn a_daemon_takes_the_word_of_another_and_says_when_it_is_away() {
    let mut peer = Daemon::start();
    let credentials = peer.path("user");
    fs::write(&credentials, format!("admin\n{}\n", peer.password())).unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
    let identity = format!(
        "[identity]\nmode = 'keystone'\nurl = 'https://localhost:{}/identity/v3'\nca = '{}'\n\
         credentials = '{}'\nproject = 'admin'\n",
        peer.address.port(),
        peer.path("certs/ca-cert.pem").display(),
        credentials.display()
    );
    let daemon = Daemon::start_with(&identity);
    assert!(!daemon.path("d/clouds.yaml").exists());
    let (known, other) = ([token(&peer)], [token(&peer)]);
    let path = "/volume/v3/volumes";
    let body = Some(r#"{"volume": {"size": 1}}"#);
    let (status, text) = send(&daemon, path, &known, body);
    assert_eq!(status, 202, "{text}");
    let forged = ["X-Auth-Token: forged".to_owned()];
    assert_eq!(send(&daemon, path, &forged, None).0, 401);
    assert_eq!(send(&daemon, "/identity/v3", &[], None).0, 404);

    let config = daemon.path("c.toml");
    let doctor = cinderblock(&["doctor", "--json", "--config", config.to_str().unwrap()]);
    let found: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let level = |name: &str| {
        let findings = found["findings"].as_array().unwrap();
        let finding = findings.iter().find(|finding| finding["check"] == name);
        finding.unwrap_or_else(|| panic!("{found}"))["level"].clone()
    };
    for (check, expected) in [
        ("certificate", "ok"),
        ("Keystone", "ok"),
        ("Keystone user", "ok"),
        ("Keystone role", "ok"),
        // The other leads clients to itself.
        ("Keystone catalogue", "failed"),
    ] {
        assert_eq!(level(check), expected, "{check}");
    }

    peer.child.kill().unwrap();
    peer.child.wait().unwrap();
    assert_eq!(send(&daemon, path, &known, None).0, 200);
    let (status, text) = send(&daemon, path, &other, None);
    assert_eq!(status, 503, "{text}");
    assert!(
        text.contains("The Keystone service is temporarily unavailable."),
        "{text}"
    );
}

#[test]
fn the_audit_log_tells_who_did_what_without_secrets() {
    let daemon = Daemon::start();
    let data = daemon.path("d");
    let data = data.to_str().unwrap();
    // Its clouds.yaml names the CA.
    succeeds(&["volume", "create", "--data", data, "--size", "1", "v"]);
    let password = daemon.password();
    let made = until("two records", || {
        let text = daemon.text("audit.log");
        let lines = text.lines().map(serde_json::from_str::<Value>);
        let lines: Vec<Value> = lines.collect::<Result<_, _>>().ok()?;
        let login = lines
            .iter()
            .find(|line| line["route"] == "/identity/v3/auth/tokens")?;
        assert_eq!(
            (&login["user"], &login["status"]),
            (&"admin".into(), &201.into())
        );
        let made = lines
            .iter()
            .find(|line| line["route"] == "/volume/v3/volumes")?;
        Some(made.clone())
    });
    assert_eq!(
        (&made["user"], &made["outcome"]),
        (&"admin".into(), &"success".into())
    );
    assert_eq!(made["address"], "127.0.0.1");
    assert_eq!(made["changes"][0]["kind"], "volume.creating");
    let mode = fs::metadata(daemon.path("audit.log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Moved away as logrotate does it.
    fs::rename(daemon.path("audit.log"), daemon.path("audit.log.1")).unwrap();
    daemon.hang_up();
    until("a line of the log", || {
        daemon
            .text("log")
            .contains("the certificate was read again")
            .then_some(())
    });
    succeeds(&["volume", "delete", "--data", data, "v"]);
    until("a record in the new file", || {
        daemon.text("audit.log").contains("DELETE").then_some(())
    });
    for file in ["audit.log", "audit.log.1", "log"] {
        assert!(!daemon.text(file).contains(&password), "{file}");
    }
}
