//! `cinderblock completions`: scripts that teach a shell this command line.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::output::say;

/// For which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut script = Vec::new();
    generate(
        args.shell,
        &mut super::Cli::command(),
        "cinderblock",
        &mut script,
    );
    say(&String::from_utf8(script)?)
}
