//! `cinderblock snapshot`: snapshots through the Block Storage API.

use anyhow::Result;
use api::client::{Client, Reach};
use api::types::cinder::{Snapshot, SnapshotCreate};
use clap::Subcommand;

use super::access::{Access, failed, for_all};
use super::table::{Align, Table, fields};
use super::volume::{pair, pairs, when};
use super::wait::Wait;

/// What to do with snapshots.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List snapshots
    List(ListArgs),
    /// Show a snapshot
    Show {
        /// Name or id
        snapshot: String,
    },
    /// Take a snapshot of a volume, in use or not
    Create(CreateArgs),
    /// Delete snapshots
    Delete(DeleteArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Those of this volume only (name or id)
    #[arg(long)]
    volume: Option<String>,
    /// The snapshots of all projects (admins)
    #[arg(long, alias = "all")]
    all_projects: bool,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The volume (name or id)
    volume: String,
    /// Name of the snapshot
    #[arg(long)]
    name: Option<String>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
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
    snapshots: Vec<String>,
    #[command(flatten)]
    wait: Wait,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    match &args.command {
        Command::List(list) => print_list(access, &client, list),
        Command::Show { snapshot } => {
            let snapshot = client.find_snapshot(snapshot).map_err(failed)?;
            access.show(&snapshot, describe)
        }
        Command::Create(create) => create_snapshot(access, &client, create),
        Command::Delete(delete) => for_all(&delete.snapshots, |name| {
            let snapshot = client.find_snapshot(name).map_err(failed)?;
            client.delete_snapshot(&snapshot.id).map_err(failed)?;
            delete.wait.snapshot_gone(&client, &snapshot.id)
        }),
    }
}

fn print_list(access: &Access, client: &Client, args: &ListArgs) -> Result<()> {
    let reach = if args.all_projects {
        Reach::All
    } else {
        Reach::Project
    };
    let volume = args.volume.as_deref().map(|name| client.find_volume(name));
    let volume = volume.transpose().map_err(failed)?.map(|volume| volume.id);
    let snapshots = client.snapshots(reach, volume.as_deref()).map_err(failed)?;
    access.show(&snapshots, |snapshots| {
        let mut table = Table::new(&[
            ("ID", Align::Left),
            ("NAME", Align::Left),
            ("STATUS", Align::Left),
            ("GIB", Align::Right),
            ("VOLUME", Align::Left),
            ("CREATED", Align::Left),
        ]);
        for snapshot in snapshots {
            table.row(&[
                snapshot.id.clone(),
                snapshot.name.clone().unwrap_or_default(),
                snapshot.status.clone(),
                snapshot.size.to_string(),
                snapshot.volume_id.clone(),
                when(&snapshot.created_at),
            ]);
        }
        table.render()
    })
}

fn describe(snapshot: &Snapshot) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    fields(&[
        ("id", snapshot.id.clone()),
        ("name", text(&snapshot.name)),
        ("description", text(&snapshot.description)),
        ("status", snapshot.status.clone()),
        ("size", format!("{} GiB", snapshot.size)),
        ("volume", snapshot.volume_id.clone()),
        ("metadata", pairs(&snapshot.metadata)),
        ("created", when(&snapshot.created_at)),
    ])
}

fn create_snapshot(access: &Access, client: &Client, args: &CreateArgs) -> Result<()> {
    let volume = client.find_volume(&args.volume).map_err(failed)?;
    let snapshot = client.create_snapshot(SnapshotCreate {
        volume_id: volume.id,
        name: args.name.clone(),
        description: args.description.clone(),
        force: None,
        metadata: args.property.iter().cloned().collect(),
    });
    let snapshot = args.wait.snapshot(client, snapshot.map_err(failed)?)?;
    access.show(&snapshot, describe)
}
