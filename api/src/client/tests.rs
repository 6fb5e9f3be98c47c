//! The client against a server of canned answers, and the choice of a cloud.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{Client, Cloud, ErrorKind, Reach, Source};

/// Serves one canned answer a connection, in order, and sends on each request's head and body.
fn serve(answers: impl FnOnce(&str) -> Vec<(u16, String)>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers(&base);
    let (sender, requests) = channel();
    thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line == "\r\n" {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                if let Some(text) = lower.strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
                head.push_str(&lower);
            }
            let mut sent = vec![0; length];
            reader.read_exact(&mut sent).unwrap();
            sender
                .send(head + &String::from_utf8(sent).unwrap())
                .unwrap();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status} X\r\nX-Subject-Token: tok\r\nContent-Type: application/json\r\n\
                 Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
        }
    });
    (base, requests)
}

fn token(base: &str) -> (u16, String) {
    let body = serde_json::json!({"token": {"project": {"id": "p"}, "catalog": [
        {"type": "block-storage", "endpoints": [
            {"interface": "internal", "url": "http://wrong.invalid/"},
            {"interface": "public", "url": format!("{base}/volume/v3/")}]}]}});
    (201, body.to_string())
}

fn client(base: &str) -> Client {
    let pairs = [
        ("OS_AUTH_URL", base),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "s3cret"),
        ("OS_PROJECT_NAME", "p"),
    ];
    let env: HashMap<_, _> = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let cloud = Cloud::load_from(&Source::default(), &|name| env.get(name).cloned()).unwrap();
    assert!(!format!("{cloud:?}").contains("s3cret"));
    Client::new(cloud, Duration::from_secs(10)).unwrap()
}

#[test]
fn it_logs_in_pages_and_sends_the_microversion() {
    let (base, requests) = serve(|base| {
        let page = r#"{"volumes": [{"id": "a"}], "volumes_links": [{"rel": "next", "href": "x"}]}"#;
        vec![
            token(base),
            (200, page.into()),
            (200, r#"{"volumes": [{"id": "b"}]}"#.into()),
        ]
    });
    let volumes = client(&base).volumes(Reach::All).unwrap();
    let ids: Vec<_> = volumes.iter().map(|volume| volume.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    let login = requests.recv().unwrap();
    assert!(login.starts_with("post /v3/auth/tokens") && login.contains("\"s3cret\""));
    let first = requests.recv().unwrap();
    assert!(first.starts_with("get /volume/v3/volumes/detail?limit=1000&all_tenants=1 "));
    assert!(first.contains("openstack-api-version: volume 3.66"));
    assert!(first.contains("x-auth-token: tok") && !first.contains("s3cret"));
    assert!(requests.recv().unwrap().contains("&marker=a "));
}

#[test]
fn an_expired_token_is_renewed_once() {
    let expired = || (401, r#"{"error": {"message": "expired"}}"#.to_owned());
    let (base, _requests) = serve(|base| {
        let volume = r#"{"volume": {"id": "a"}}"#.to_owned();
        vec![
            token(base),
            expired(),
            token(base),
            (200, volume),
            expired(),
            token(base),
            expired(),
        ]
    });
    let client = client(&base);
    assert_eq!(client.volume("a").unwrap().id, "a");
    let error = client.volume("a").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.to_string(), "expired");
}

#[test]
fn a_name_of_two_volumes_is_refused_with_their_ids() {
    let (base, _requests) = serve(|base| {
        let both = r#"{"volumes": [{"id": "a", "name": "n"}, {"id": "b", "name": "n"}]}"#;
        vec![token(base), (200, both.into())]
    });
    let error = client(&base).find_volume("n").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous);
    assert_eq!(error.to_string(), "several volumes are named n: a, b");
}

#[test]
fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&base).stats().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().starts_with(&base), "{error}");
}

const FILE: &str = "clouds:
  one:
    region_name: r1
    profile: [ignored]
    auth: {auth_url: 'http://one/v3', username: u, password: 1234, project_name: p}
  two:
    auth: {auth_url: 'http://two', username: u, project_id: q}
";

fn load(dir: &Path, source: &Source, extra: &[(&str, &str)]) -> super::Result<Cloud> {
    let file = dir.join("clouds.yaml");
    let file = file.to_str().unwrap();
    let mut env: HashMap<&str, &str> = extra.iter().copied().collect();
    env.insert("OS_CLIENT_CONFIG_FILE", file);
    Cloud::load_from(source, &|name| env.get(name).map(|text| (*text).to_owned()))
}

fn named(name: &str) -> Source {
    Source {
        cloud: Some(name.into()),
        data_dir: None,
    }
}

#[test]
fn the_flag_wins_over_os_cloud_and_variables_over_the_file() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("clouds.yaml"), FILE).unwrap();
    fs::write(
        dir.path().join("secure.yaml"),
        "clouds: {two: {auth: {password: s}}}",
    )
    .unwrap();
    let dir = dir.path();
    let os_cloud = [("OS_CLOUD", "two")];
    let one = load(dir, &named("one"), &os_cloud).unwrap();
    assert_eq!(
        (one.address(), one.region.as_deref()),
        ("http://one/v3", Some("r1"))
    );
    let two = load(dir, &Source::default(), &os_cloud).unwrap();
    assert_eq!(two.address(), "http://two/");
    let moved = load(dir, &named("one"), &[("OS_AUTH_URL", "http://three")]).unwrap();
    assert_eq!(moved.address(), "http://three/");
    assert_eq!(moved.region.as_deref(), Some("r1"));
}

#[test]
fn what_is_missing_or_ambiguous_is_named() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("clouds.yaml"), FILE).unwrap();
    let text = |source: &Source| load(dir.path(), source, &[]).unwrap_err().to_string();
    assert!(text(&Source::default()).ends_with("--os-cloud (one, two)"));
    assert!(text(&named("three")).ends_with("no cloud three"));
    assert!(text(&named("two")).contains("OS_PASSWORD"));
    fs::write(dir.path().join("clouds.yaml"), "clouds: [s3cret").unwrap();
    let broken = text(&named("one"));
    assert!(
        broken.contains("line") && !broken.contains("s3cret"),
        "{broken}"
    );
}

#[test]
fn a_data_directory_has_its_own_cloud() {
    let dir = TempDir::new().unwrap();
    let source = Source {
        cloud: None,
        data_dir: Some(dir.path().to_owned()),
    };
    let variables = [("OS_AUTH_URL", "http://elsewhere")];
    let error = load(dir.path(), &source, &variables).unwrap_err();
    assert!(error.to_string().contains("has the daemon been started"));
    let own = FILE.replace("one:", "cinderblock:");
    fs::write(dir.path().join("clouds.yaml"), own).unwrap();
    let cloud = load(dir.path(), &source, &variables).unwrap();
    assert_eq!(cloud.address(), "http://one/v3");
}
