//! `cinderblock mount`: snapshots as files.

use std::path::PathBuf;

use anyhow::{Context, Result};
use api::client::Source;

use super::Exit;
use crate::config::{LogConfig, LogFormat};
use crate::datadir::DataDir;
use crate::log;
use crate::snapfs::{self, MountOptions};

/// What to mount where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The empty folder to mount on
    dir: PathBuf,
    /// The data directory of the daemon, for its socket and credentials
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The daemon's unix socket, if not the one that the data directory tells
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Take names from this cloud of clouds.yaml instead
    #[arg(long, value_name = "NAME", conflicts_with = "data")]
    os_cloud: Option<String>,
    /// Let other users of this machine read the files too
    #[arg(long)]
    allow_other: bool,
    /// End when standard input closes
    #[arg(long, hide = true)]
    while_stdin_open: bool,
    /// error, warn, info, debug or trace
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "CINDERBLOCK_LOG_LEVEL"
    )]
    log_level: String,
}

/// Serves the mount until it is unmounted or told to stop.
pub(crate) fn run(args: &Args) -> Result<()> {
    log::start(&LogConfig {
        format: LogFormat::Text,
        level: args.log_level.clone(),
    })?;
    snapfs::run(MountOptions {
        dir: std::path::absolute(&args.dir)?,
        socket: socket(args)?,
        source: Source {
            cloud: args.os_cloud.clone(),
            data_dir: args.data.clone(),
        },
        allow_other: args.allow_other,
        while_stdin_open: args.while_stdin_open,
    })
    .map(drop)
}

fn socket(args: &Args) -> Result<PathBuf> {
    let path = match (&args.socket, &args.data) {
        (Some(socket), _) => socket.clone(),
        (None, Some(data)) => {
            let running = DataDir::new(data).read_run_info()?;
            running.map_or_else(|| data.join("nbd.sock"), |running| running.nbd_socket)
        }
        (None, None) => {
            return Err(
                Exit::Usage.because("name the data directory (--data) or the socket (--socket)")
            );
        }
    };
    std::path::absolute(&path).with_context(|| path.display().to_string())
}
