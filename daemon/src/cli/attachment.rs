//! `cinderblock attachment`: opening volumes to hosts.
//!
//! An attachment's address holds the 128 random bits that open the volume. It is printed because it
//! was asked for, and only by `create` and `show`.

use anyhow::Result;
use api::client::{Client, Reach};
use api::types::cinder::{Attachment, AttachmentCreate, ConnectionInfo};
use clap::{Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::Exit;
use super::access::{Access, failed, for_all};
use super::table::{Align, Table, fields};

/// What to do with attachments.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List attachments
    List(ListArgs),
    /// Show an attachment and how to connect to it
    Show {
        /// Id
        attachment: String,
    },
    /// Open a volume to a host and print how to connect
    Create(CreateArgs),
    /// Close attachments; their connections end
    Delete {
        /// Ids
        #[arg(required = true)]
        attachments: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Those of this volume only (name or id)
    #[arg(long)]
    volume: Option<String>,
    /// The attachments of all projects (admins)
    #[arg(long, alias = "all")]
    all_projects: bool,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The volume (name or id)
    volume: String,
    /// The host that gets the volume [default: this one]
    #[arg(long)]
    host: Option<String>,
    /// Whether the host may write
    #[arg(long, value_enum, default_value_t = Mode::Rw)]
    mode: Mode,
}

/// What a host may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Read and write.
    Rw,
    /// Read.
    Ro,
}

impl Mode {
    fn wire(self) -> &'static str {
        match self {
            Self::Rw => "rw",
            Self::Ro => "ro",
        }
    }
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    match &args.command {
        Command::List(list) => print_list(access, &client, list),
        Command::Show { attachment } => {
            let attachment = client.attachment(attachment).map_err(failed)?;
            show(access, &attachment)
        }
        Command::Create(create) => {
            let volume = client.find_volume(&create.volume).map_err(failed)?;
            let host = create.host.clone().unwrap_or_else(hostname);
            show(access, &open(&client, &volume.id, &host, create.mode)?)
        }
        Command::Delete { attachments } => for_all(attachments, |id| {
            client.delete_attachment(id).map_err(failed)
        }),
    }
}

/// This machine's name.
pub(super) fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Attaches a volume to a host and says that the host has it.
pub(super) fn open(client: &Client, volume_id: &str, host: &str, mode: Mode) -> Result<Attachment> {
    let connector = json!({"host": host, "os_type": "linux", "platform": std::env::consts::ARCH});
    let connector: Map<String, Value> = connector.as_object().cloned().unwrap_or_default();
    let request = AttachmentCreate {
        volume_uuid: volume_id.to_owned(),
        instance_uuid: None,
        connector: Some(connector),
        mode: Some(mode.wire().to_owned()),
    };
    let attachment = client.create_attachment(request).map_err(failed)?;
    client
        .complete_attachment(&attachment.id)
        .and_then(|()| client.attachment(&attachment.id))
        .map_err(|error| {
            // What was half made is taken back; the first error is the one to tell.
            let _ = client.delete_attachment(&attachment.id);
            failed(error)
        })
}

/// Where to connect; an error if the service does not say.
pub(super) fn connection(attachment: &Attachment) -> Result<ConnectionInfo> {
    attachment.connection().ok_or_else(|| {
        let id = &attachment.id;
        Exit::Failure.because(format!("attachment {id} has no NBD address"))
    })
}

fn show(access: &Access, attachment: &Attachment) -> Result<()> {
    let mut value = serde_json::to_value(attachment)?;
    let connection = attachment.connection();
    if let Some(connection) = &connection {
        value["uri"] = connection.uri.as_str().into();
    }
    access.show(&value, |_| describe(attachment, connection.as_ref()))
}

fn describe(attachment: &Attachment, connection: Option<&ConnectionInfo>) -> String {
    let mode = attachment.attach_mode.clone().unwrap_or_default();
    let mut text = fields(&[
        ("id", attachment.id.clone()),
        ("volume", attachment.volume_id.clone()),
        ("status", attachment.status.clone()),
        ("mode", mode.clone()),
        (
            "uri",
            connection.map_or_else(String::new, |it| it.uri.clone()),
        ),
    ]);
    if let Some(to) = connection {
        text.push_str(&recipes(to, mode == "ro"));
    }
    text
}

fn recipes(to: &ConnectionInfo, read_only: bool) -> String {
    let (client, qemu) = if read_only {
        (" -R", ",readonly=on")
    } else {
        ("", "")
    };
    format!(
        "\nKernel  nbd-client {} {} /dev/nbd0 -N {} -C 4{client}\nQEMU    -drive file={},format=raw,if=virtio{qemu}\n",
        to.host, to.port, to.export, to.uri
    )
}

fn print_list(access: &Access, client: &Client, args: &ListArgs) -> Result<()> {
    let reach = if args.all_projects {
        Reach::All
    } else {
        Reach::Project
    };
    let volume = args.volume.as_deref().map(|name| client.find_volume(name));
    let volume = volume.transpose().map_err(failed)?.map(|volume| volume.id);
    let mut attachments = client
        .attachments(reach, volume.as_deref())
        .map_err(failed)?;
    for attachment in &mut attachments {
        attachment.connection_info = None;
    }
    access.show(&attachments, |attachments| {
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("VOLUME", Align::Left),
            ("STATUS", Align::Left),
            ("MODE", Align::Left),
            ("INSTANCE", Align::Left),
        ]);
        for attachment in attachments {
            table.row(&[
                attachment.id.clone(),
                attachment.volume_id.clone(),
                attachment.status.clone(),
                attachment.attach_mode.clone().unwrap_or_default(),
                attachment.instance.clone().unwrap_or_default(),
            ]);
        }
        table.render()
    })
}
