//! Printing where the reader may be gone: a pipe's end, a terminal that was hung up.
//!
//! `println!` panics there; these do not.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Result;

/// Prints; a reader that has gone away (`| head`) has seen enough.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

/// Says on standard error what went wrong. Where nobody can be told, the exit code still tells.
pub(crate) fn complain(message: impl Display) {
    let _ = writeln!(io::stderr(), "cinderblock: {message}");
}

/// Asks on standard error, where it is seen though standard output goes elsewhere.
pub(super) fn prompt(text: impl Display) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
