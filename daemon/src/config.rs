//! Settings: built-in values, then a TOML file, then the environment, then flags.
//!
//! What wins is what was said last in that order. A setting that cannot be read, and every unknown
//! key of the file or the environment, is an error that names the place. [`Config::load`] also checks what settings
//! mean together (addresses, encryption), so that a loaded configuration can be served. It opens
//! nothing but the files of settings.

mod backend;
mod catalog;
mod check;
mod env;
mod file;
mod keys;
mod value;

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::policy::Rules;
pub(crate) use backend::BackendConfig;
use keys::{KEYS, Key};
use store::{Fingerprints, Recompression};

/// Where equal data is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DedupDomain {
    /// Within a project.
    Project,
    /// In the whole pool.
    Pool,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A host, and a port if it differs from the one bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetAddress {
    /// Name or address, without brackets.
    pub(crate) host: String,
    /// The port, if given.
    pub(crate) port: Option<u16>,
}

/// Settings of the HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpConfig {
    /// Address of the main listener.
    pub(crate) listen: SocketAddr,
    /// Whether to answer on 5000, 8776 and 9292 too.
    pub(crate) classic_ports: bool,
    /// Connections at a time.
    pub(crate) max_connections: usize,
    /// Certificate and key, if connections are encrypted.
    pub(crate) tls: TlsConfig,
}

/// Files for encrypted connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsConfig {
    /// The certificate, with what leads to its CA.
    pub(crate) cert: Option<PathBuf>,
    /// Its key; set exactly when the certificate is.
    pub(crate) key: Option<PathBuf>,
    /// The CA that clients of this machine need, for clouds.yaml.
    pub(crate) ca: Option<PathBuf>,
}

impl TlsConfig {
    /// Whether connections are encrypted.
    pub(crate) fn is_on(&self) -> bool {
        self.cert.is_some()
    }
}

/// Settings of the NBD service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NbdConfig {
    /// Address of the TCP listener.
    pub(crate) listen: SocketAddr,
    /// What attachments tell hosts.
    pub(crate) advertise: Option<NetAddress>,
    /// Path of the unix socket.
    pub(crate) socket: PathBuf,
    /// Connections at a time.
    pub(crate) max_connections: usize,
}

/// Where backups go: a directory, or the bucket if one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackupConfig {
    /// The directory; `None` is one within the data directory.
    pub(crate) directory: Option<PathBuf>,
    /// Name of the bucket.
    pub(crate) bucket: Option<String>,
    /// URL of the service that has it; `None` is Amazon's.
    pub(crate) endpoint: Option<String>,
    /// Region of the bucket.
    pub(crate) region: String,
    /// File with the access key.
    pub(crate) credentials: Option<PathBuf>,
}

/// Who says who somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdentityMode {
    /// The daemon's own Identity.
    #[default]
    BuiltIn,
    /// A Keystone elsewhere.
    Keystone,
}

/// Settings of Identity; all but the mode are for a Keystone elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdentityConfig {
    /// Which Identity.
    pub(crate) mode: IdentityMode,
    /// Its URL, without the version.
    pub(crate) url: Option<String>,
    /// File with the CA of its certificate; `None` is the system's.
    pub(crate) ca: Option<PathBuf>,
    /// File with name and password of our user there.
    pub(crate) credentials: Option<PathBuf>,
    /// Domain of that user, by name.
    pub(crate) user_domain: String,
    /// The project that our user has its role on, by name.
    pub(crate) project: String,
    /// Domain of that project, by name.
    pub(crate) project_domain: String,
    /// How long an answer about a token holds.
    pub(crate) cache: Duration,
}

/// Where images are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ImageMode {
    /// In the daemon's own Image.
    #[default]
    BuiltIn,
    /// In a Glance elsewhere.
    Glance,
}

/// Settings of Image; all but the mode are for a Glance elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImageConfig {
    /// Which Image.
    pub(crate) mode: ImageMode,
    /// Its URL, without the version.
    pub(crate) url: Option<String>,
    /// File with the CA of its certificate; `None` is the system's.
    pub(crate) ca: Option<PathBuf>,
}

/// Settings of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// How lines look.
    pub(crate) format: LogFormat,
    /// Which lines there are.
    pub(crate) level: String,
}

/// All settings; `config/keys.rs` says what each means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) public_url: Option<String>,
    pub(crate) allow_plaintext: bool,
    pub(crate) region: String,
    pub(crate) dedup_domain: DedupDomain,
    pub(crate) fingerprints: Fingerprints,
    pub(crate) memory_bytes: u64,
    pub(crate) raw_tier_bytes: Option<u64>,
    pub(crate) recompress: bool,
    pub(crate) recompress_after: Duration,
    pub(crate) recompress_cpu_percent: u8,
    pub(crate) master_key: PathBuf,
    pub(crate) token_lifetime: Duration,
    pub(crate) policy: Arc<Rules>,
    pub(crate) mount: Option<PathBuf>,
    pub(crate) http: HttpConfig,
    pub(crate) nbd: NbdConfig,
    pub(crate) backup: BackupConfig,
    pub(crate) identity: IdentityConfig,
    pub(crate) image: ImageConfig,
    /// File that the audit log goes to, if there is one.
    pub(crate) audit: Option<PathBuf>,
    pub(crate) metrics_listen: Option<SocketAddr>,
    pub(crate) log: LogConfig,
    /// When and how fast pools are scrubbed.
    pub(crate) scrub: store::ScrubOptions,
    /// Services of others in the service catalogue.
    pub(crate) catalog: Vec<api::server::StaticService>,
    /// Never empty.
    pub(crate) backends: Vec<BackendConfig>,
}

/// Where a setting was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Built in.
    Default,
    /// A file and, where there is one, the line.
    File(PathBuf, Option<usize>),
    /// An environment variable.
    Env(String),
    /// A flag of the command line, with its dashes.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::File(path, Some(line)) => write!(f, "{}:{line}", path.display()),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting that does not do, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub(crate) struct ConfigError {
    /// Where.
    place: Source,
    /// What is wrong with it.
    message: String,
}

/// One setting as somebody made it.
struct Given {
    key: &'static Key,
    text: String,
    source: Source,
}

/// A flag's setting: the key, the text and the flag's name.
pub(crate) type Flag = (&'static str, String, &'static str);

impl Config {
    /// Reads all sources. `variables` are the environment's; `flags` are settings by key.
    ///
    /// # Errors
    /// The first setting that does not do, with its place.
    pub(crate) fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[Flag],
    ) -> Result<Self, ConfigError> {
        let file::Settings {
            mut given,
            backends,
            catalog,
        } = match file {
            Some(path) => file::read(path)?,
            None => file::Settings::default(),
        };
        given.extend(env::read(variables)?);
        for (name, text, flag) in flags {
            let source = Source::Flag((*flag).to_owned());
            let key = keys::find(name).ok_or_else(|| ConfigError {
                place: source.clone(),
                message: format!("unknown key `{name}`"),
            })?;
            let text = text.clone();
            given.push(Given { key, text, source });
        }
        let mut config = Self::from_given(&given, backends)?;
        config.catalog = catalog;
        Ok(config)
    }

    fn from_given(given: &[Given], backends: Vec<BackendConfig>) -> Result<Self, ConfigError> {
        let mut config = Self::built_in();
        config.backends = backends;
        for Given { key, text, source } in given {
            (key.set)(&mut config, text).map_err(|message| ConfigError {
                place: source.clone(),
                message: format!("{}: {message}", key.name),
            })?;
        }
        if config.nbd.socket.as_os_str().is_empty() {
            config.nbd.socket = config.data.join("nbd.sock");
        }
        config.place_backends();
        if config.master_key.as_os_str().is_empty() {
            config.master_key = config.data.join("master.key");
        }
        check::together(&config).map_err(|(name, message)| {
            let last = given.iter().rev().find(|given| given.key.name == name);
            ConfigError {
                place: last.map_or(Source::Default, |given| given.source.clone()),
                message: format!("{name}: {message}"),
            }
        })?;
        Ok(config)
    }

    /// What the pools are told of recompression.
    pub(crate) fn recompression(&self) -> Option<Recompression> {
        self.recompress.then(|| Recompression {
            cold_after_s: u32::try_from(self.recompress_after.as_secs()).unwrap_or(u32::MAX),
            cpu_percent: self.recompress_cpu_percent,
        })
    }

    /// Gives the backends their folders; without any there is the one that there always was.
    fn place_backends(&mut self) {
        if self.backends.is_empty() {
            let mut pool = BackendConfig::new("pool", Path::new("pool"));
            pool.raw_tier_bytes = self.raw_tier_bytes;
            self.backends.push(pool);
        }
        for backend in &mut self.backends {
            backend.directory = self.data.join(&backend.directory);
            backend.raw_tier_bytes = backend.raw_tier_bytes.or(self.raw_tier_bytes);
        }
    }

    /// The defaults of the table of keys.
    fn built_in() -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut config = Self {
            data: PathBuf::new(),
            public_url: None,
            allow_plaintext: false,
            region: String::new(),
            dedup_domain: DedupDomain::Project,
            fingerprints: Fingerprints::default(),
            memory_bytes: 0,
            scrub: store::ScrubOptions::default(),
            raw_tier_bytes: None,
            recompress: false,
            recompress_after: Duration::ZERO,
            recompress_cpu_percent: 0,
            master_key: PathBuf::new(),
            token_lifetime: Duration::ZERO,
            policy: Arc::default(),
            mount: None,
            http: HttpConfig {
                listen: nowhere,
                classic_ports: false,
                max_connections: 0,
                tls: TlsConfig::default(),
            },
            nbd: NbdConfig {
                listen: nowhere,
                advertise: None,
                socket: PathBuf::new(),
                max_connections: 0,
            },
            backup: BackupConfig::default(),
            identity: IdentityConfig::default(),
            image: ImageConfig::default(),
            audit: None,
            metrics_listen: None,
            log: LogConfig {
                format: LogFormat::Text,
                level: String::new(),
            },
            catalog: Vec::new(),
            backends: Vec::new(),
        };
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            (key.set)(&mut config, key.default).expect("defaults are checked by a unit test");
        }
        config
    }
}

/// A file with every key, its meaning and its default, for people to start from.
pub(crate) fn documentation() -> String {
    let mut text =
        String::from("# Settings of cinderblock; each may also come from the environment.\n");
    let mut table = "";
    for key in KEYS {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if section != table {
            text.push_str(&format!("\n[{section}]\n"));
            table = section;
        }
        let doc = key.doc.replace('\n', "\n# ");
        let default = toml::Value::String(key.default.to_owned());
        text.push_str(&format!(
            "\n# {doc}\n# {}\n#{name} = {default}\n",
            key.env()
        ));
    }
    text.push_str(backend::DOCUMENTATION);
    text.push_str(catalog::DOCUMENTATION);
    text
}

#[cfg(test)]
mod tests;
