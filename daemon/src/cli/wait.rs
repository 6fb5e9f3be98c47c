//! Waiting for what the service does after it has answered.

use std::time::Duration;

use anyhow::Result;
use api::client::{Client, ErrorKind};
use api::types::cinder::{Snapshot, Volume};

use super::Exit;
use super::access::failed;

/// Whether and how long to wait.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Wait {
    /// Return as soon as the request is accepted
    #[arg(long)]
    no_wait: bool,
    /// Wait at most this long for the result
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Wait {
    fn limit(self) -> Option<Duration> {
        (!self.no_wait).then(|| Duration::from_secs(self.timeout))
    }

    /// The volume once its status rests; an error status is a failure.
    pub(crate) fn volume(self, client: &Client, volume: Volume) -> Result<Volume> {
        let Some(limit) = self.limit() else {
            return Ok(volume);
        };
        let volume = client.settle_volume(&volume.id, limit).map_err(failed)?;
        good("volume", &volume.id, &volume.status)?;
        Ok(volume)
    }

    /// As [`Self::volume`], for a snapshot.
    pub(crate) fn snapshot(self, client: &Client, snapshot: Snapshot) -> Result<Snapshot> {
        let Some(limit) = self.limit() else {
            return Ok(snapshot);
        };
        let snapshot = client
            .settle_snapshot(&snapshot.id, limit)
            .map_err(failed)?;
        good("snapshot", &snapshot.id, &snapshot.status)?;
        Ok(snapshot)
    }

    /// Waits until the volume is gone.
    pub(crate) fn volume_gone(self, client: &Client, id: &str) -> Result<()> {
        self.gone(|limit| {
            let volume = client.settle_volume(id, limit)?;
            Ok(("volume", volume.id, volume.status))
        })
    }

    /// Waits until the snapshot is gone.
    pub(crate) fn snapshot_gone(self, client: &Client, id: &str) -> Result<()> {
        self.gone(|limit| {
            let snapshot = client.settle_snapshot(id, limit)?;
            Ok(("snapshot", snapshot.id, snapshot.status))
        })
    }

    fn gone(
        self,
        settle: impl FnOnce(Duration) -> api::client::Result<(&'static str, String, String)>,
    ) -> Result<()> {
        let Some(limit) = self.limit() else {
            return Ok(());
        };
        match settle(limit) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok((what, id, status)) => {
                Err(Exit::Failure.because(format!("{what} {id} was not deleted: it is {status}")))
            }
        }
    }
}

fn good(what: &str, id: &str, status: &str) -> Result<()> {
    if status.starts_with("error") {
        return Err(Exit::Failure.because(format!("{what} {id} ended as {status}")));
    }
    Ok(())
}
