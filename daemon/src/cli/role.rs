//! `cinderblock role`: roles, and who has them, through the Identity API.

use anyhow::Result;
use api::client::{Client, Target};
use api::types::identity::Role;
use clap::Subcommand;

use super::Exit;
use super::access::{Access, failed, for_all};
use super::table::{Align, Table, fields};
use super::user::domain_of;

/// What to do with roles.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List roles, all or those of a user
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Show a role
    Show {
        /// Name or id
        role: String,
    },
    /// Create a role
    Create {
        /// Name
        name: String,
        /// A text for people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Delete roles; whoever has them loses them
    Delete {
        /// Names or ids
        #[arg(required = true)]
        roles: Vec<String>,
    },
    /// Give a user a role
    Add {
        /// Name or id
        role: String,
        #[command(flatten)]
        of: Of,
    },
    /// Take a role of a user; tokens lose it at once
    Remove {
        /// Name or id
        role: String,
        #[command(flatten)]
        of: Of,
    },
}

/// A user and where the user has roles.
#[derive(Debug, clap::Args)]
struct Of {
    /// The user (name or id)
    #[arg(long)]
    user: Option<String>,
    /// The domain of the user's name (name or id)
    #[arg(long, value_name = "DOMAIN", requires = "user")]
    user_domain: Option<String>,
    /// On this project (name or id)
    #[arg(long, requires = "user")]
    project: Option<String>,
    /// The domain of the project's name (name or id)
    #[arg(long, value_name = "DOMAIN", requires = "project")]
    project_domain: Option<String>,
    /// On this domain (name or id)
    #[arg(long, requires = "user", conflicts_with = "project")]
    domain: Option<String>,
    /// On the whole system
    #[arg(long, requires = "user", conflicts_with_all = ["project", "domain"])]
    system: bool,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    let find = |name: &str| client.find_role(name).map_err(failed);
    match &args.command {
        Command::List { of } => {
            let roles = match of.find(&client)? {
                Some((user, target)) => client.roles_of(&user, &target),
                None => client.roles(),
            };
            access.show(&roles.map_err(failed)?, |roles| table(roles))
        }
        Command::Show { role } => access.show(&find(role)?, describe),
        Command::Create { name, description } => {
            let role = client.create_role(name, description.as_deref());
            access.show(&role.map_err(failed)?, describe)
        }
        Command::Delete { roles } => for_all(roles, |name| {
            client.delete_role(&find(name)?.id).map_err(failed)
        }),
        Command::Add { role, of } => {
            let (user, target) = of.required(&client)?;
            let role = find(role)?;
            client.grant_role(&role.id, &user, &target).map_err(failed)
        }
        Command::Remove { role, of } => {
            let (user, target) = of.required(&client)?;
            let role = find(role)?;
            client.revoke_role(&role.id, &user, &target).map_err(failed)
        }
    }
}

impl Of {
    /// The user's id and the target; `None` when no user was named.
    fn find(&self, client: &Client) -> Result<Option<(String, Target)>> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let domain = domain_of(client, self.user_domain.as_deref())?;
        let user = client.find_user(user, domain.as_deref()).map_err(failed)?;
        let target = match (&self.project, &self.domain) {
            (Some(name), _) => {
                let domain = domain_of(client, self.project_domain.as_deref())?;
                let project = client.find_project(name, domain.as_deref());
                Target::Project(project.map_err(failed)?.id)
            }
            (None, Some(name)) => Target::Domain(client.find_domain(name).map_err(failed)?),
            (None, None) if self.system => Target::System,
            (None, None) => {
                return Err(Exit::Usage.because("say where: --project, --domain or --system"));
            }
        };
        Ok(Some((user.id, target)))
    }

    fn required(&self, client: &Client) -> Result<(String, Target)> {
        let missing = || Exit::Usage.because("say who: --user");
        self.find(client)?.ok_or_else(missing)
    }
}

fn describe(role: &Role) -> String {
    fields(&[
        ("id", role.id.clone()),
        ("name", role.name.clone()),
        ("domain", role.domain_id.clone().unwrap_or_default()),
        ("description", role.description.clone().unwrap_or_default()),
    ])
}

fn table(roles: &[Role]) -> String {
    let mut table = Table::new(&[("ID", Align::Left), ("NAME", Align::Left)]);
    for role in roles {
        table.row(&[role.id.clone(), role.name.clone()]);
    }
    table.render()
}
