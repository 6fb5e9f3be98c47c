//! `cinderblock rebuild`: metadata from dumps, data and log, when its files are lost or damaged.
//!
//! The daemon must be stopped. What was there before is set aside, never removed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Error, Result};
use api::catalogue;
use clap::ArgGroup;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::disk::{Io, RealIo};
use store::{Disk, LogUse, OpenOptions, Rebuilt, RebuiltDisk};
use tui::units::bytes;

use super::Exit;
use super::output::say;
use super::table::{Align, Table};
use crate::datadir::DataDir;

/// What to build again.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true))]
pub(crate) struct Args {
    /// The index of the pool in this folder, such as DATA/pool
    #[arg(long, value_name = "DIR", group = "what")]
    pool: Option<PathBuf>,
    /// The catalogue of this data directory
    #[arg(long, value_name = "DATA", group = "what")]
    catalogue: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Builds, and says what each thing is as of. Fails where something cannot be read any more.
pub(crate) fn run(args: &Args) -> Result<()> {
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let (mut told, mut text) = (json!({}), String::new());
    let mut is_whole = true;
    if let Some(dir) = &args.catalogue {
        let data = DataDir::new(dir);
        let _lock = data.lock().map_err(Exit::Refused.wrap())?;
        let restored = catalogue::rebuild(&*io, &data.catalogue()).map_err(of_catalogue)?;
        told["catalogue"] = json!({
            "as_of_us": restored.as_of_us,
            "notes": restored.notes,
            "set_aside": restored.set_aside,
        });
        text.push_str(&format!("catalogue as of {}\n", time(restored.as_of_us)));
        text.push_str(&notes(&restored.notes, restored.set_aside.as_ref()));
    }
    if let Some(dir) = &args.pool {
        let rebuilt = store::rebuild(&io, dir, OpenOptions::default()).map_err(of_pool)?;
        let newest = rebuilt.log == LogUse::Applied || rebuilt.notes.is_empty();
        is_whole = rebuilt.log != LogUse::SetAside && newest && lost(&rebuilt) == 0;
        told["pool"] = shape(&rebuilt);
        text.push_str(&describe(&rebuilt));
    }
    match args.json {
        true => say(&format!("{told:#}\n"))?,
        false => say(&text)?,
    }
    match is_whole {
        true => Ok(()),
        false => Err(Exit::Unhealthy.because("not everything that was there could be found again")),
    }
}

fn of_catalogue(error: catalogue::Error) -> Error {
    match error.kind() {
        catalogue::ErrorKind::NotFound => Exit::NotFound.because(error),
        _ => error.into(),
    }
}

fn of_pool(error: store::Error) -> Error {
    match error.kind() {
        store::ErrorKind::NotFound => Exit::NotFound.because(error),
        store::ErrorKind::Busy => Exit::Refused.because(error),
        _ => error.into(),
    }
}

fn time(us: u64) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    let time = Timestamp::from_microsecond(us).unwrap_or(Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn lost(rebuilt: &Rebuilt) -> u64 {
    rebuilt.disks.iter().map(|disk| disk.lost_bytes).sum()
}

fn name(disk: Disk) -> (&'static str, String) {
    match disk {
        Disk::Volume(id) => ("volume", id.to_string()),
        Disk::Snapshot(id) => ("snapshot", id.to_string()),
    }
}

fn shape(rebuilt: &Rebuilt) -> Value {
    let disk = |disk: &RebuiltDisk| {
        let (kind, id) = name(disk.disk);
        json!({
            "kind": kind,
            "id": id,
            "size_bytes": disk.size_bytes,
            "lost_bytes": disk.lost_bytes,
        })
    };
    json!({
        "as_of_us": rebuilt.as_of_us,
        "log": match rebuilt.log {
            LogUse::Applied => "applied",
            LogUse::Absent => "absent",
            LogUse::SetAside => "set aside",
        },
        "disks": rebuilt.disks.iter().map(disk).collect::<Vec<_>>(),
        "containers_lost": rebuilt.containers_lost,
        "notes": rebuilt.notes,
        "set_aside": rebuilt.set_aside,
    })
}

fn describe(rebuilt: &Rebuilt) -> String {
    let moment = time(rebuilt.as_of_us);
    let mut text = match rebuilt.log {
        LogUse::Applied => format!("pool as of {moment} plus the log to its end\n"),
        LogUse::Absent => format!("pool as of {moment}; there is no log behind that\n"),
        LogUse::SetAside => format!(
            "pool as of {moment}; the log does not follow it without a gap and is set aside: what was \
             written since then is lost, and what was deleted since then is back\n"
        ),
    };
    if rebuilt.containers_lost > 0 {
        text.push_str(&format!(
            "{} containers are missing\n",
            rebuilt.containers_lost
        ));
    }
    text.push_str(&notes(&rebuilt.notes, rebuilt.set_aside.as_ref()));
    text.push_str(&disks(rebuilt, &moment));
    text
}

fn notes(notes: &[String], set_aside: Option<&PathBuf>) -> String {
    let mut text: String = notes
        .iter()
        .map(|note| format!("not used: {note}\n"))
        .collect();
    if let Some(path) = set_aside {
        text.push_str(&format!("set aside: {}\n", path.display()));
    }
    text
}

fn disks(rebuilt: &Rebuilt, moment: &str) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("ID", Align::Left),
        ("SIZE", Align::Right),
        ("AS OF", Align::Left),
        ("CANNOT BE READ", Align::Right),
    ]);
    let plus = match rebuilt.log {
        LogUse::Applied => " plus log",
        LogUse::Absent | LogUse::SetAside => "",
    };
    for disk in &rebuilt.disks {
        let (kind, id) = name(disk.disk);
        table.row(&[
            kind.to_owned(),
            id,
            bytes(disk.size_bytes),
            format!("{moment}{plus}"),
            bytes(disk.lost_bytes),
        ]);
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use store::{Disk, LogUse, Rebuilt, RebuiltDisk, VolumeId};
    use uuid::Uuid;

    use super::describe;

    #[test]
    fn each_disk_says_what_it_is_as_of() {
        let disk = RebuiltDisk {
            disk: Disk::Volume(VolumeId(Uuid::nil())),
            size_bytes: 1 << 30,
            lost_bytes: 4096,
        };
        let mut rebuilt = Rebuilt {
            as_of_us: 1_000_000,
            log: LogUse::Applied,
            disks: vec![disk],
            containers_lost: 0,
            notes: vec!["a dump".to_owned()],
            set_aside: None,
        };
        let text = describe(&rebuilt);
        let line = text.lines().last().unwrap();
        assert!(line.contains("1970-01-01T00:00:01Z plus log"), "{text}");
        assert!(line.ends_with("4.00 KiB"), "{text}");
        assert!(text.contains("not used: a dump\n"));
        rebuilt.log = LogUse::SetAside;
        let text = describe(&rebuilt);
        assert!(
            !text.contains("plus log") && text.contains("is lost"),
            "{text}"
        );
    }
}
