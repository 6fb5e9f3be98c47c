//! The operator's console, over the public REST API only: what it can do, automation can do.
//!
//! `app` holds the state and decides, without a terminal; `view` draws from that state alone; `net`
//! asks the daemon on a thread of its own; `terminal` joins them, and `watch` ends them when the
//! terminal does. Nothing here changes the pool.

mod app;
mod keymap;
mod net;
mod rates;
mod screen;
mod terminal;
mod theme;
pub mod units;
mod view;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;
use api::client::Client;

/// How the console behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Between two looks at the daemon.
    pub interval: Duration,
    /// Draw with attributes only, as `NO_COLOR` asks.
    pub monochrome: bool,
    /// Leaves the console once it is true; for signals, which the embedding program receives.
    pub stop: Arc<AtomicBool>,
}

impl Options {
    /// The defaults, and what the environment says of colours.
    pub fn from_env() -> Self {
        let monochrome = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            interval: Duration::from_secs(1),
            monochrome,
            stop: Arc::default(),
        }
    }
}

/// Runs the console on this process's terminal until it is left. The program is to end after it: a
/// terminal that was hung up or is not read may keep a thread of the console.
///
/// # Errors
/// When the terminal cannot be set up, read or drawn on, and when it is gone. A daemon that does not answer is no error:
/// the console says so and goes on asking.
pub fn run(client: Client, options: &Options) -> Result<()> {
    terminal::run(client, options)
}
