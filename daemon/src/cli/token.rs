//! `cinderblock token`: tokens of the Identity API, for programs that have no client.
//!
//! A token is printed because it was asked for; one to be revoked is read like a password.

use anyhow::Result;
use clap::Subcommand;

use super::access::{Access, failed};
use super::prompt::secret;
use super::table::fields;

/// What to do with tokens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a token with the cloud's credentials, and print it
    Issue,
    /// End a token, asked for or read from standard input
    Revoke,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    match &args.command {
        Command::Issue => {
            let token = client.token().map_err(failed)?;
            access.show(&token, |token| {
                fields(&[
                    ("id", token.id.clone()),
                    ("expires", token.expires_at.clone()),
                    ("user", token.user_id.clone()),
                    ("project", token.project_id.clone().unwrap_or_default()),
                ])
            })
        }
        Command::Revoke => client.revoke_token(&secret("Token")?).map_err(failed),
    }
}
