//! Measures the engine by itself: what changes of volumes and a restart take, what packing costs, and
//! what it does to those who read meanwhile. Prints rows for BENCHMARKS.md.
//!
//!     cargo run --release --package store --example measure -- DIR [SECTION...]
//!
//! DIR is a folder on the file system to measure; what the program makes there it removes again.

mod packing;
mod reads;
mod reclaim;
mod restart;
mod structure;
mod tools;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tools::Outcome;

/// A section's name and work.
type Section = (&'static str, fn(&Path) -> Outcome);

const SECTIONS: [Section; 5] = [
    ("structure", structure::measure),
    ("restart", restart::measure),
    ("packing", packing::measure),
    ("reads", reads::measure),
    ("reclaim", reclaim::measure),
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(dir) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: measure DIR [structure|restart|packing|reads|reclaim]...");
        return ExitCode::from(2);
    };
    let wanted: Vec<String> = arguments
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    if let [fill, bytes] = wanted.as_slice()
        && fill == restart::FILL
    {
        restart::fill(&dir, bytes);
    }
    println!("| what | measured | aim |\n|---|---:|---:|");
    for (name, measure) in SECTIONS {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == name) {
            continue;
        }
        let own = dir.join(format!("measure-{name}"));
        let outcome = measure(&own);
        let removed = std::fs::remove_dir_all(&own);
        if let Err(error) = outcome.and(removed.map_err(Into::into)) {
            eprintln!("{name}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
