//! `cinderblock cert`: a CA and certificates of hosts, for those who have none.
//!
//! Files have the names that qemu, libnbd and nbdkit look for in a folder:
//!
//! ```text
//! DIR/ca-cert.pem      what clients trust
//! DIR/ca-key.pem       signs; stays where it was made, mode 0600
//! DIR/server-cert.pem  of a host that listens; DIR/server-key.pem, mode 0600
//! DIR/client-cert.pem  of a host that connects; DIR/client-key.pem, mode 0600
//! ```
//!
//! Nothing that is there is overwritten but by `renew`, and a CA not even by that.

mod authority;
mod leaf;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Subcommand, ValueEnum};

use super::output::say;
use authority::Authority;
use leaf::{Leaf, Validity};

/// Days that a CA is good for: ten years.
const CA_DAYS: u32 = 3650;
/// Days that a certificate is good for: what browsers of today still accept, with a month to spare.
const HOST_DAYS: u32 = 365;
/// Days before its end from which on a certificate is renewed.
const RENEW_DAYS: u32 = 30;

/// What to make.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a CA in a folder
    Init(InitArgs),
    /// Make a certificate for a host, signed by the CA of a folder
    Issue(IssueArgs),
    /// Make a certificate last longer, with the same names and the same key
    Renew(RenewArgs),
}

#[derive(Debug, clap::Args)]
struct InitArgs {
    /// Folder of the CA, made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name of the CA
    #[arg(long, default_value = "cinderblock CA")]
    name: String,
    /// Days it is good for
    #[arg(long, default_value_t = CA_DAYS, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
}

/// Which certificate, and where.
#[derive(Debug, clap::Args)]
struct Place {
    /// Folder of the CA
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Folder of the certificate and its key, if it is not that of the CA
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Whether the host listens or connects
    #[arg(long, value_enum, default_value_t = Kind::Server)]
    kind: Kind,
    /// Days the certificate is good for
    #[arg(long, default_value_t = HOST_DAYS, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

impl Place {
    fn leaf(&self) -> Leaf {
        Leaf::new(self.out.as_deref().unwrap_or(&self.dir), self.kind)
    }
}

#[derive(Debug, clap::Args)]
struct IssueArgs {
    #[command(flatten)]
    place: Place,
    /// Names and addresses that the host is reached by
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct RenewArgs {
    #[command(flatten)]
    place: Place,
    /// Do nothing while the certificate is good for more days than these
    #[arg(long, value_name = "DAYS", default_value_t = RENEW_DAYS)]
    before_days: u32,
    /// Make a new key too
    #[arg(long)]
    new_key: bool,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A host that listens: HTTP, NBD.
    Server,
    /// A host that connects, where it has to say who it is.
    Client,
}

/// Runs the chosen subcommand.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Init(args) => init(args),
        Command::Issue(args) => issue(args),
        Command::Renew(args) => renew(args),
    }
}

fn init(args: &InitArgs) -> Result<()> {
    let authority = Authority::create(&args.dir, &args.name, Validity::days(args.days))?;
    told(&authority.certificate_path(), "give it to all who connect")
}

fn issue(args: &IssueArgs) -> Result<()> {
    let authority = Authority::open(&args.place.dir)?;
    let leaf = args.place.leaf();
    leaf.issue(&authority, &args.names, Validity::days(args.place.days))?;
    told(leaf.certificate(), "its key is beside it")
}

fn renew(args: &RenewArgs) -> Result<()> {
    let leaf = args.place.leaf();
    let left_days = leaf.left_days()?;
    let path = leaf.certificate().display();
    if left_days > i64::from(args.before_days) {
        return say(&format!("{path} is good for {left_days} more days\n"));
    }
    let authority = Authority::open(&args.place.dir)?;
    leaf.renew(&authority, Validity::days(args.place.days), args.new_key)?;
    told(leaf.certificate(), "have the daemon read it with SIGHUP")
}

fn told(path: &Path, what: &str) -> Result<()> {
    say(&format!("{}: {what}\n", path.display()))
}
