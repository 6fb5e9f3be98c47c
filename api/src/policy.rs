//! Who may do what: the rules of the real service, their defaults and what a file changes of them.
//!
//! Rules are compiled once, at start: every expression is parsed, every reference resolved, and
//! what refers to itself or grows too large is refused. Evaluation then neither fails nor
//! allocates without limit. [`crate::auth::Caller`] carries the compiled rules and asks them.

mod check;
mod compile;
mod defaults;
mod error;
mod file;
mod parse;
mod rules;
#[cfg(test)]
mod tests;

use std::path::Path;

use check::Check;

pub use check::{Credentials, Target};
pub use error::{Error, ErrorKind};
pub use rules::Rule;

/// The rules of a running service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Those of [`Rule::ALL`] first, by number.
    checks: Vec<Check<usize>>,
}

impl Rules {
    /// The rules with those of the policy file at `path` in their place.
    ///
    /// # Errors
    /// When the file cannot be read, or does not make sense; the error names the rule.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = file::read(path)?;
        Self::parse(&text).map_err(|error| error.in_file(path))
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let checks = file::parse(text).and_then(compile::compile);
        let checks = checks.map_err(|error| error.in_text(text))?;
        Ok(Self { checks })
    }

    /// Whether `rule` permits a caller to act on `target`.
    pub fn permits(&self, rule: Rule, caller: &Credentials<'_>, target: &Target<'_>) -> bool {
        self.checks[rule as usize].holds(&self.checks, caller, target)
    }
}

/// The rules nobody changed.
impl Default for Rules {
    fn default() -> Self {
        let checks = compile::compile(Vec::new());
        Self {
            checks: checks.expect("the defaults are compiled by a unit test"),
        }
    }
}
