//! `cinderblock volume`: volumes through the Block Storage API.

mod export;
mod format;
mod import;
mod lease;
mod progress;
mod qemu;
mod sparse;

use anyhow::Result;
use api::client::{Client, Reach};
use api::types::cinder::{Metadata, Volume, VolumeCreate, VolumeUpdate};
use clap::Subcommand;

use super::Exit;
use super::access::{Access, failed, for_all};
use super::table::{Align, Table, fields};
use super::wait::Wait;

/// What to do with volumes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List volumes
    List(ListArgs),
    /// Show a volume
    Show {
        /// Name or id
        volume: String,
    },
    /// Create an empty volume, or one with the content of a snapshot, volume or image
    Create(CreateArgs),
    /// Delete volumes
    Delete(DeleteArgs),
    /// Grow a volume
    Extend(ExtendArgs),
    /// Change a volume's name, description or metadata
    Set(SetArgs),
    /// Create a volume from an image file
    Import(import::Args),
    /// Write a volume to an image file
    Export(export::Args),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The volumes of all projects (admins)
    #[arg(long, alias = "all")]
    all_projects: bool,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Its name
    name: String,
    /// Size in GiB; with a source, at least the source's and by default the same
    #[arg(long, value_name = "GIB", required_unless_present_any = ["snapshot", "source"])]
    size: Option<u64>,
    /// Start with the content of this snapshot (name or id)
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
    /// Start with the content of this volume (name or id)
    #[arg(long, value_name = "VOLUME", conflicts_with = "snapshot")]
    source: Option<String>,
    /// Start with the content of this image (name or id), for which --size is needed
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["snapshot", "source"])]
    image: Option<String>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Volume type
    #[arg(long = "type", value_name = "TYPE")]
    volume_type: Option<String>,
    /// Metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, clap::Args)]
struct DeleteArgs {
    /// Names or ids
    #[arg(required = true)]
    volumes: Vec<String>,
    /// Delete the volumes' snapshots as well
    #[arg(long)]
    cascade: bool,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, clap::Args)]
struct ExtendArgs {
    /// Name or id
    volume: String,
    /// New size in GiB
    #[arg(long, value_name = "GIB")]
    size: u64,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// Name or id
    volume: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New description; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Metadata to add or change; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    property: Vec<(String, String)>,
}

/// Reads `KEY=VALUE`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("not of the form KEY=VALUE".to_owned()),
    }
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    match &args.command {
        Command::List(list) => print_list(access, &client, list),
        Command::Show { volume } => {
            let volume = client.find_volume(volume).map_err(failed)?;
            access.show(&volume, describe)
        }
        Command::Create(create) => create_volume(access, &client, create),
        Command::Delete(delete) => for_all(&delete.volumes, |name| {
            let volume = client.find_volume(name).map_err(failed)?;
            client
                .delete_volume(&volume.id, delete.cascade)
                .map_err(failed)?;
            delete.wait.volume_gone(&client, &volume.id)
        }),
        Command::Extend(extend) => extend_volume(access, &client, extend),
        Command::Set(set) => set_volume(access, &client, set),
        Command::Import(import) => import::run(access, &client, import),
        Command::Export(export) => export::run(access, &client, export),
    }
}

fn print_list(access: &Access, client: &Client, args: &ListArgs) -> Result<()> {
    let reach = if args.all_projects {
        Reach::All
    } else {
        Reach::Project
    };
    let volumes = client.volumes(reach).map_err(failed)?;
    access.show(&volumes, |volumes| {
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("NAME", Align::Left),
            ("STATUS", Align::Left),
            ("GIB", Align::Right),
            ("ATTACHED", Align::Right),
            ("CREATED", Align::Left),
        ]);
        for volume in volumes {
            table.row(&[
                volume.id.clone(),
                volume.name.clone().unwrap_or_default(),
                volume.status.clone(),
                volume.size.to_string(),
                volume.attachments.len().to_string(),
                when(&volume.created_at),
            ]);
        }
        table.render()
    })
}

/// A time of the API without its fraction.
pub(super) fn when(text: &str) -> String {
    text.split('.').next().unwrap_or_default().replace('T', " ")
}

pub(super) fn pairs(metadata: &Metadata) -> String {
    let pairs = metadata.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(", ")
}

fn describe(volume: &Volume) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let attached = volume.attachments.iter().map(|attachment| {
        let host = attachment.host_name.as_deref().unwrap_or("no host");
        format!("{} ({host})", attachment.attachment_id)
    });
    fields(&[
        ("id", volume.id.clone()),
        ("name", text(&volume.name)),
        ("description", text(&volume.description)),
        ("status", volume.status.clone()),
        ("size", format!("{} GiB", volume.size)),
        ("type", text(&volume.volume_type)),
        ("bootable", volume.bootable.clone()),
        ("from snapshot", text(&volume.snapshot_id)),
        ("from volume", text(&volume.source_volid)),
        ("attached", attached.collect::<Vec<_>>().join(", ")),
        ("metadata", pairs(&volume.metadata)),
        ("created", when(&volume.created_at)),
    ])
}

fn create_volume(access: &Access, client: &Client, args: &CreateArgs) -> Result<()> {
    let snapshot = args
        .snapshot
        .as_deref()
        .map(|name| client.find_snapshot(name));
    let snapshot = snapshot.transpose().map_err(failed)?;
    let source = args.source.as_deref().map(|name| client.find_volume(name));
    let source = source.transpose().map_err(failed)?;
    let source_size = snapshot
        .as_ref()
        .map(|snapshot| snapshot.size)
        .or(source.as_ref().map(|volume| volume.size));
    let volume = client.create_volume(VolumeCreate {
        size: args.size.or(source_size),
        name: Some(args.name.clone()),
        description: args.description.clone(),
        volume_type: args.volume_type.clone(),
        snapshot_id: snapshot.map(|snapshot| snapshot.id),
        source_volid: source.map(|volume| volume.id),
        image_ref: args.image.clone(),
        metadata: args.property.iter().cloned().collect(),
        ..VolumeCreate::default()
    });
    let volume = args.wait.volume(client, volume.map_err(failed)?)?;
    access.show(&volume, describe)
}

fn extend_volume(access: &Access, client: &Client, args: &ExtendArgs) -> Result<()> {
    let volume = client.find_volume(&args.volume).map_err(failed)?;
    client
        .extend_volume(&volume.id, args.size)
        .map_err(failed)?;
    let volume = client.volume(&volume.id).map_err(failed)?;
    let volume = args.wait.volume(client, volume)?;
    access.show(&volume, describe)
}

fn set_volume(access: &Access, client: &Client, args: &SetArgs) -> Result<()> {
    if args.name.is_none() && args.description.is_none() && args.property.is_empty() {
        return Err(Exit::Usage.because("nothing to set: give --name, --description or --property"));
    }
    let volume = client.find_volume(&args.volume).map_err(failed)?;
    let mut metadata = volume.metadata;
    metadata.extend(args.property.iter().cloned());
    let update = VolumeUpdate {
        name: args.name.clone().map(Some),
        description: args.description.clone().map(Some),
        metadata: (!args.property.is_empty()).then_some(metadata),
    };
    let volume = client.update_volume(&volume.id, update).map_err(failed)?;
    access.show(&volume, describe)
}
