//! The backup target, from the settings and, for a bucket, the access key.

use anyhow::{Context, Result};
use api::backup::{BucketSettings, Target};
use zeroize::Zeroizing;

use crate::config::BackupConfig;
use crate::datadir::DataDir;
use crate::private::{self, Pair};

/// Variables that the tools of these services read too.
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Opens the target. A bucket is not asked yet: it may be out of reach when the daemon starts.
pub(super) fn open(config: &BackupConfig, data: &DataDir) -> Result<Target> {
    let Some(bucket) = &config.bucket else {
        let own = data.backups();
        return Ok(Target::directory(
            config.directory.as_ref().unwrap_or(&own),
        )?);
    };
    let (access_key_id, secret_access_key) = match &config.credentials {
        Some(path) => {
            let what = "the key's id, and the key";
            private::pair("backup.credentials", path, what)?
        }
        None => from_environment()?,
    };
    Ok(Target::bucket(&BucketSettings {
        bucket: bucket.clone(),
        endpoint: config.endpoint.clone(),
        region: config.region.clone(),
        access_key_id,
        secret_access_key,
    })?)
}

fn from_environment() -> Result<Pair> {
    let read = |name: &str| {
        let value = std::env::var(name).map(Zeroizing::new);
        value.with_context(|| format!("backup.bucket needs {name}, or backup.credentials"))
    };
    Ok((read(KEY_ID)?, read(KEY)?))
}
