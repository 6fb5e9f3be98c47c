//! `cinderblock doctor`: checks without starting anything.

use std::path::PathBuf;

use anyhow::Result;

use super::Exit;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The data directory
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Runs the checks.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.data.is_dir() {
        return Ok(());
    }
    Err(Exit::Unhealthy.because(format!("{}: no such directory", args.data.display())))
}
