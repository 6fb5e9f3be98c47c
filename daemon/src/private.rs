//! Files with secrets: read only when nobody else could have, and never told in errors.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use zeroize::Zeroizing;

/// Largest file read, in bytes: a key, or two lines.
const BYTES_MAX: u64 = 64 << 10;

/// A name and the secret that goes with it.
pub(crate) type Pair = (Zeroizing<String>, Zeroizing<String>);

/// The content of a file that only its owner can read; `setting` is for messages.
pub(crate) fn read(setting: &str, path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("{setting} {shown}"))?;
    let mode = file.metadata()?.permissions().mode();
    ensure!(
        mode & 0o077 == 0,
        "{setting} {shown} can be read by others; chmod 600 it"
    );
    let mut text = Zeroizing::new(String::new());
    file.take(BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("{setting} {shown}"))?;
    Ok(text)
}

/// The first two lines of such a file; `what` says what they should be.
pub(crate) fn pair(setting: &str, path: &Path, what: &str) -> Result<Pair> {
    let text = read(setting, path)?;
    let mut lines = text
        .lines()
        .map(|line| Zeroizing::new(line.trim().to_owned()));
    match (lines.next(), lines.next()) {
        (Some(name), Some(secret)) if !name.is_empty() && !secret.is_empty() => Ok((name, secret)),
        _ => bail!("{setting} {} has no two lines: {what}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::pair;

    #[test]
    fn pairs_are_read_from_private_files_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let read = || pair("a.key", &path, "the id, and the key");
        write("id\nsecret\n", 0o600);
        let (id, key) = read().unwrap();
        assert_eq!((id.as_str(), key.as_str()), ("id", "secret"));
        for (text, mode) in [("id\nsecret\n", 0o640), ("secret\n", 0o600), ("", 0o600)] {
            write(text, mode);
            let error = format!("{:#}", read().unwrap_err());
            assert!(
                error.contains("a.key") && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
