//! What settings mean together: addresses that others reach, and encryption.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use super::Config;

/// The key at fault and what is wrong.
type Fault = (&'static str, String);

/// Length of a unix socket's path in bytes, with its end mark: what the kernel's address holds.
const SOCKET_PATH_BYTES: usize = 108;

/// Checks what no single setting can know.
pub(super) fn together(config: &Config) -> Result<(), Fault> {
    if config.data.as_os_str().is_empty() {
        let message = "name the directory to keep everything in (--data DIR)";
        return Err(("data", message.to_owned()));
    }
    socket_path(config)?;
    let http = config.http.listen;
    plaintext("http.listen", http, config.allow_plaintext)?;
    wildcard(
        "http.listen",
        http,
        "public_url",
        config.public_url.is_some(),
    )?;
    let nbd = config.nbd.listen;
    plaintext("nbd.listen", nbd, config.allow_plaintext)?;
    wildcard(
        "nbd.listen",
        nbd,
        "nbd.advertise",
        config.nbd.advertise.is_some(),
    )?;
    backup(config)?;
    match config.metrics_listen {
        Some(address) if !address.ip().is_loopback() => {
            let message = format!("{address} is not a loopback address, and would need no token");
            Err(("metrics.listen", message))
        }
        _ => Ok(()),
    }
}

fn backup(config: &Config) -> Result<(), Fault> {
    let backup = &config.backup;
    let plain = backup.endpoint.as_ref();
    match &backup.bucket {
        Some(_) if backup.directory.is_some() => {
            let message = "backups go to a directory or to a bucket, not to both";
            Err(("backup.directory", message.to_owned()))
        }
        Some(_) if plain.is_some_and(|url| is_exposed(url)) && !config.allow_plaintext => {
            let message = "the connection would not be encrypted; use https, or set \
                           allow_plaintext = true if the network is trusted";
            Err(("backup.endpoint", message.to_owned()))
        }
        None if plain.is_some() => Err(("backup.endpoint", "set backup.bucket too".to_owned())),
        _ => Ok(()),
    }
}

/// Whether a URL leads out of this machine without encryption.
fn is_exposed(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else {
        return true;
    };
    let is_local = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    url.scheme() == "http" && !is_local
}

fn socket_path(config: &Config) -> Result<(), Fault> {
    let path = &config.nbd.socket;
    let length = path.as_os_str().as_bytes().len();
    if length < SOCKET_PATH_BYTES {
        return Ok(());
    }
    let message = format!(
        "{} has {length} bytes, and a socket's path at most {}; choose a shorter one",
        path.display(),
        SOCKET_PATH_BYTES - 1,
    );
    Err(("nbd.socket", message))
}

fn plaintext(key: &'static str, address: SocketAddr, allowed: bool) -> Result<(), Fault> {
    if address.ip().is_loopback() || allowed {
        return Ok(());
    }
    let message = format!(
        "{address} is not a loopback address and the connection is not encrypted; \
         set allow_plaintext = true if the network is trusted"
    );
    Err((key, message))
}

fn wildcard(
    key: &'static str,
    address: SocketAddr,
    needs: &'static str,
    has: bool,
) -> Result<(), Fault> {
    if !address.ip().is_unspecified() || has {
        return Ok(());
    }
    let message = format!("{address} tells clients no address to connect to; set {needs}");
    Err((key, message))
}
