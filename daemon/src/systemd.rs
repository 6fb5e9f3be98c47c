//! What a service manager is told: ready, stopping, and signs of life.
//!
//! Without `NOTIFY_SOCKET` in the environment all of it does nothing.

use std::time::Duration;

use sd_notify::NotifyState;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

/// The daemon answers.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon is on its way out.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The daemon is alive; only said when it was found healthy.
pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is to be called: twice within what the manager waits.
pub(crate) fn alive_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
