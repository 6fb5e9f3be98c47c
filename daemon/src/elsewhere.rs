//! The Keystone and the Glance elsewhere, from the settings and our user's credentials.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use api::clock::Clock;
use api::external::glance::{self, Glance};
use api::external::{Keystone, Settings};
use zeroize::Zeroizing;

use crate::config::{IdentityConfig, IdentityMode, ImageConfig, ImageMode};
use crate::private::{self, Pair};

/// Variables with our user's name and password, where no file is named.
const USER: &str = "CINDERBLOCK_IDENTITY_USERNAME";
const PASSWORD: &str = "CINDERBLOCK_IDENTITY_PASSWORD";
/// Largest file of certificates read, in bytes.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The Keystone, if there is one elsewhere. It is not asked yet: it may start later.
pub(crate) fn keystone(config: &IdentityConfig, clock: Clock) -> Result<Option<Keystone>> {
    if config.mode == IdentityMode::BuiltIn {
        return Ok(None);
    }
    let url = config.url.clone().context("identity.url is not set")?;
    let (user, password) = match &config.credentials {
        Some(path) => {
            let what = "the user's name, and the password";
            private::pair("identity.credentials", path, what)?
        }
        None => from_environment()?,
    };
    let settings = Settings {
        url,
        ca: read_ca("identity.ca", config.ca.as_deref())?,
        user,
        password,
        user_domain: config.user_domain.clone(),
        project: config.project.clone(),
        project_domain: config.project_domain.clone(),
        cache: config.cache,
    };
    Ok(Some(Keystone::new(settings, clock)?))
}

fn from_environment() -> Result<Pair> {
    let read = |name: &str| {
        // The error of what is not UTF-8 would quote it.
        let value = std::env::var(name).ok().map(Zeroizing::new);
        value.with_context(|| format!("identity.mode needs {name}, or identity.credentials"))
    };
    Ok((read(USER)?, read(PASSWORD)?))
}

/// The Glance of that Keystone's cloud, if there is one elsewhere. It is not asked yet.
pub(crate) fn glance(config: &ImageConfig, keystone: Option<&Keystone>) -> Result<Option<Glance>> {
    if config.mode == ImageMode::BuiltIn {
        return Ok(None);
    }
    let keystone =
        keystone.context("image.mode = \"glance\" needs identity.mode = \"keystone\"")?;
    let settings = glance::Settings {
        url: config.url.clone().context("image.url is not set")?,
        ca: read_ca("image.ca", config.ca.as_deref())?,
    };
    Ok(Some(Glance::new(&settings, keystone.clone())?))
}

fn read_ca(key: &str, path: Option<&Path>) -> Result<Option<Vec<u8>>> {
    let Some(path) = path else {
        return Ok(None);
    };
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("{key} {shown}"))?;
    let mut pem = Vec::new();
    file.take(CA_BYTES_MAX)
        .read_to_end(&mut pem)
        .with_context(|| format!("{key} {shown}"))?;
    Ok(Some(pem))
}
