//! `cinderblock credentials`: files that other clients take a cloud's address and credentials from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use api::client::Secrets;
use clap::ValueEnum;

use super::Exit;
use super::access::Access;
use super::prompt::secret;
use crate::datadir;

/// What to write, for whom and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// The form
    #[arg(value_enum)]
    form: Form,
    /// The file, which only its owner will be able to read
    file: PathBuf,
    /// The name of the cloud in clouds.yaml
    #[arg(long, default_value = "cinderblock")]
    name: String,
    /// For this user of the default domain; the password is asked for, or read from standard input
    #[arg(long)]
    user: Option<String>,
    /// The project of that user, by name
    #[arg(long, requires = "user")]
    project: Option<String>,
    /// Leave the password out: clients ask for it
    #[arg(long)]
    no_password: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For openstack, the SDKs and this program
    #[value(name = "clouds.yaml")]
    CloudsYaml,
    /// For a shell to read
    Openrc,
}

/// Writes the file.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cloud = args.access.cloud()?;
    if let Some(user) = &args.user {
        let password = match args.no_password {
            true => String::new(),
            false => secret("Password")?,
        };
        cloud = cloud.for_user(user, args.project.as_deref(), password);
    }
    let secrets = match args.no_password {
        true => Secrets::LeftOut,
        false => Secrets::Included,
    };
    let text = match args.form {
        Form::CloudsYaml => cloud.clouds_yaml(&args.name, secrets)?,
        Form::Openrc => cloud.openrc(secrets),
    };
    write(&args.file, &text, args.force)
}

/// Writes a file of mode 0600, over another only if that is wanted.
fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    if force {
        let here = || Path::new(".").join(path);
        let path = if path.is_absolute() {
            path.to_owned()
        } else {
            here()
        };
        return datadir::replace(&path, text.as_bytes());
    }
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let told = || format!("writing {}", path.display());
    match opened {
        Ok(mut file) => file.write_all(text.as_bytes()).with_context(told),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let path = path.display();
            Err(Exit::Refused.because(format!("{path} is there; --force replaces it")))
        }
        Err(error) => Err(error).with_context(told),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::write;

    #[test]
    fn files_are_for_their_owner_and_not_replaced_by_accident() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, "one", false).unwrap();
        assert!(write(&path, "two", false).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        write(&path, "three", true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
