//! The signals that ask a process to end: SIGTERM, SIGINT, and SIGHUP unless it is ignored.
//!
//! `nohup` ignores SIGHUP for what it starts, so that it outlives its terminal; taking the signal
//! over would undo that. A daemon with files to read again takes SIGHUP as the request to do so, under
//! `nohup` too: then it ends nothing.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, taken over.
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    on_hangup: OnHangup,
}

/// What SIGHUP asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnHangup {
    /// An end, unless it was ignored.
    End,
    /// To read files again.
    Reload,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An end, by the signal of this name.
    End(&'static str),
    /// To read files again.
    Reload,
}

impl EndSignals {
    /// Takes the signals over, for the rest of the process. Call inside of a runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        Self::listen_with(OnHangup::End)
    }

    /// As [`Self::listen`], with a meaning of SIGHUP.
    pub(crate) fn listen_with(on_hangup: OnHangup) -> io::Result<Self> {
        let takes = on_hangup == OnHangup::Reload || !ignores_hangup();
        let hangup = takes.then(|| signal(SignalKind::hangup()));
        Ok(Self {
            on_hangup,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: hangup.transpose()?,
        })
    }

    /// Waits for one.
    pub(crate) async fn next(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Asked::End("SIGTERM"),
            _ = self.interrupt.recv() => Asked::End("SIGINT"),
            _ = hangup => match self.on_hangup {
                OnHangup::End => Asked::End("SIGHUP"),
                OnHangup::Reload => Asked::Reload,
            },
        }
    }
}

/// Whether whoever started the process had SIGHUP ignored.
fn ignores_hangup() -> bool {
    // Where /proc does not tell, signals are as they are by default.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) & 1 << (SignalKind::hangup().as_raw_value() - 1) != 0
}

/// The set of ignored signals, a bit each, as /proc/PID/status says it.
fn ignored(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::ignored;

    #[test]
    fn the_ignored_signals_are_those_of_the_status() {
        let status = "SigBlk:\t0000000000000004\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert_eq!(ignored(status), 0x1001);
        for odd in ["", "SigIgn:", "SigIgn:\tx"] {
            assert_eq!(ignored(odd), 0);
        }
    }
}
