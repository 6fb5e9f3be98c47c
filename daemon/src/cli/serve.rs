//! `cinderblock serve`: the daemon.

use std::path::PathBuf;

use anyhow::Result;

use super::Exit;

/// Where the configuration comes from: a file, then `CINDERBLOCK_*`, then these flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep everything in this directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.config.is_none() && args.data.is_none() {
        return Err(Exit::Usage.because("name a directory (--data DIR) or a file (--config FILE)"));
    }
    Err(Exit::Failure.because("this build has no storage engine"))
}
