//! The log: lines on standard error, for people or as JSON.
//!
//! Secrets never reach it: export names are masked and credentials not logged where they are handled.
//!
//! Lines that cannot be written are lost. The program goes on: storage must not end because the disk
//! of the log is full or the terminal that it went to is closed.

mod levels;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};
use api::log_levels::{LogControl, LogLevel};
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use levels::Levels;

type Reload = Box<dyn Fn(EnvFilter) -> Result<()> + Send + Sync>;

/// A log whose levels can be set.
pub(crate) struct LiveLog {
    levels: Mutex<Levels>,
    reload: Reload,
}

impl LogControl for LiveLog {
    fn levels(&self, prefix: &str) -> Vec<(String, LogLevel)> {
        let levels = self.levels.lock();
        levels.unwrap_or_else(PoisonError::into_inner).shown(prefix)
    }

    fn set(&self, prefix: &str, level: LogLevel) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = levels.clone();
        changed.set(prefix, level);
        let filter = EnvFilter::try_new(changed.directives());
        match filter.map_err(anyhow::Error::from).and_then(&self.reload) {
            Ok(()) => *levels = changed,
            Err(error) => tracing::error!(%error, "the levels of the log cannot be set"),
        }
    }
}

/// Starts logging; call once.
pub(crate) fn start(config: &LogConfig) -> Result<LiveLog> {
    let filter = EnvFilter::try_new(&config.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lossy(io::stderr()));
    let (reload, started): (Reload, _) = match config.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let reload = Box::new(move |filter| Ok(handle.reload(filter)?));
            (reload, builder.try_init())
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let reload = Box::new(move |filter| Ok(handle.reload(filter)?));
            (reload, builder.try_init())
        }
    };
    started.map_err(|error| anyhow!("starting the log: {error}"))?;
    Ok(LiveLog {
        levels: Mutex::new(Levels::new(&config.level)),
        reload,
    })
}

/// A writer that has always written everything: whoever logs panics on errors.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}
