//! `cinderblock explain`: where a volume's space goes.

use std::time::Duration;

use anyhow::Result;
use api::types::native::{SpaceTaken, VolumeSpace};
use tui::units::{bytes, plain};

use super::access::{Access, failed};
use super::table::{Align, Table};

/// The daemon reads the whole map of a pool: some ten seconds for each TiB.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// Others that are listed; JSON has them all.
const SHARED_SHOWN: usize = 20;

/// Which volume.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Name or id
    volume: String,
}

/// Prints where the space of a volume goes.
pub(crate) fn run(args: &Args) -> Result<()> {
    let client = args.access.client_within(TIMEOUT)?;
    let volume = client.find_volume(&args.volume).map_err(failed)?;
    let space = client.volume_space(&volume.id).map_err(failed)?;
    args.access.show(&space, describe)
}

fn describe(space: &VolumeSpace) -> String {
    let line = |name: &str, size: u64, note: &str| {
        let line = format!("{name:<22}  {:>10}  {note}", bytes(size));
        format!("{}\n", line.trim_end())
    };
    let frees = |name: &str, taken: &SpaceTaken| line(name, on_disk(taken), &unpacked(taken));
    let mut text = [
        line("logical", space.logical_bytes, "what the guest sees"),
        line("referenced", space.referenced_bytes, "mapped"),
        line("unique", space.unique_bytes, "distinct"),
        frees("on disk", &space.holds),
        frees("deleting it frees", &space.frees),
        frees("with its snapshots", &space.frees_with_snapshots),
    ]
    .concat();
    if !space.snapshots.is_empty() {
        text.push('\n');
        text.push_str(&snapshots(space));
    }
    if !space.shared.is_empty() {
        text.push('\n');
        text.push_str(&shared(space));
    }
    text
}

fn on_disk(taken: &SpaceTaken) -> u64 {
    taken.stored_bytes + taken.raw_bytes
}

fn unpacked(taken: &SpaceTaken) -> String {
    match taken.raw_bytes {
        0 => String::new(),
        raw => format!("{} of it not packed yet", bytes(raw)),
    }
}

fn snapshots(space: &VolumeSpace) -> String {
    let mut table = Table::new(&[
        ("SNAPSHOT", Align::Left),
        ("NAME", Align::Left),
        ("REFERENCED", Align::Right),
        ("DELETING FREES", Align::Right),
    ]);
    for snapshot in &space.snapshots {
        table.row(&[
            snapshot.id.clone(),
            snapshot.name.clone(),
            bytes(snapshot.referenced_bytes),
            bytes(on_disk(&snapshot.frees)),
        ]);
    }
    table.render()
}

fn shared(space: &VolumeSpace) -> String {
    let mut table = Table::new(&[
        ("SHARED WITH", Align::Left),
        ("NAME", Align::Left),
        ("PROJECT", Align::Left),
        ("BYTES", Align::Right),
    ]);
    for other in space.shared.iter().take(SHARED_SHOWN) {
        table.row(&[
            format!("{} {}", plain(&other.kind), other.id),
            other.name.clone(),
            other.project_id.clone(),
            bytes(other.bytes),
        ]);
    }
    let mut text = table.render();
    let shown = space.shared.len().min(SHARED_SHOWN) as u64;
    let more = space.shared.len() as u64 + space.shared_omitted - shown;
    if more > 0 {
        text.push_str(&format!("and {more} more\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use api::types::native::{SharedSpace, SpaceTaken, VolumeSpace};

    use super::describe;

    #[test]
    fn sizes_are_aligned_and_long_lists_are_cut() {
        let frees = SpaceTaken {
            plain_bytes: 3 << 20,
            stored_bytes: 1 << 20,
            raw_bytes: 1 << 20,
        };
        let text = describe(&VolumeSpace {
            logical_bytes: 1 << 30,
            frees,
            shared: vec![SharedSpace::default(); 25],
            shared_omitted: 2,
            ..VolumeSpace::default()
        });
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
        let end = |start| line(start).find("iB").unwrap();
        assert_eq!(end("logical"), end("deleting it frees"));
        assert!(line("deleting it frees").ends_with("2.00 MiB  1.00 MiB of it not packed yet"));
        assert!(text.ends_with("and 7 more\n"), "{text}");
    }
}
