//! Settings of the services, as the daemon hands them over.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backup::Target;
use crate::external::Keystone;
use crate::external::glance::Glance;
use crate::policy::Rules;

/// A service of others in the service catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticService {
    /// Its type, such as `object-store`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it is; may hold `$(project_id)s`.
    pub url: String,
}

/// Settings. Addresses have no slash at the end.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients reach the single listener, such as `http://10.0.0.5:8080`.
    pub public_url: String,
    /// Where clients reach Identity; `None` is `{public_url}/identity`.
    pub identity_url: Option<String>,
    /// Where clients reach Block Storage; `None` is `{public_url}/volume`.
    pub volume_url: Option<String>,
    /// Where clients reach Image; `None` is `{public_url}/image`.
    pub image_url: Option<String>,
    /// Host name or address that hosts reach the NBD listener at.
    pub nbd_host: String,
    /// Port that hosts reach the NBD listener at.
    pub nbd_port: u16,
    /// The region all endpoints are in.
    pub region: String,
    /// Services of others that the catalogue lists beside our own.
    pub catalog: Vec<StaticService>,
    /// How long a token is good for.
    pub token_lifetime_s: u64,
    /// The first part of the `host@backend#pool` that volumes are shown on.
    pub host: String,
    /// The availability zone all volumes are in.
    pub availability_zone: String,
    /// Whether equal chunks are shared across projects; for pools of one tenant.
    pub pool_wide_dedup: bool,
    /// Where backups go; without it there is no backup service.
    pub backup: Option<Target>,
    /// Who may do what in Block Storage.
    pub policy: Arc<Rules>,
    /// Who knows callers and projects, if it is not this daemon itself.
    pub keystone: Option<Keystone>,
    /// Who has images, if it is not this daemon itself.
    pub glance: Option<Glance>,
    /// A directory of this process alone, where images are converted.
    pub scratch: PathBuf,
}

impl Config {
    /// Settings of a daemon on one address; the rest as most will want it.
    pub fn new(public_url: &str, nbd_host: &str, nbd_port: u16) -> Self {
        Self {
            public_url: public_url.trim_end_matches('/').to_owned(),
            identity_url: None,
            volume_url: None,
            image_url: None,
            nbd_host: nbd_host.to_owned(),
            nbd_port,
            region: "RegionOne".to_owned(),
            catalog: Vec::new(),
            token_lifetime_s: 3600,
            host: "cinderblock".to_owned(),
            availability_zone: "nova".to_owned(),
            pool_wide_dedup: false,
            backup: None,
            policy: Arc::default(),
            keystone: None,
            glance: None,
            scratch: std::env::temp_dir(),
        }
    }

    /// Base of Identity's links, without the version.
    pub fn identity_base(&self) -> String {
        if let Some(keystone) = &self.keystone {
            return keystone.url().to_owned();
        }
        let default = || format!("{}/identity", self.public_url);
        self.identity_url.clone().unwrap_or_else(default)
    }

    /// Base of Block Storage's links, without the version.
    pub fn volume_base(&self) -> String {
        let default = || format!("{}/volume", self.public_url);
        self.volume_url.clone().unwrap_or_else(default)
    }

    /// Base of Image's links, without the version.
    pub fn image_base(&self) -> String {
        let default = || format!("{}/image", self.public_url);
        self.image_url.clone().unwrap_or_else(default)
    }

    /// Base of the native API's links.
    pub fn native_base(&self) -> String {
        format!("{}/cinderblock/v1", self.public_url)
    }
}
