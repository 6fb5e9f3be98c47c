//! When to stop, and the promise that stopping ends.

use std::time::Duration;

use store::PoolStats;

use crate::signals::{Asked, EndSignals};
use crate::systemd;

/// An orderly stop takes no longer; scripts and service managers rely on it.
pub(super) const LIMIT: Duration = Duration::from_secs(10);
/// Kept back from the limit for the end of the process itself.
const MARGIN: Duration = Duration::from_millis(500);

/// Waits for a signal that asks for an end, and names it. Meanwhile files are read again when a
/// signal asks for it, and every `alive_interval` the service manager is told that the pool answers.
pub(super) async fn asked(
    mut signals: EndSignals,
    alive_interval: Option<Duration>,
    look: impl Fn() -> PoolStats + Clone + Send + 'static,
    reload: impl Fn(),
) -> &'static str {
    let alive = async {
        let Some(interval) = alive_interval else {
            return std::future::pending().await;
        };
        loop {
            // Ends only when the pool answers: one that hangs is not alive.
            if tokio::task::spawn_blocking(look.clone()).await.is_ok() {
                systemd::alive();
            }
            tokio::time::sleep(interval).await;
        }
    };
    let end = async {
        loop {
            match signals.next().await {
                Asked::End(signal) => return signal,
                Asked::Reload => reload(),
            }
        }
    };
    tokio::select! {
        signal = end => signal,
        never = alive => never,
    }
}

/// Ends the process when stopping takes too long: acknowledged data is in the journal, and the next
/// start recovers it.
pub(super) fn watch_over() {
    let watch = || {
        std::thread::sleep(LIMIT.saturating_sub(MARGIN));
        tracing::error!("stopping takes too long; ending at once, the next start recovers");
        std::process::exit(1);
    };
    let spawned = std::thread::Builder::new()
        .name("stop-limit".to_owned())
        .spawn(watch);
    if let Err(error) = spawned {
        tracing::warn!(%error, "no thread to limit the stop");
    }
}
