//! From named expressions to numbered ones that are known to end.

use std::collections::HashMap;

use super::check::Check;
use super::defaults::NAMED;
use super::error::{Error, ErrorKind};
use super::file::Entry;
use super::parse::parse;
use super::rules::Rule;

/// Deepest nesting of an expression with all that it refers to; bounds the stack.
const DEPTH_MAX: u32 = 128;
/// Most checks that one answer may take; bounds the time.
const COST_MAX: u32 = 4096;

/// The rules of [`Rule::ALL`] by number, then those they refer to; `overrides` replace defaults.
pub(super) fn compile(overrides: Vec<Entry>) -> Result<Vec<Check<usize>>, Error> {
    let named = Named::new(overrides)?;
    let mut checks = Vec::with_capacity(named.entries.len());
    for (name, check) in &named.entries {
        checks.push(named.resolve(name, check)?);
    }
    named.measure(&checks)?;
    Ok(checks)
}

/// All rules in order, and where each is.
struct Named {
    entries: Vec<Entry>,
    numbers: HashMap<String, usize>,
    /// From here on they are helpers of the file's own.
    helpers: usize,
}

impl Named {
    fn new(overrides: Vec<Entry>) -> Result<Self, Error> {
        let rules = Rule::ALL.iter().map(|rule| (rule.name(), rule.default()));
        let mut entries = Vec::new();
        for (name, text) in rules.chain(NAMED) {
            let check = parse(text)
                .map_err(|reason| Error::new(ErrorKind::Syntax, format!("{name}: {reason}")))?;
            entries.push((name.to_owned(), check));
        }
        let helpers = entries.len();
        let numbers = entries.iter().enumerate();
        let mut numbers: HashMap<String, usize> = numbers
            .map(|(number, (name, _))| (name.clone(), number))
            .collect();
        for (name, check) in overrides {
            match numbers.get(&name) {
                Some(&number) => entries[number].1 = check,
                None => {
                    numbers.insert(name.clone(), entries.len());
                    entries.push((name, check));
                }
            }
        }
        Ok(Self {
            entries,
            numbers,
            helpers,
        })
    }

    fn resolve(&self, name: &str, check: &Check<String>) -> Result<Check<usize>, Error> {
        let all = |checks: &[Check<String>]| -> Result<Vec<_>, Error> {
            checks
                .iter()
                .map(|check| self.resolve(name, check))
                .collect()
        };
        Ok(match check {
            Check::Always => Check::Always,
            Check::Never => Check::Never,
            Check::Not(check) => Check::Not(Box::new(self.resolve(name, check)?)),
            Check::All(checks) => Check::All(all(checks)?),
            Check::Any(checks) => Check::Any(all(checks)?),
            Check::Role(role) => Check::Role(role.clone()),
            Check::Is(credential, text) => Check::Is(*credential, text.clone()),
            Check::Matches(credential, field) => Check::Matches(*credential, *field),
            Check::Has(text, field) => Check::Has(text.clone(), *field),
            Check::Rule(wanted) => match self.numbers.get(wanted) {
                Some(number) => Check::Rule(*number),
                None => {
                    let message = format!("refers to rule {wanted}, which there is not");
                    return Err(Error::of_rule(ErrorKind::UnknownRule, name, &message));
                }
            },
        })
    }

    /// Refuses what does not end, or not soon; and helpers that nothing refers to, which are the
    /// misspelt names of other rules.
    fn measure(&self, checks: &[Check<usize>]) -> Result<(), Error> {
        let mut meter = Meter {
            named: self,
            checks,
            measured: vec![Measured::No; checks.len()],
        };
        for number in 0..self.helpers {
            meter.rule(number, 0)?;
        }
        let unused = meter.measured.iter().position(|one| *one == Measured::No);
        match unused {
            None => Ok(()),
            Some(number) => {
                let name = &self.entries[number].0;
                let message = "there is no such rule";
                Err(Error::of_rule(ErrorKind::UnknownRule, name, message))
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    No,
    Doing,
    Done(Size),
}

/// How much there is to an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    depth: u32,
    cost: u32,
}

struct Meter<'a> {
    named: &'a Named,
    checks: &'a [Check<usize>],
    measured: Vec<Measured>,
}

impl Meter<'_> {
    fn rule(&mut self, number: usize, above: u32) -> Result<Size, Error> {
        let name = &self.named.entries[number].0;
        match self.measured[number] {
            Measured::Done(size) => return Ok(size),
            Measured::Doing => {
                return Err(Error::of_rule(ErrorKind::Cycle, name, "refers to itself"));
            }
            // Before what is below is looked at: it is this stack that must not overflow.
            Measured::No if above > DEPTH_MAX => return Err(too_large(name)),
            Measured::No => self.measured[number] = Measured::Doing,
        }
        let checks = self.checks;
        let size = self.check(&checks[number], above)?;
        if size.depth > DEPTH_MAX || size.cost > COST_MAX {
            return Err(too_large(name));
        }
        self.measured[number] = Measured::Done(size);
        Ok(size)
    }

    /// The size of `check`, which is `above` checks deep.
    fn check(&mut self, check: &Check<usize>, above: u32) -> Result<Size, Error> {
        let mut size = Size { depth: 0, cost: 0 };
        let parts: &[Check<usize>] = match check {
            Check::Not(part) => std::slice::from_ref(part.as_ref()),
            Check::All(parts) | Check::Any(parts) => parts,
            Check::Rule(number) => {
                size = self.rule(*number, above + 1)?;
                &[]
            }
            _ => &[],
        };
        for part in parts {
            let part = self.check(part, above + 1)?;
            size.depth = size.depth.max(part.depth);
            size.cost = size.cost.saturating_add(part.cost);
        }
        Ok(Size {
            depth: size.depth + 1,
            cost: size.cost.saturating_add(1),
        })
    }
}

fn too_large(name: &str) -> Error {
    let message = "too large with all that it refers to";
    Error::of_rule(ErrorKind::TooLarge, name, message)
}
