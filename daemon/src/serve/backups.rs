//! The backup target, from the settings and, for a bucket, the access key.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use api::backup::{BucketSettings, Target};
use zeroize::Zeroizing;

use crate::config::BackupConfig;
use crate::datadir::DataDir;

/// Variables that the tools of these services read too.
const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// Longest file of credentials.
const CREDENTIALS_BYTES_MAX: u64 = 4096;

/// Opens the target. A bucket is not asked yet: it may be out of reach when the daemon starts.
pub(super) fn open(config: &BackupConfig, data: &DataDir) -> Result<Target> {
    let Some(bucket) = &config.bucket else {
        let own = data.backups();
        return Ok(Target::directory(
            config.directory.as_ref().unwrap_or(&own),
        )?);
    };
    let (access_key_id, secret_access_key) = match &config.credentials {
        Some(path) => from_file(path)?,
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

type Pair = (Zeroizing<String>, Zeroizing<String>);

fn from_environment() -> Result<Pair> {
    let read = |name: &str| {
        let value = std::env::var(name).map(Zeroizing::new);
        value.with_context(|| format!("backup.bucket needs {name}, or backup.credentials"))
    };
    Ok((read(KEY_ID)?, read(KEY)?))
}

fn from_file(path: &Path) -> Result<Pair> {
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("backup.credentials {shown}"))?;
    let mode = file.metadata()?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "backup.credentials {shown} can be read by others; chmod 600 it"
    );
    let mut text = Zeroizing::new(String::new());
    file.take(CREDENTIALS_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("backup.credentials {shown}"))?;
    let mut lines = text
        .lines()
        .map(|line| Zeroizing::new(line.trim().to_owned()));
    match (lines.next(), lines.next()) {
        (Some(id), Some(key)) if !id.is_empty() && !key.is_empty() => Ok((id, key)),
        _ => bail!("backup.credentials {shown} has no two lines: the key's id, and the key"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::from_file;

    #[test]
    fn credentials_are_read_from_private_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("id\nsecret\n", 0o600);
        let (id, key) = from_file(&path).unwrap();
        assert_eq!((id.as_str(), key.as_str()), ("id", "secret"));
        for (text, mode) in [("id\nsecret\n", 0o640), ("secret\n", 0o600), ("", 0o600)] {
            write(text, mode);
            let error = format!("{:#}", from_file(&path).unwrap_err());
            assert!(
                error.contains("key") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
