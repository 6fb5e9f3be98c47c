//! `cinderblock password reset`: back in when nobody can log in any more.
//!
//! It writes to the catalogue itself, under the lock that a running daemon holds. Who can do that
//! could read all data as well: no password is asked for but the new one.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use api::catalogue::{Catalogue, Options};
use api::fault::FaultKind;
use api::keystone::{Reset, reset_password};
use clap::Subcommand;
use store::disk::RealIo;

use super::output::say;
use super::prompt::new_secret;
use super::{Exit, complain};
use crate::datadir::DataDir;
use crate::serve;

/// The domain that users are in unless told otherwise.
const DEFAULT_DOMAIN: &str = "default";

/// What to do with passwords.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set a new password, asked for or read from standard input; the user's tokens end
    Reset(ResetArgs),
}

#[derive(Debug, clap::Args)]
struct ResetArgs {
    /// Name or id of the user
    user: String,
    /// The data directory; its daemon must be stopped
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The id of the domain of the name
    #[arg(long, value_name = "ID", default_value = DEFAULT_DOMAIN)]
    domain: String,
    /// Let the user log in again if that was disabled
    #[arg(long)]
    enable: bool,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let Command::Reset(args) = &args.command;
    let data = DataDir::new(&args.data);
    let path = data.catalogue();
    if !path.exists() {
        let path = path.display();
        return Err(Exit::NotFound.because(format!("{path}: no catalogue there")));
    }
    let lock = data.lock().map_err(Exit::Refused.wrap())?;
    let password = new_secret("New password")?;
    let catalogue = Catalogue::open_file(&RealIo::new(), &path, Options::default())
        .with_context(|| format!("opening the catalogue {}", path.display()))?;
    let reset = Reset {
        user: &args.user,
        domain_id: &args.domain,
        password: &password,
        enable: args.enable,
    };
    let done = reset_password(&catalogue, reset).map_err(|fault| match fault.kind() {
        FaultKind::NotFound => Exit::NotFound.because(fault.message()),
        FaultKind::BadRequest => Exit::Usage.because(fault.message()),
        _ => anyhow!("{fault}"),
    })?;
    drop(catalogue);
    let of_default = done.domain_id == DEFAULT_DOMAIN;
    if of_default && serve::password_was_reset(&data, &done.name, &password)? {
        say(&format!("{} has it too\n", data.clouds().display()))?;
    }
    drop(lock);
    if !done.enabled {
        complain(format_args!(
            "{} is disabled; --enable lets the user in",
            done.name
        ));
    }
    Ok(())
}
