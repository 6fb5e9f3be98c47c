//! The command line: one variant a subcommand, one file a variant.
//!
//! A subcommand is a `clap::Args` struct and a `run(args) -> anyhow::Result<()>`. To end with another
//! exit code than 1, make the error with [`Exit::because`].

mod access;
mod attachment;
mod cert;
mod check;
mod completions;
mod credentials;
mod doctor;
mod exit;
mod explain;
mod interrupt;
mod mount;
mod openapi;
mod output;
mod password;
mod project;
mod prompt;
mod rebuild;
mod role;
mod scrub;
mod serve;
mod snapshot;
mod status;
mod table;
mod token;
mod tui;
mod user;
mod volume;
mod wait;

use anyhow::Result;
use clap::{Parser, Subcommand};

pub(crate) use exit::Exit;
pub(crate) use output::complain;

/// Block storage with deduplication: a daemon, its command line and its console.
#[derive(Debug, Parser)]
#[command(name = "cinderblock", version, max_term_width = 100, after_help = exit::HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the storage daemon
    Serve(Box<serve::Args>),
    /// Create, list, change, import and export volumes
    Volume(Box<volume::Args>),
    /// Take, list and delete snapshots
    Snapshot(Box<snapshot::Args>),
    /// Open volumes to hosts
    Attachment(Box<attachment::Args>),
    /// Create, list, change and delete users
    User(Box<user::Args>),
    /// Create, list, change and delete projects
    Project(Box<project::Args>),
    /// List roles, and give them to users
    Role(Box<role::Args>),
    /// Issue and revoke tokens
    Token(Box<token::Args>),
    /// Set a user's password on a data directory whose daemon is stopped
    Password(password::Args),
    /// Write a clouds.yaml or an openrc for other clients
    Credentials(Box<credentials::Args>),
    /// Show health, space and what the pool holds
    Status(status::Args),
    /// Pack all data and give unused space back
    Reclaim(status::Args),
    /// Show what a volume shares with whom, what its snapshots cost, and what deleting frees
    Explain(explain::Args),
    /// Build lost or damaged metadata again, from dumps and data; the daemon must be stopped
    Rebuild(rebuild::Args),
    /// Read and verify all that is stored, in the background of a running daemon
    Scrub(scrub::Args),
    /// Check a pool that no daemon has open, without changing it
    Check(Box<check::Args>),
    /// Show the snapshots of all volumes as files in a folder
    Mount(mount::Args),
    /// Check a data directory and its configuration without starting anything
    Doctor(Box<doctor::Args>),
    /// Make a CA, and certificates for hosts
    Cert(cert::Args),
    /// Watch the pool and its volumes in a console
    Tui(tui::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the OpenAPI document of all services
    Openapi(openapi::Args),
}

/// Runs the chosen subcommand.
pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Serve(args) => serve::run(&args),
        Command::Volume(args) => volume::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Attachment(args) => attachment::run(&args),
        Command::User(args) => user::run(&args),
        Command::Project(args) => project::run(&args),
        Command::Role(args) => role::run(&args),
        Command::Token(args) => token::run(&args),
        Command::Password(args) => password::run(&args),
        Command::Credentials(args) => credentials::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Reclaim(args) => status::reclaim(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Rebuild(args) => rebuild::run(&args),
        Command::Scrub(args) => scrub::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Tui(args) => tui::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Mount(args) => mount::run(&args),
        Command::Doctor(args) => doctor::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
