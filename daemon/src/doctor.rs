//! Checks of a configuration, its data directory and this machine, without starting anything.
//!
//! Each check is a function from the settings to a finding. What they try (a file, a port) they take
//! back; a running daemon is noticed and left alone.

mod elsewhere;
mod machine;
mod storage;

use serde::Serialize;

use crate::config::Config;
use crate::datadir::DataDir;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// The daemon runs, but worse than it could.
    Warning,
    /// The daemon does not start, or loses what it should keep.
    Failed,
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// The check's name.
    pub(crate) check: &'static str,
    /// How bad it is.
    pub(crate) level: Level,
    /// A sentence.
    pub(crate) message: String,
}

impl Finding {
    fn new(check: &'static str, level: Level, message: impl Into<String>) -> Self {
        Self {
            check,
            level,
            message: message.into(),
        }
    }
}

/// Whether a daemon runs on the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Running,
    Stopped,
}

/// Runs all checks.
pub(crate) fn examine(config: &Config) -> Vec<Finding> {
    let data = DataDir::new(&config.data);
    let (daemon, lock) = storage::lock(&data);
    let mut findings = vec![
        storage::directory(&data),
        lock,
        storage::direct_io(&data),
        storage::credentials(&data),
        machine::versions(),
        machine::open_files(config),
        machine::fuse(config),
        machine::qemu_img(),
    ];
    findings.extend(storage::spaces(config));
    findings.extend(machine::ports(config, daemon));
    findings.extend(machine::certificate(config));
    findings.extend(elsewhere::pairing(config));
    findings
}

/// The worst of all.
pub(crate) fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::{Level, examine, worst};
    use crate::config::Config;
    use crate::datadir::DataDir;

    fn config(pairs: &[(&'static str, String)]) -> Config {
        let flags: Vec<_> = pairs
            .iter()
            .map(|(key, text)| (*key, text.clone(), "--f"))
            .collect();
        Config::load(None, [], &flags).unwrap()
    }

    #[test]
    fn finds_taken_ports_and_locks_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        let path = dir.path().join("d");
        let data = DataDir::new(&path);
        data.create().unwrap();
        let mut pairs = vec![
            ("data", path.display().to_string()),
            ("http.listen", "127.0.0.1:0".to_owned()),
            ("nbd.listen", "127.0.0.1:0".to_owned()),
        ];
        let level = |name: &str, pairs: &[_]| {
            let found = examine(&config(pairs));
            let found = found.iter().find(|finding| finding.check == name).cloned();
            found.unwrap_or_else(|| panic!("no check {name}")).level
        };
        assert!(worst(&examine(&config(&pairs))) < Level::Failed);
        assert_eq!(level("lock", &pairs), Level::Ok);
        let lock = data.lock().unwrap();
        assert_eq!(level("lock", &pairs), Level::Warning);
        drop(lock);
        pairs[1].1 = taken;
        assert_eq!(level("port http.listen", &pairs), Level::Failed);
        drop(listener);
        let left: Vec<_> = std::fs::read_dir(&path)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["lock"]);
    }
}
