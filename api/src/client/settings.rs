//! Reads `clouds.yaml`, `secure.yaml` and the `OS_*` variables into one flat set of settings.
//!
//! As in openstacksdk, the first `clouds.yaml` found is the only one read; as in the `openstack`
//! client, variables win over the chosen cloud's file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::secret::Secret;
use super::{Error, ErrorKind, Result};

/// Settings by the names of openstacksdk, `auth` flattened into the rest.
pub(super) type Settings = BTreeMap<String, Secret>;

/// Largest settings file read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Variables and the settings they stand for. Later ones are aliases that lose to earlier ones.
const VARIABLES: &[(&str, &str)] = &[
    ("OS_AUTH_URL", "auth_url"),
    ("OS_AUTH_TYPE", "auth_type"),
    ("OS_USERNAME", "username"),
    ("OS_USER_ID", "user_id"),
    ("OS_PASSWORD", "password"),
    ("OS_TOKEN", "token"),
    ("OS_PROJECT_NAME", "project_name"),
    ("OS_TENANT_NAME", "project_name"),
    ("OS_PROJECT_ID", "project_id"),
    ("OS_TENANT_ID", "project_id"),
    ("OS_USER_DOMAIN_NAME", "user_domain_name"),
    ("OS_USER_DOMAIN_ID", "user_domain_id"),
    ("OS_PROJECT_DOMAIN_NAME", "project_domain_name"),
    ("OS_PROJECT_DOMAIN_ID", "project_domain_id"),
    ("OS_DEFAULT_DOMAIN", "default_domain"),
    ("OS_DEFAULT_DOMAIN_ID", "default_domain"),
    ("OS_DOMAIN_NAME", "domain_name"),
    ("OS_DOMAIN_ID", "domain_id"),
    ("OS_SYSTEM_SCOPE", "system_scope"),
    ("OS_REGION_NAME", "region_name"),
    ("OS_INTERFACE", "interface"),
    ("OS_ENDPOINT_TYPE", "interface"),
    ("OS_CACERT", "cacert"),
    ("OS_INSECURE", "insecure"),
    ("OS_VOLUME_ENDPOINT_OVERRIDE", "volume_endpoint_override"),
];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    clouds: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Settings,
    #[serde(flatten)]
    rest: BTreeMap<String, Other>,
}

/// A top-level setting: a scalar, or a structure that is nothing to us (`profile` lists, `regions`).
#[derive(Deserialize)]
#[serde(untagged)]
enum Other {
    Scalar(Secret),
    Structure(serde::de::IgnoredAny),
}

impl Entry {
    fn flatten(self) -> Settings {
        let rest = self
            .rest
            .into_iter()
            .filter_map(|(key, other)| match other {
                Other::Scalar(text) => Some((key, text)),
                Other::Structure(_) => None,
            });
        rest.chain(self.auth).collect()
    }
}

/// The settings that variables give.
pub(super) fn from_variables(env: &dyn Fn(&str) -> Option<String>) -> Settings {
    let mut settings = Settings::new();
    for (variable, key) in VARIABLES {
        if let Some(text) = env(variable).filter(|text| !text.is_empty()) {
            settings
                .entry((*key).to_owned())
                .or_insert(Secret::new(text));
        }
    }
    settings
}

/// Where openstacksdk looks, in its order.
pub(super) fn search_path(env: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    paths.extend(env("OS_CLIENT_CONFIG_FILE").map(PathBuf::from));
    paths.push(PathBuf::from("clouds.yaml"));
    let config = env("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
    paths.extend(config.map(|dir| dir.join("openstack/clouds.yaml")));
    paths.push(PathBuf::from("/etc/openstack/clouds.yaml"));
    paths
}

/// The first file of `paths` that exists, and its clouds with `secure.yaml` beside it merged in.
pub(super) fn first_file(paths: &[PathBuf]) -> Result<Option<Clouds>> {
    for path in paths {
        if let Some(clouds) = read(path)? {
            let secure = read(&path.with_file_name("secure.yaml"))?.unwrap_or_default();
            return Ok(Some(Clouds::merge(path.clone(), clouds, secure)));
        }
    }
    Ok(None)
}

/// The clouds of one file.
pub(super) struct Clouds {
    pub(super) path: PathBuf,
    pub(super) clouds: BTreeMap<String, Settings>,
}

impl Clouds {
    fn merge(
        path: PathBuf,
        mut clouds: BTreeMap<String, Settings>,
        secure: BTreeMap<String, Settings>,
    ) -> Self {
        for (name, settings) in secure {
            clouds.entry(name).or_default().extend(settings);
        }
        Self { path, clouds }
    }
}

fn read(path: &Path) -> Result<Option<BTreeMap<String, Settings>>> {
    let bad = |text: String| Error::new(ErrorKind::Settings, format!("{}: {text}", path.display()));
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error.to_string())),
    };
    if length > FILE_BYTES_MAX {
        return Err(bad("too large for a settings file".into()));
    }
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    // The parser's message can quote the file, so only the place is told.
    let file: File = serde_yaml_ng::from_str(&text).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        bad(format!("line {line} is not what clouds.yaml should have"))
    })?;
    let clouds = file.clouds.into_iter();
    Ok(Some(
        clouds
            .map(|(name, entry)| (name, entry.flatten()))
            .collect(),
    ))
}
