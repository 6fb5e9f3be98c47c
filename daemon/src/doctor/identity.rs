//! Checks of the Keystone elsewhere: it answers, lets us ask, and leads clients here.

use api::clock::Clock;

use super::{Finding, Level};
use crate::config::Config;
use crate::{identity, serve};

/// What a Keystone elsewhere has to say of us; nothing where there is none.
pub(super) fn pairing(config: &Config) -> Vec<Finding> {
    let failed = |message: String| vec![Finding::new("Keystone", Level::Failed, message)];
    let keystone = match identity::open(&config.identity, Clock::system()) {
        Ok(Some(keystone)) => keystone,
        Ok(None) => return Vec::new(),
        Err(error) => return failed(format!("{error:#}")),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    let volume = serve::volume_url(config);
    let checks = runtime.block_on(keystone.examine(&config.region, &volume));
    let finding = |check: api::external::Check| match check.found {
        Ok(message) => Finding::new(check.name, Level::Ok, message),
        Err(message) => Finding::new(check.name, Level::Failed, message),
    };
    checks.into_iter().map(finding).collect()
}
