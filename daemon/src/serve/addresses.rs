//! What clients are told: URLs and the NBD address, from the settings and the ports really bound.
//!
//! Nothing here comes from a request: the Host header has no say.

use std::net::SocketAddr;

use crate::config::{Config, DedupDomain};

/// Port of Identity among the classic ports.
pub(super) const IDENTITY_PORT: u16 = 5000;
/// Port of Block Storage.
pub(super) const VOLUME_PORT: u16 = 8776;
/// Port of Image.
pub(super) const IMAGE_PORT: u16 = 9292;

/// The settings of the API services.
pub(super) fn api_config(
    config: &Config,
    http: SocketAddr,
    nbd: SocketAddr,
) -> api::server::Config {
    let public_url = public_url(config, http);
    let (nbd_host, nbd_port) = nbd_address(config, nbd);
    let mut services = api::server::Config::new(&public_url, &nbd_host, nbd_port);
    services.pool_wide_dedup = config.dedup_domain == DedupDomain::Pool;
    services.policy.clone_from(&config.policy);
    services.region.clone_from(&config.region);
    services.catalog.clone_from(&config.catalog);
    services.token_lifetime_s = config.token_lifetime.as_secs();
    if config.http.classic_ports {
        services.identity_url = on_port(&public_url, IDENTITY_PORT);
        services.volume_url = on_port(&public_url, VOLUME_PORT);
        services.image_url = on_port(&public_url, IMAGE_PORT);
    }
    services
}

fn public_url(config: &Config, http: SocketAddr) -> String {
    match &config.public_url {
        Some(url) => url.clone(),
        None if config.http.tls.is_on() => format!("https://{http}"),
        None => format!("http://{http}"),
    }
}

/// The host of `url` at another port, without a path. `None` cannot be: the URL was checked.
fn on_port(url: &str, port: u16) -> Option<String> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_port(Some(port)).ok()?;
    url.set_path("");
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// Host and port that attachments tell hosts.
fn nbd_address(config: &Config, bound: SocketAddr) -> (String, u16) {
    match &config.nbd.advertise {
        Some(address) => (address.host.clone(), address.port.unwrap_or(bound.port())),
        None => (bound.ip().to_string(), bound.port()),
    }
}

/// `HOST:PORT`, with brackets where the host is an IPv6 address.
pub(super) fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::{api_config, host_port, on_port};
    use crate::config::Config;

    #[test]
    fn addresses_come_from_settings_then_from_what_is_bound() {
        let flag = |key, text: &str| (key, text.to_owned(), "--f");
        let mut flags = vec![flag("data", "/d")];
        let load = |flags: &[_]| Config::load(None, [], flags).unwrap();
        let http = "127.0.0.1:4000".parse().unwrap();
        let nbd = "127.0.0.1:5000".parse().unwrap();
        let made = api_config(&load(&flags), http, nbd);
        assert_eq!(made.public_url, "http://127.0.0.1:4000");
        assert_eq!((made.nbd_host.as_str(), made.nbd_port), ("127.0.0.1", 5000));
        assert_eq!(made.identity_url, None);
        flags.push(flag("public_url", "https://cloud.example/store/"));
        flags.push(flag("nbd.advertise", "store1"));
        flags.push(flag("http.classic_ports", "true"));
        let made = api_config(&load(&flags), http, nbd);
        assert_eq!(made.public_url, "https://cloud.example/store");
        assert_eq!((made.nbd_host.as_str(), made.nbd_port), ("store1", 5000));
        assert_eq!(made.volume_url.unwrap(), "https://cloud.example:8776");
        assert_eq!(made.image_url.unwrap(), "https://cloud.example:9292");
    }

    #[test]
    fn ipv6_gets_brackets() {
        assert_eq!(host_port("::1", 1), "[::1]:1");
        assert_eq!(
            on_port("http://[::1]:8", 5000).unwrap(),
            "http://[::1]:5000"
        );
    }
}
