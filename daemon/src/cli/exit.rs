//! Exit codes, so that scripts can tell kinds of failure apart.

use std::fmt;
use std::process::ExitCode;

use anyhow::Error;

/// Shown below `--help`.
pub(crate) const HELP: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, \
    3 not found, 4 refused (credentials, policy, conflict), 5 service not reachable, \
    6 checks found problems";

/// Why the program ends with another code than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything that is none of the others.
    Failure = 1,
    /// The command line or the configuration is wrong; clap uses the same code.
    Usage = 2,
    /// The object named does not exist.
    NotFound = 3,
    /// The service said no: credentials, policy, quota or state.
    Refused = 4,
    /// The service does not answer.
    Unreachable = 5,
    /// Checks ran and found problems.
    Unhealthy = 6,
}

/// An error's message together with the exit code it asks for.
#[derive(Debug)]
struct Because {
    exit: Exit,
    message: String,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Because {}

impl Exit {
    /// An error of this kind that reads `message`.
    pub(crate) fn because(self, message: impl fmt::Display) -> Error {
        Error::new(Because {
            exit: self,
            message: message.to_string(),
        })
    }

    /// Turns any error into one of this kind with the same message.
    pub(crate) fn wrap<E: fmt::Display>(self) -> impl Fn(E) -> Error {
        move |error| self.because(error)
    }

    /// The exit that an error asks for, wherever in its chain.
    pub(crate) fn of(error: &Error) -> Self {
        error
            .chain()
            .find_map(|cause| cause.downcast_ref::<Because>())
            .map_or(Self::Failure, |because| because.exit)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::Exit;

    #[test]
    fn the_code_survives_context() {
        let error = Exit::NotFound.because("no volume `a`");
        let wrapped = Err::<(), _>(error).context("exporting").unwrap_err();
        assert_eq!(Exit::of(&wrapped), Exit::NotFound);
        assert_eq!(format!("{wrapped:#}"), "exporting: no volume `a`");
        assert_eq!(Exit::of(&anyhow!("x")), Exit::Failure);
    }
}
