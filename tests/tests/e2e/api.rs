//! The Block Storage API of a daemon under test, with the credentials of its first admin.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::daemon::{Daemon, http};
use crate::tool;

/// The Block Storage API with the credentials of the first admin.
pub(crate) struct Api {
    address: SocketAddr,
    token: String,
}

impl Api {
    /// Signs in.
    pub(crate) fn new(daemon: &Daemon) -> Result<Self> {
        let address = daemon.http()?;
        let clouds = fs::read_to_string(daemon.data().join("clouds.yaml"))?;
        let line = clouds
            .lines()
            .find_map(|line| line.trim().strip_prefix("password:"));
        let password = line
            .context("no password")?
            .trim()
            .trim_matches(['"', '\'']);
        let user = json!({"name": "admin", "domain": {"id": "default"}, "password": password});
        let auth = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
        }});
        let answer = exchange(address, "POST", "/identity/v3/auth/tokens", "", &auth)?;
        let header = answer.0.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-subject-token")
                .then_some(value)
        });
        let token = header.context(answer.0.clone())?.trim().to_owned();
        Ok(Self { address, token })
    }

    /// Sends a file to an image, or gets an image into it: the status. By curl, which takes an answer
    /// before the end of what it sends.
    pub(crate) fn image_bytes(&self, method: &str, image: &str, file: &Path) -> Result<u16> {
        let folder = tempfile::tempdir()?;
        let headers = folder.path().join("headers");
        let text = format!(
            "X-Auth-Token: {}\nContent-Type: application/octet-stream\nExpect:\n",
            self.token
        );
        fs::write(&headers, text)?;
        let url = format!("http://{}/image/v2/images/{image}/file", self.address);
        let headers = format!("@{}", headers.display());
        let mut curl = tool::command("curl", &["-s", "-w", "%{http_code}", "-H", &headers, &url]);
        match method {
            "GET" => curl.arg("-o").arg(file),
            _ => curl.args(["-X", method, "-o", "/dev/null", "-T"]).arg(file),
        };
        let told = tool::output(&mut curl)?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        told.parse().with_context(|| format!("status {told:?}"))
    }

    /// Status and body of a request's answer.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let headers = format!(
            "X-Auth-Token: {}\r\nOpenStack-API-Version: volume 3.71\r\n",
            self.token
        );
        let (head, body) = exchange(self.address, method, path, &headers, body)?;
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((status, serde_json::from_str(&body).unwrap_or_default()))
    }

    /// The body of a Block Storage request's answer, which must be a success.
    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.ask(method, &format!("/volume/v3{path}"), body)?;
        ensure!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        Ok(answer)
    }

    /// As [`Self::call`], with GET.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, &Value::Null)
    }

    /// Creates an object and returns its id.
    pub(crate) fn make(&self, kind: &str, wanted: &Value) -> Result<String> {
        let made = self.call("POST", &format!("/{kind}s"), &json!({ kind: wanted }))?;
        let id = made[kind]["id"].as_str();
        id.map(str::to_owned).with_context(|| made.to_string())
    }

    /// Waits until an object is `available`.
    pub(crate) fn settled(&self, kind: &str, id: &str) -> Result<Value> {
        let mut last = Value::Null;
        tool::until(tool::PATIENCE, "status available", || {
            last = self.get(&format!("/{kind}s/{id}")).ok()?;
            (last[kind]["status"] == "available").then_some(())
        })
        .with_context(|| last.to_string())?;
        Ok(last[kind].clone())
    }

    /// A new volume of 1 GiB.
    pub(crate) fn volume(&self, name: &str) -> Result<String> {
        let id = self.make("volume", &json!({"name": name, "size": 1}))?;
        self.settled("volume", &id)?;
        Ok(id)
    }

    /// A new backup.
    pub(crate) fn back_up(&self, volume: &str, incremental: bool) -> Result<String> {
        let wanted = json!({"volume_id": volume, "incremental": incremental});
        let id = self.make("backup", &wanted)?;
        self.settled("backup", &id)?;
        self.settled("volume", volume)?;
        Ok(id)
    }

    /// Begins to restore to a new volume.
    pub(crate) fn begin_restore(&self, backup: &str) -> Result<String> {
        let path = format!("/backups/{backup}/restore");
        let answer = self.call("POST", &path, &json!({"restore": {"name": "restored"}}))?;
        let id = answer["restore"]["volume_id"].as_str();
        id.map(str::to_owned).with_context(|| answer.to_string())
    }

    /// Restores to a new volume.
    pub(crate) fn restore(&self, backup: &str) -> Result<String> {
        let id = self.begin_restore(backup)?;
        self.settled("volume", &id)?;
        Ok(id)
    }
}

/// One request: head and body of its answer.
fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &Value,
) -> Result<(String, String)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = http(address, request.as_bytes())?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of headers")?;
    Ok((head.to_owned(), body.to_owned()))
}
