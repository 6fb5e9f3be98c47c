//! `cinderblock user`: users through the Identity API.

use anyhow::Result;
use api::client::{Client, UserSpec};
use api::types::identity::User;
use clap::Subcommand;

use super::access::{Access, failed, for_all};
use super::prompt::new_secret;
use super::table::{Align, Table, fields};

/// What to do with users.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    /// The domain of names (name or id)
    #[arg(long, global = true)]
    domain: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List users
    List,
    /// Show a user
    Show {
        /// Name or id
        user: String,
    },
    /// Create a user; the password is asked for, or read from standard input
    Create(CreateArgs),
    /// Change a user
    Set(SetArgs),
    /// Delete users; their tokens end
    Delete {
        /// Names or ids
        #[arg(required = true)]
        users: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// Name
    name: String,
    /// Without a password; such a user cannot log in
    #[arg(long)]
    no_password: bool,
    /// Not to log in yet
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    about: About,
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// Name or id
    user: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// Set a new password, asked for or read from standard input; tokens end
    #[arg(long)]
    password: bool,
    /// Let the user log in
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Keep the user from logging in; tokens end
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    about: About,
}

/// What is told of a user.
#[derive(Debug, clap::Args)]
struct About {
    /// The project that tokens are for unless they say (name or id)
    #[arg(long)]
    project: Option<String>,
    /// Address for mail
    #[arg(long)]
    email: Option<String>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    let domain = domain_of(&client, args.domain.as_deref())?;
    let domain = domain.as_deref();
    let find = |name: &str| client.find_user(name, domain).map_err(failed);
    match &args.command {
        Command::List => {
            let users = client.users(domain).map_err(failed)?;
            access.show(&users, |users| table(users))
        }
        Command::Show { user } => access.show(&find(user)?, describe),
        Command::Create(create) => {
            let mut spec = spec(&client, &create.about, domain)?;
            spec.name = Some(create.name.clone());
            spec.domain_id = domain.map(str::to_owned);
            spec.enabled = Some(!create.disable);
            if !create.no_password {
                spec.password = Some(new_secret("Password")?);
            }
            let user = client.create_user(&spec).map_err(failed)?;
            access.show(&user, describe)
        }
        Command::Set(set) => {
            let user = find(&set.user)?;
            let mut spec = spec(&client, &set.about, domain)?;
            spec.name.clone_from(&set.name);
            spec.enabled = switched(set.enable, set.disable);
            if set.password {
                spec.password = Some(new_secret("New password")?);
            }
            let user = client.update_user(&user.id, &spec).map_err(failed)?;
            access.show(&user, describe)
        }
        Command::Delete { users } => for_all(users, |name| {
            client.delete_user(&find(name)?.id).map_err(failed)
        }),
    }
}

/// The id of the domain that was named, if one was.
pub(super) fn domain_of(client: &Client, name: Option<&str>) -> Result<Option<String>> {
    let found = name.map(|name| client.find_domain(name)).transpose();
    found.map_err(failed)
}

/// What two flags say of being enabled.
pub(super) fn switched(enable: bool, disable: bool) -> Option<bool> {
    (enable || disable).then_some(enable)
}

fn spec(client: &Client, about: &About, domain: Option<&str>) -> Result<UserSpec> {
    let project = about.project.as_deref();
    let project = project.map(|name| client.find_project(name, domain));
    let project = project.transpose().map_err(failed)?;
    Ok(UserSpec {
        default_project_id: project.map(|project| project.id),
        email: about.email.clone(),
        description: about.description.clone(),
        ..UserSpec::default()
    })
}

/// A flag as people say it.
pub(super) fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

fn describe(user: &User) -> String {
    fields(&[
        ("id", user.id.clone()),
        ("name", user.name.clone()),
        ("domain", user.domain_id.clone()),
        ("enabled", yes(user.enabled)),
        (
            "project",
            user.default_project_id.clone().unwrap_or_default(),
        ),
    ])
}

fn table(users: &[User]) -> String {
    in_domains(users.iter().map(|user| {
        let (id, name) = (user.id.clone(), user.name.clone());
        [id, name, user.domain_id.clone(), yes(user.enabled)]
    }))
}

/// A table of what is in domains: id, name, domain and whether it is enabled.
pub(super) fn in_domains(rows: impl Iterator<Item = [String; 4]>) -> String {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("NAME", Align::Left),
        ("DOMAIN", Align::Left),
        ("ENABLED", Align::Left),
    ]);
    rows.for_each(|row| table.row(&row));
    table.render()
}
