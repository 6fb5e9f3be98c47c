//! `cinderblock serve`: the daemon.

use std::path::PathBuf;

use anyhow::Result;

use super::Exit;
use super::output::say;
use crate::config::{self, Config, Flag};
use crate::serve;

/// Where the settings come from: a file, then `CINDERBLOCK_*`, then these flags.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingArgs,
    /// Print every setting with its meaning and default as a TOML file, and end
    #[arg(long)]
    print_config: bool,
}

/// The settings of a daemon as flags; `doctor` takes the same.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep everything in this directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Address of the API; port 0 picks one
    #[arg(long, value_name = "ADDR:PORT")]
    http: Option<String>,
    /// Address for hosts to attach volumes at; port 0 picks one
    #[arg(long, value_name = "ADDR:PORT")]
    nbd: Option<String>,
    /// Unix socket for operators
    #[arg(long, value_name = "PATH")]
    nbd_socket: Option<String>,
    /// Address that attachments tell hosts
    #[arg(long, value_name = "HOST[:PORT]")]
    nbd_advertise: Option<String>,
    /// URL under which clients reach the API
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Loopback address that answers /metrics without a token
    #[arg(long, value_name = "ADDR:PORT")]
    metrics: Option<String>,
    /// Show snapshots as files in this folder
    #[arg(long, value_name = "DIR")]
    mount: Option<String>,
    /// Let listeners be other than loopback, without encryption
    #[arg(long)]
    allow_plaintext: bool,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl SettingArgs {
    /// The configuration that these flags, the file and the environment make.
    pub(crate) fn load(&self) -> Result<Config> {
        let variables = std::env::vars_os();
        Config::load(self.config.as_deref(), variables, &self.flags()).map_err(Exit::Usage.wrap())
    }

    fn flags(&self) -> Vec<Flag> {
        let plaintext = self.allow_plaintext.then(|| "true".to_owned());
        let all = [
            ("data", &self.data, "--data"),
            ("http.listen", &self.http, "--http"),
            ("nbd.listen", &self.nbd, "--nbd"),
            ("nbd.socket", &self.nbd_socket, "--nbd-socket"),
            ("nbd.advertise", &self.nbd_advertise, "--nbd-advertise"),
            ("public_url", &self.public_url, "--public-url"),
            ("metrics.listen", &self.metrics, "--metrics"),
            ("mount", &self.mount, "--mount"),
            ("allow_plaintext", &plaintext, "--allow-plaintext"),
            ("log.level", &self.log_level, "--log-level"),
        ];
        all.into_iter()
            .filter_map(|(key, text, flag)| Some((key, text.clone()?, flag)))
            .collect()
    }
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(args: &Args) -> Result<()> {
    if args.print_config {
        return say(&config::documentation());
    }
    serve::run(&args.settings.load()?)
}
