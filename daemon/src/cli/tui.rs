//! `cinderblock tui`: the console.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Result;

use super::Exit;
use super::access::Access;
use super::interrupt::Interrupt;

/// A console that hangs tells nothing: requests end early and are made again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Which daemon, and how often to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// Milliseconds between two looks
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    interval_ms: u64,
}

/// Runs the console until it is left.
pub(crate) fn run(args: &Args) -> Result<()> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(Exit::Usage.because("the console needs a terminal"));
    }
    let client = args.access.client_within(REQUEST_TIMEOUT)?;
    let options = tui::Options {
        interval: Duration::from_millis(args.interval_ms),
        stop: Interrupt::listen()?.flag(),
        ..tui::Options::from_env()
    };
    tui::run(client, &options)
}
