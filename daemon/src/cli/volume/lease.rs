//! A volume attached to this process for as long as a transfer takes.

use anyhow::{Context, Result};
use api::client::Client;

use crate::cli::access::failed;
use crate::cli::attachment::{Mode, connection, hostname, open};
use crate::cli::{Exit, complain};

/// An attachment of this host and a connection through it. Dropping it detaches as well, but cannot
/// tell of a failure.
pub(super) struct Lease<'a> {
    client: &'a Client,
    attachment: Option<String>,
    connection: Option<nbd::Client>,
}

impl<'a> Lease<'a> {
    /// Attaches and connects.
    pub(super) fn take(client: &'a Client, volume_id: &str, mode: Mode) -> Result<Self> {
        let attachment = open(client, volume_id, &hostname(), mode)?;
        let mut lease = Self {
            client,
            attachment: Some(attachment.id.clone()),
            connection: None,
        };
        let uri = connection(&attachment)?.uri;
        let disk = nbd::Client::connect(&uri).map_err(Exit::Unreachable.wrap());
        lease.connection = Some(disk.context("connecting to the volume over NBD")?);
        Ok(lease)
    }

    /// The volume.
    pub(super) fn disk(&self) -> &nbd::Client {
        self.connection
            .as_ref()
            .expect("a lease is handed out connected, and only its end disconnects")
    }

    /// Disconnects and detaches.
    pub(super) fn end(mut self) -> Result<()> {
        self.release().map_err(failed).context("detaching")
    }

    fn release(&mut self) -> api::client::Result<()> {
        drop(self.connection.take());
        match self.attachment.take() {
            Some(id) => self.client.delete_attachment(&id),
            None => Ok(()),
        }
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            complain(format_args!("detaching: {error}"));
        }
    }
}
