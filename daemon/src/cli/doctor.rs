//! `cinderblock doctor`: checks without starting anything.

use anyhow::Result;
use serde_json::json;

use super::Exit;
use super::output::say;
use super::serve::SettingArgs;
use crate::doctor::{self, Finding, Level};

/// What to check: the settings as `serve` takes them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the checks; fails when one of them does.
pub(crate) fn run(args: &Args) -> Result<()> {
    let config = args.settings.load()?;
    let findings = doctor::examine(&config);
    let worst = doctor::worst(&findings);
    say(&match args.json {
        true => format!("{:#}\n", json!({"level": worst, "findings": findings})),
        false => findings.iter().map(line).collect(),
    })?;
    match worst {
        Level::Ok | Level::Warning => Ok(()),
        Level::Failed => Err(Exit::Unhealthy.because("the daemon would not run well")),
    }
}

fn line(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Failed => "FAILED",
    };
    format!("{level:<8} {:<20} {}\n", finding.check, finding.message)
}
