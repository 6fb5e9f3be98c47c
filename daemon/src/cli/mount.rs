//! `cinderblock mount`: snapshots as files.

use std::path::PathBuf;

use anyhow::Result;

use super::Exit;

/// What to mount where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to mount on
    dir: PathBuf,
}

/// Serves the mount until it is unmounted or told to stop.
pub(crate) fn run(args: &Args) -> Result<()> {
    let dir = args.dir.display();
    Err(Exit::Failure.because(format!("{dir}: this build has no mount")))
}
