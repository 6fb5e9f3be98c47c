//! What the subcommands that speak to the API share: options, the client, output, exit codes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Error, Result};
use api::client::{Client, Cloud, ErrorKind, Source};
use serde::Serialize;

use super::output::say;
use super::{Exit, complain};

/// A request may wait for the daemon's storage; nothing takes longer than this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Which cloud, and how to print. Without either option the cloud is chosen as by the `openstack`
/// client: `OS_CLOUD`, then the other `OS_*` variables, then the only cloud of `clouds.yaml`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    /// Use this cloud of clouds.yaml
    #[arg(long, value_name = "NAME", global = true)]
    os_cloud: Option<String>,
    /// Use the daemon with this data directory on this machine
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "os_cloud")]
    data: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Access {
    /// The client; nothing is sent yet.
    pub(crate) fn client(&self) -> Result<Client> {
        self.client_within(REQUEST_TIMEOUT)
    }

    /// As [`Self::client`], with another limit for each request.
    pub(crate) fn client_within(&self, timeout: Duration) -> Result<Client> {
        Client::new(self.cloud()?, timeout).map_err(failed)
    }

    /// The cloud's settings.
    pub(crate) fn cloud(&self) -> Result<Cloud> {
        let source = Source {
            cloud: self.os_cloud.clone(),
            data_dir: self.data.clone(),
        };
        Cloud::load(&source).map_err(failed)
    }

    /// Prints `value` as JSON, or what `text` makes of it.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if self.json {
            say(&(serde_json::to_string_pretty(value)? + "\n"))
        } else {
            say(&text(value))
        }
    }
}

/// The client's error with the exit code of its kind.
pub(crate) fn failed(error: api::client::Error) -> Error {
    exit_of(error.kind()).because(error)
}

fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Settings | ErrorKind::Ambiguous => Exit::Usage,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::BadRequest
        | ErrorKind::Conflict
        | ErrorKind::OverLimit => Exit::Refused,
        ErrorKind::Unreachable => Exit::Unreachable,
        ErrorKind::Server | ErrorKind::Protocol => Exit::Failure,
    }
}

/// Runs `each` for all `names` and goes on after failures; the last failure is returned, the others
/// are printed.
pub(crate) fn for_all(names: &[String], mut each: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let mut failure = None;
    for name in names {
        if let Err(error) = each(name)
            && let Some(earlier) = failure.replace(error)
        {
            complain(format_args!("{earlier:#}"));
        }
    }
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use api::client::{Error, ErrorKind};

    use super::{Exit, failed, for_all};

    #[test]
    fn kinds_have_their_exit_codes() {
        let of = |kind| Exit::of(&failed(Error::new(kind, "x")));
        assert_eq!(of(ErrorKind::NotFound), Exit::NotFound);
        assert_eq!(of(ErrorKind::Ambiguous), Exit::Usage);
        assert_eq!(of(ErrorKind::Unauthenticated), Exit::Refused);
        assert_eq!(of(ErrorKind::Unreachable), Exit::Unreachable);
        assert_eq!(of(ErrorKind::Server), Exit::Failure);
    }

    #[test]
    fn one_failure_does_not_stop_the_others() {
        let mut seen = Vec::new();
        let names = ["a".to_owned(), "b".to_owned()];
        let result = for_all(&names, |name| {
            seen.push(name.to_owned());
            Err(Exit::NotFound.because(format!("no {name}")))
        });
        assert_eq!(seen, ["a", "b"]);
        assert_eq!(result.unwrap_err().to_string(), "no b");
    }
}
