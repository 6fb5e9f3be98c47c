//! `cinderblock check`: whether a pool is whole, without changing it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde_json::json;
use store::disk::{Io, RealIo};
use store::{CheckReport, Damage, ErrorKind};
use tui::units::{bytes, plain};

use super::Exit;
use super::output::say;
use super::serve::SettingArgs;

/// Shown below `--help`.
const HELP: &str = "Exit codes: 0 nothing is wrong, 6 there is damage, 3 there is no pool, 4 a program has \
    it open, 1 it could not be checked";

/// Which pool.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// Check the pool in this directory, not those of the settings
    #[arg(long, value_name = "DIR")]
    pool: Option<PathBuf>,
    /// File with the master key of encrypted volumes, with --pool
    #[arg(long, value_name = "FILE", requires = "pool")]
    master_key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Checks; says what was looked at and what was found.
pub(crate) fn run(args: &Args) -> Result<()> {
    let io: Arc<dyn Io> = Arc::new(RealIo::new());
    let mut reports = Vec::new();
    for (directory, master_key) in pools(args)? {
        let checked = store::check(&io, &directory, master_key);
        let report = checked.map_err(|error| {
            let exit = match error.kind() {
                ErrorKind::NotFound => Exit::NotFound,
                ErrorKind::Busy => Exit::Refused,
                _ => Exit::Failure,
            };
            let shown = directory.display();
            exit.because(format!("{shown} could not be checked: {error}"))
        })?;
        reports.push((directory, report));
    }
    say(&match args.json {
        true => {
            let shown = |(directory, report): &(PathBuf, CheckReport)| json!({"pool": directory, "report": report});
            let pools: Vec<_> = reports.iter().map(shown).collect();
            format!("{:#}\n", json!({"pools": pools}))
        }
        false => reports
            .iter()
            .map(|(dir, report)| describe(dir, report))
            .collect(),
    })?;
    match reports.iter().all(|(_, report)| report.damages.is_empty()) {
        true => Ok(()),
        false => Err(Exit::Unhealthy.because("there is damage")),
    }
}

/// Folders of pools, each with the file of its master key.
fn pools(args: &Args) -> Result<Vec<(PathBuf, PathBuf)>> {
    if let Some(pool) = &args.pool {
        let beside = || pool.parent().unwrap_or(pool).join("master.key");
        let key = args.master_key.clone().unwrap_or_else(beside);
        return Ok(vec![(pool.clone(), key)]);
    }
    let config = args.settings.load()?;
    let folders = config
        .backends
        .iter()
        .map(|backend| backend.directory.clone());
    Ok(folders
        .map(|folder| (folder, config.master_key.clone()))
        .collect())
}

fn describe(directory: &Path, report: &CheckReport) -> String {
    let (shown, seen) = (directory.display(), &report.verified);
    let mut text = format!("{}\n", plain(&shown.to_string()));
    if report.opens {
        let _ = writeln!(
            text,
            "  opens: {} volumes, {} snapshots, {} layers; its journal replays\n  \
               read: {} in {} pages of metadata, {} runs, {} forwarding rows, {} blocks of the\n        \
               journal, {} containers with {} chunks ({} of them by checksums alone)",
            report.volumes,
            report.snapshots,
            report.layers,
            bytes(seen.bytes),
            seen.metadata_pages,
            seen.runs,
            report.forwards,
            seen.journal_blocks,
            seen.containers,
            seen.chunks,
            seen.sealed_containers,
        );
    } else {
        let _ = writeln!(
            text,
            "  does NOT open; read: {} in {} containers, by their own checksums",
            bytes(seen.bytes),
            seen.containers,
        );
    }
    let _ = writeln!(text, "  metadata dumps: {} files are whole", report.dumps);
    for why in &report.unchecked {
        let _ = writeln!(text, "  not checked: {}", plain(why));
    }
    for damage in &report.damages {
        text.push_str(&describe_damage(damage));
    }
    if report.damages.is_empty() {
        text.push_str("  nothing is wrong\n");
    }
    text
}

fn describe_damage(damage: &Damage) -> String {
    let mut text = format!("  DAMAGED  {}\n", plain(&damage.message));
    for part in &damage.affected {
        let disk = match part.snapshot {
            Some(snapshot) => format!("snapshot {snapshot}"),
            None => format!("volume {}", part.volume),
        };
        let _ = writeln!(
            text,
            "           {disk}, {} bytes at {}",
            part.len, part.offset
        );
    }
    if damage.more {
        text.push_str("           and more\n");
    }
    text
}
