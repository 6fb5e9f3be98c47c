//! `cinderblock project`: projects through the Identity API.

use anyhow::Result;
use api::client::ProjectSpec;
use api::types::identity::Project;
use clap::Subcommand;

use super::access::{Access, failed, for_all};
use super::table::fields;
use super::user::{domain_of, in_domains, switched, yes};

/// What to do with projects.
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
    /// List projects
    List,
    /// Show a project
    Show {
        /// Name or id
        project: String,
    },
    /// Create a project
    Create {
        /// Name
        name: String,
        /// A text for people
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Change a project
    Set(SetArgs),
    /// Delete projects; tokens for them end
    Delete {
        /// Names or ids
        #[arg(required = true)]
        projects: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// Name or id
    project: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// A text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Let it be used
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Keep it from being used; tokens for it end
    #[arg(long)]
    disable: bool,
}

/// Runs the chosen command.
pub(crate) fn run(args: &Args) -> Result<()> {
    let access = &args.access;
    let client = access.client()?;
    let domain = domain_of(&client, args.domain.as_deref())?;
    let domain = domain.as_deref();
    let find = |name: &str| client.find_project(name, domain).map_err(failed);
    match &args.command {
        Command::List => {
            let projects = client.projects(domain).map_err(failed)?;
            access.show(&projects, |projects| table(projects))
        }
        Command::Show { project } => access.show(&find(project)?, describe),
        Command::Create { name, description } => {
            let spec = ProjectSpec {
                name: Some(name.clone()),
                domain_id: domain.map(str::to_owned),
                description: description.clone(),
                enabled: None,
            };
            let project = client.create_project(&spec).map_err(failed)?;
            access.show(&project, describe)
        }
        Command::Set(set) => {
            let spec = ProjectSpec {
                name: set.name.clone(),
                domain_id: None,
                description: set.description.clone(),
                enabled: switched(set.enable, set.disable),
            };
            let project = find(&set.project)?;
            let project = client.update_project(&project.id, &spec).map_err(failed)?;
            access.show(&project, describe)
        }
        Command::Delete { projects } => for_all(projects, |name| {
            client.delete_project(&find(name)?.id).map_err(failed)
        }),
    }
}

fn describe(project: &Project) -> String {
    fields(&[
        ("id", project.id.clone()),
        ("name", project.name.clone()),
        ("domain", project.domain_id.clone().unwrap_or_default()),
        ("enabled", yes(project.enabled)),
        (
            "description",
            project.description.clone().unwrap_or_default(),
        ),
    ])
}

fn table(projects: &[Project]) -> String {
    in_domains(projects.iter().map(|project| {
        let (id, name) = (project.id.clone(), project.name.clone());
        let domain = project.domain_id.clone().unwrap_or_default();
        [id, name, domain, yes(project.enabled)]
    }))
}
