//! `cinderblock openapi`: the OpenAPI document, as the daemon serves it at `/openapi.json`.

use anyhow::Result;

use super::output::say;

/// No options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Prints the document, as JSON for readers.
pub(crate) fn run(_args: &Args) -> Result<()> {
    let text = serde_json::to_string_pretty(api::openapi::document())?;
    say(&format!("{text}\n"))
}
