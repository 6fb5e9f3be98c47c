//! Ctrl-C, SIGTERM and SIGHUP as a flag, for commands that have something to tidy up. A second one
//! ends the program at once: tidying up may itself wait for what does not answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;

use super::Exit;
use crate::signals::EndSignals;

/// Whether somebody wants the command to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on, for the rest of the process.
    pub(crate) fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let mut signals = {
            let _inside = runtime.enter();
            EndSignals::listen()?
        };
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(signals.next());
                theirs.store(true, Ordering::Relaxed);
                runtime.block_on(signals.next());
                std::process::exit(Exit::Failure as i32);
            })?;
        Ok(Self(flag))
    }

    /// An error once somebody has asked.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Exit::Failure.because("interrupted"));
        }
        Ok(())
    }

    /// The flag itself, true once somebody has asked.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
