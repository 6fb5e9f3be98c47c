//! Checks of the Keystone and the Glance elsewhere: they answer, take us for what we are, and lead
//! clients here.

use anyhow::Result;
use api::clock::Clock;
use api::external::Check;

use super::{Finding, Level};
use crate::config::Config;
use crate::{elsewhere, serve};

/// What a Keystone and a Glance elsewhere have to say of us; nothing where there are none.
pub(super) fn pairing(config: &Config) -> Vec<Finding> {
    let finding = |check: Check| match check.found {
        Ok(message) => Finding::new(check.name, Level::Ok, message),
        Err(message) => Finding::new(check.name, Level::Failed, message),
    };
    match examine(config) {
        Ok(checks) => checks.into_iter().map(finding).collect(),
        Err(error) => vec![Finding::new("pairing", Level::Failed, format!("{error:#}"))],
    }
}

fn examine(config: &Config) -> Result<Vec<Check>> {
    let Some(keystone) = elsewhere::keystone(&config.identity, Clock::system())? else {
        return Ok(Vec::new());
    };
    let glance = elsewhere::glance(&config.image, Some(&keystone))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let volume = serve::volume_url(config);
    Ok(runtime.block_on(async {
        let mut checks = keystone.examine(&config.region, &volume).await;
        if let Some(glance) = &glance {
            checks.extend(glance.examine().await);
        }
        checks
    }))
}
