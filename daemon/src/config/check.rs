//! What settings mean together: addresses that others reach, and encryption.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use super::{Config, IdentityMode, ImageMode};

/// The key at fault and what is wrong.
type Fault = (&'static str, String);

/// Length of a unix socket's path in bytes, with its end mark: what the kernel's address holds.
const SOCKET_PATH_BYTES: usize = 108;

/// Of a URL that leads elsewhere.
const EXPOSED: &str = "the connection would not be encrypted; use https, or set allow_plaintext = true \
                       if the network is trusted";

/// Checks what no single setting can know.
pub(super) fn together(config: &Config) -> Result<(), Fault> {
    if config.data.as_os_str().is_empty() {
        let message = "name the directory to keep everything in (--data DIR)";
        return Err(("data", message.to_owned()));
    }
    socket_path(config)?;
    tls(config)?;
    let http = config.http.listen;
    let open = config.allow_plaintext || config.http.tls.is_on();
    plaintext("http.listen", http, open)?;
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
    elsewhere(config)?;
    match config.metrics_listen {
        Some(address) if !address.ip().is_loopback() => {
            let message = format!("{address} is not a loopback address, and would need no token");
            Err(("metrics.listen", message))
        }
        _ => Ok(()),
    }
}

/// Certificate and key come together, and URLs say so.
fn tls(config: &Config) -> Result<(), Fault> {
    let tls = &config.http.tls;
    let fault = |key, message: &str| Err((key, message.to_owned()));
    match (&tls.cert, &tls.key) {
        (Some(_), None) => return fault("http.tls_cert", "set http.tls_key too"),
        (None, Some(_)) => return fault("http.tls_key", "set http.tls_cert too"),
        (None, None) if tls.ca.is_some() => {
            return fault("http.tls_ca", "set http.tls_cert and http.tls_key too");
        }
        _ => {}
    }
    let url = config.public_url.as_deref().unwrap_or_default();
    match tls.is_on() && url.starts_with("http://") {
        true => fault("public_url", "it is http, and http.tls_cert is set"),
        false => Ok(()),
    }
}

/// A Keystone and a Glance elsewhere: that they are named, belong together, and are reached with
/// encryption.
fn elsewhere(config: &Config) -> Result<(), Fault> {
    let is_own = config.identity.mode == IdentityMode::BuiltIn;
    if is_own && config.image.mode == ImageMode::Glance {
        let message = "\"glance\" needs identity.mode = \"keystone\": a Glance takes the tokens of its own \
                       cloud's users";
        return Err(("image.mode", message.to_owned()));
    }
    let services = [
        (
            "identity.url",
            config.identity.mode == IdentityMode::Keystone,
            &config.identity.url,
        ),
        (
            "image.url",
            config.image.mode == ImageMode::Glance,
            &config.image.url,
        ),
    ];
    for (key, wanted, url) in services {
        match url {
            None if wanted => return Err((key, "say where it is".to_owned())),
            Some(url) if wanted && is_exposed(url) && !config.allow_plaintext => {
                return Err((key, EXPOSED.to_owned()));
            }
            _ => {}
        }
    }
    Ok(())
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
            Err(("backup.endpoint", EXPOSED.to_owned()))
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
