//! The first administrator's password and the clouds.yaml that holds it.
//!
//! The file is written before the administrator exists and read again on every start, so that a
//! crash between the two leaves a file that works. Later starts bring the address in it up to date
//! and leave the password alone.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::datadir::{self, DataDir};

/// Name of the environment variable that sets the first administrator's password.
const PASSWORD_ENV: &str = "CINDERBLOCK_ADMIN_PASSWORD";
/// Characters of a password made here; each is one of 64, so 192 bits.
const PASSWORD_CHARS: usize = 32;

/// Largest clouds.yaml read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct CloudsFile {
    clouds: Clouds,
}

#[derive(Serialize, Deserialize)]
struct Clouds {
    cinderblock: Cloud,
}

#[derive(Serialize, Deserialize)]
struct Cloud {
    auth: Auth,
    region_name: String,
    interface: String,
    identity_api_version: u8,
    volume_api_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cacert: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Auth {
    auth_url: String,
    username: String,
    password: String,
    project_name: String,
    user_domain_name: String,
    project_domain_name: String,
}

/// Who the administrator is before anybody changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// There is no catalogue yet: the administrator will be created.
    First,
    /// There is one.
    Later,
}

/// Makes or updates clouds.yaml and returns the password for the administrator, should it have to
/// be created. `None` when only the catalogue knows it.
pub(super) fn prepare(
    data: &DataDir,
    start: Start,
    identity_url: &str,
    region: &str,
    ca: Option<&Path>,
) -> Result<Option<String>> {
    let chosen = chosen(std::env::var_os(PASSWORD_ENV))?;
    let Some(password) = password(start, chosen, stored(data)?) else {
        let path = data.clouds();
        tracing::warn!(path = %path.display(), "not there any more, and passwords cannot be read back");
        return Ok(None);
    };
    let file = CloudsFile {
        clouds: Clouds {
            cinderblock: Cloud {
                cacert: ca.map(Path::to_owned),
                ..cloud(identity_url, region, &password)
            },
        },
    };
    let text = serde_yaml_ng::to_string(&file).context("clouds.yaml")?;
    datadir::replace(&data.clouds(), text.as_bytes())?;
    Ok(Some(password))
}

/// The password that the environment sets, if it does.
fn chosen(value: Option<OsString>) -> Result<Option<String>> {
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    // The message does not repeat what it complains of.
    let text = value.into_string().ok();
    let text = text.with_context(|| format!("{PASSWORD_ENV}: not UTF-8"))?;
    Ok(Some(text))
}

fn password(start: Start, chosen: Option<String>, stored: Option<String>) -> Option<String> {
    match start {
        Start::First => Some(chosen.or(stored).unwrap_or_else(random)),
        Start::Later => stored,
    }
}

fn cloud(identity_url: &str, region: &str, password: &str) -> Cloud {
    let text = str::to_owned;
    Cloud {
        auth: Auth {
            auth_url: format!("{identity_url}/v3"),
            username: text("admin"),
            password: text(password),
            project_name: text("admin"),
            user_domain_name: text("Default"),
            project_domain_name: text("Default"),
        },
        region_name: text(region),
        interface: text("public"),
        identity_api_version: 3,
        volume_api_version: 3,
        cacert: None,
    }
}

/// Brings clouds.yaml up to date with a new password of the user it is for. False when it is for
/// another user, or not there.
pub(crate) fn password_was_reset(data: &DataDir, user: &str, password: &str) -> Result<bool> {
    let Some(mut file) = read(data)? else {
        return Ok(false);
    };
    let auth = &mut file.clouds.cinderblock.auth;
    if auth.username != user {
        return Ok(false);
    }
    password.clone_into(&mut auth.password);
    let text = serde_yaml_ng::to_string(&file).context("clouds.yaml")?;
    datadir::replace(&data.clouds(), text.as_bytes())?;
    Ok(true)
}

/// The password of the clouds.yaml that is there.
fn stored(data: &DataDir) -> Result<Option<String>> {
    Ok(read(data)?.map(|file| file.clouds.cinderblock.auth.password))
}

fn read(data: &DataDir) -> Result<Option<CloudsFile>> {
    let path = data.clouds();
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(path.display().to_string()),
        Ok(file) if file.len() > FILE_BYTES_MAX => {
            anyhow::bail!("{}: more than {FILE_BYTES_MAX} bytes", path.display())
        }
        Ok(_) => {}
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    // The parser's message may quote the file, which holds a password.
    serde_yaml_ng::from_str(&text).map_err(|error| {
        let line = error.location().map_or(0, |place| place.line());
        anyhow::anyhow!(
            "{}:{line}: not a clouds.yaml of cinderblock",
            path.display()
        )
    })
}

/// A password that nobody knows yet.
pub(super) fn random() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0; PASSWORD_CHARS];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes once it has booted");
    let character = |byte: &u8| char::from(ALPHABET[usize::from(byte & 63)]);
    bytes.iter().map(character).collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Start, chosen, password, password_was_reset, prepare, random};
    use crate::datadir::DataDir;

    #[test]
    fn passwords_are_made_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::new(dir.path());
        let first = prepare(&data, Start::First, "http://a", "r", None)
            .unwrap()
            .unwrap();
        let text = || std::fs::read_to_string(data.clouds()).unwrap();
        assert!(text().contains(&first) && text().contains("http://a/v3"));
        assert!(!text().contains("cacert"));
        let ca = Path::new("/etc/ca.pem");
        let later = prepare(&data, Start::Later, "http://b", "r", Some(ca))
            .unwrap()
            .unwrap();
        assert_eq!(first, later);
        assert!(text().contains(&first) && text().contains("http://b/v3"));
        assert!(text().contains("cacert: /etc/ca.pem"));
        let mode = std::fs::metadata(data.clouds())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!password_was_reset(&data, "demo", "n3w").unwrap());
        assert!(!text().contains("n3w"));
        assert!(password_was_reset(&data, "admin", "n3w").unwrap());
        assert!(text().contains("n3w") && text().contains("http://b/v3"));
        std::fs::remove_file(data.clouds()).unwrap();
        assert!(!password_was_reset(&data, "admin", "n3w").unwrap());
        assert_eq!(
            prepare(&data, Start::Later, "http://b", "r", None).unwrap(),
            None
        );
        std::fs::write(data.clouds(), "clouds: {cinderblock: s3cret}").unwrap();
        let error = prepare(&data, Start::Later, "http://b", "r", None).unwrap_err();
        assert!(!format!("{error:#}").contains("s3cret"));
    }

    #[test]
    fn a_password_that_is_no_text_is_an_error_which_does_not_tell_it() {
        let text = chosen(Some("s3cret".into())).unwrap();
        assert_eq!(text.as_deref(), Some("s3cret"));
        assert_eq!(chosen(Some(OsString::new())).unwrap(), None);
        let odd = OsString::from_vec(b"s3cret\xff".to_vec());
        let error = format!("{:#}", chosen(Some(odd)).unwrap_err());
        assert_eq!(error, "CINDERBLOCK_ADMIN_PASSWORD: not UTF-8");
    }

    #[test]
    fn a_chosen_password_counts_on_the_first_start_only() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(password(Start::First, text("a"), text("b")), text("a"));
        assert_eq!(password(Start::First, None, text("b")), text("b"));
        assert_eq!(password(Start::Later, text("a"), text("b")), text("b"));
        assert_eq!(password(Start::Later, text("a"), None), None);
        assert_eq!(random().len(), 32);
        assert_ne!(random(), random());
    }
}
