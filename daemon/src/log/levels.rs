//! Levels of a running log: those it began with, and what was set since. Pure.
//!
//! A part is a crate or a module below it. What is set for a part holds for the modules below it
//! that nothing was set for.

use std::collections::BTreeMap;

use api::log_levels::LogLevel;

/// The crates that are ours, by the names in the log.
const CRATES: [&str; 4] = ["api", "cinderblock", "nbd", "store"];
/// Modules that can have levels of their own; more would be no part of this program.
const SET_MAX: usize = 64;

/// The levels.
#[derive(Clone, Debug)]
pub(super) struct Levels {
    /// Directives of the configuration.
    base: String,
    set: BTreeMap<String, LogLevel>,
}

impl Levels {
    /// The levels of the configuration.
    pub(super) fn new(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            set: BTreeMap::new(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let modules = self.set.keys().map(String::as_str);
        let modules = modules.filter(|name| !CRATES.contains(name));
        CRATES.into_iter().chain(modules)
    }

    /// The parts whose names begin with `prefix`, each with its level.
    pub(super) fn shown(&self, prefix: &str) -> Vec<(String, LogLevel)> {
        let names = self.names().filter(|name| name.starts_with(prefix));
        names
            .map(|name| (name.to_owned(), self.level(name)))
            .collect()
    }

    /// Sets the level of the parts whose names begin with `prefix`; a module nobody named before
    /// becomes one of them.
    pub(super) fn set(&mut self, prefix: &str, level: LogLevel) {
        let is_module = CRATES.iter().any(|name| is_within(prefix, name));
        if is_module && self.set.len() < SET_MAX {
            self.set.insert(prefix.to_owned(), level);
        }
        let named: Vec<String> = self
            .names()
            .filter(|name| name.starts_with(prefix))
            .map(str::to_owned)
            .collect();
        self.set.extend(named.into_iter().map(|name| (name, level)));
    }

    fn level(&self, name: &str) -> LogLevel {
        let set = self.set.iter().filter(|(own, _)| is_within(name, own));
        let nearest = set
            .max_by_key(|(own, _)| own.len())
            .map(|(_, level)| *level);
        nearest.unwrap_or_else(|| self.base_level(name))
    }

    /// What the configuration says of a part.
    fn base_level(&self, name: &str) -> LogLevel {
        let mut nearest = (0, LogLevel::Error);
        for directive in self.base.split(',').map(str::trim) {
            let (target, word) = directive.split_once('=').unwrap_or(("", directive));
            let level = match word.to_lowercase().as_str() {
                "trace" => Some(LogLevel::Debug),
                "warn" => Some(LogLevel::Warning),
                word => LogLevel::parse(word),
            };
            let applies = target.is_empty() || is_within(name, target);
            if let Some(level) = level.filter(|_| applies && target.len() >= nearest.0) {
                nearest = (target.len(), level);
            }
        }
        nearest.1
    }

    /// The directives of the log's filter.
    pub(super) fn directives(&self) -> String {
        let word = |level: LogLevel| match level {
            LogLevel::Error => "error",
            LogLevel::Warning => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
        };
        let set = self.set.iter();
        let set = set.map(|(name, level)| format!("{name}={}", word(*level)));
        let all: Vec<String> = std::iter::once(self.base.clone()).chain(set).collect();
        all.join(",")
    }
}

/// Whether a module is another or below it, and both have names that a filter takes.
fn is_within(module: &str, other: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let rest = module.strip_prefix(other);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::")) && module.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use api::log_levels::LogLevel::{Debug, Error, Info, Warning};
    use tracing_subscriber::EnvFilter;

    use super::Levels;

    #[test]
    fn what_is_set_holds_for_what_is_below() {
        let mut levels = Levels::new("info,store=warn");
        let level_of = |levels: &Levels, name: &str| levels.shown(name)[0].1;
        assert_eq!(
            (level_of(&levels, "api"), level_of(&levels, "store")),
            (Info, Warning)
        );
        levels.set("api::jobs", Debug);
        levels.set("st", Error);
        assert_eq!(
            levels.shown(""),
            [
                ("api".to_owned(), Info),
                ("cinderblock".to_owned(), Info),
                ("nbd".to_owned(), Info),
                ("store".to_owned(), Error),
                ("api::jobs".to_owned(), Debug),
            ]
        );
        assert_eq!(
            levels.directives(),
            "info,store=warn,api::jobs=debug,store=error"
        );
        levels.set("", Warning);
        assert!(levels.shown("").iter().all(|(_, level)| *level == Warning));
    }

    #[test]
    fn only_names_of_modules_reach_the_filter() {
        let mut levels = Levels::new("info");
        for odd in [
            "cinder.none",
            "api::x,store=trace",
            "api::[span]",
            "other",
            "apix",
        ] {
            levels.set(odd, Debug);
        }
        assert_eq!(levels.directives(), "info");
        levels.set("store", Debug);
        EnvFilter::try_new(levels.directives()).unwrap();
    }
}
