//! Settings from the environment: `CINDERBLOCK_` and the key's name.
//!
//! A variable of that prefix which is no setting is an error, like an unknown key of the file: a
//! slip of the pen must not silently leave a setting at its default.

use std::ffi::OsString;

use super::keys::KEYS;
use super::{ConfigError, Given, Source};

/// What the names of all our variables begin with.
pub(super) const PREFIX: &str = "CINDERBLOCK_";

/// Variables that are no settings, without the prefix. Secrets are read where they are needed; the
/// others belong to this project's tests, which hand them on to the daemons that they start.
const OTHERS: [&str; 8] = [
    "ADMIN_PASSWORD",
    "BIN",
    "CRASH_STATES",
    "IDENTITY_PASSWORD",
    "IDENTITY_USERNAME",
    "KILL_ROUNDS",
    "STORM_ROUNDS",
    "STORM_SEED",
];

/// Whether Kubernetes makes such a variable for a service of our name.
fn is_of_a_service(rest: &str) -> bool {
    rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
}

/// The settings among `variables`.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Given>, ConfigError> {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    // Of several errors always the same one is told.
    ours.sort();
    let given = ours.into_iter().map(|(name, value)| setting(name, value));
    given.filter_map(Result::transpose).collect()
}

fn setting(name: String, value: OsString) -> Result<Option<Given>, ConfigError> {
    let rest = &name[PREFIX.len()..];
    if OTHERS.contains(&rest) || is_of_a_service(rest) {
        return Ok(None);
    }
    let found = KEYS.iter().find(|key| key.env() == name);
    let source = Source::Env(name);
    let refuse = |message: &str| ConfigError {
        place: source.clone(),
        message: message.to_owned(),
    };
    let key = found.ok_or_else(|| {
        refuse("no setting has this name; `cinderblock serve --print-config` shows them all")
    })?;
    let text = value.into_string().map_err(|_| refuse("not UTF-8"))?;
    Ok(Some(Given { key, text, source }))
}
