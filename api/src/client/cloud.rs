//! Where a cloud is and who is asking.

use std::path::PathBuf;

use url::Url;

use super::secret::Secret;
use super::settings::{self, Settings};
use super::{Error, ErrorKind, Result};

/// The cloud of a data directory's `clouds.yaml`.
const OWN_CLOUD: &str = "cinderblock";

/// Where the settings come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// A cloud of `clouds.yaml` by name; otherwise `OS_CLOUD`, then the `OS_*` variables, then the
    /// only cloud of the file.
    pub cloud: Option<String>,
    /// The data directory of a daemon on this host: its own `clouds.yaml`, no variables.
    pub data_dir: Option<PathBuf>,
}

/// What the token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A project, by id.
    ProjectId(String),
    /// A project, by name and domain.
    ProjectName {
        /// Its name.
        name: String,
        /// Its domain.
        domain: Domain,
    },
    /// A domain.
    Domain(Domain),
    /// The whole system.
    System,
    /// Nothing in particular.
    Unscoped,
}

/// A domain by id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// How to prove who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    Password { user: User, password: Secret },
    Token(Secret),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum User {
    Id(String),
    Name { name: String, domain: Domain },
}

/// A cloud's settings, complete enough to log in. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    pub(super) auth_url: Url,
    pub(super) credentials: Credentials,
    pub(super) scope: Scope,
    pub(super) region: Option<String>,
    pub(super) interface: String,
    pub(super) volume_endpoint: Option<Url>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) verify: bool,
}

impl Cloud {
    /// Reads the settings of this process's environment.
    ///
    /// # Errors
    /// `Settings` when no cloud is chosen, its file does not parse, or something is missing.
    pub fn load(source: &Source) -> Result<Self> {
        Self::load_from(source, &|name| std::env::var(name).ok())
    }

    pub(super) fn load_from(source: &Source, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(dir) = &source.data_dir {
            return Self::of_data_dir(&dir.join("clouds.yaml"));
        }
        let variables = settings::from_variables(env);
        let chosen = source.cloud.clone().or_else(|| env("OS_CLOUD"));
        let paths = settings::search_path(env);
        let mut all = match chosen.filter(|name| !name.is_empty()) {
            Some(name) => named_cloud(&paths, &name)?,
            None if variables.contains_key("auth_url") => Settings::new(),
            None => only_cloud(&paths)?,
        };
        all.extend(variables);
        Self::from_settings(&all)
    }

    fn of_data_dir(path: &std::path::Path) -> Result<Self> {
        let clouds = settings::first_file(&[path.to_owned()])?;
        let found = clouds.and_then(|mut file| file.clouds.remove(OWN_CLOUD));
        let missing = || {
            let path = path.display();
            bad(format!(
                "{path}: no cloud \"{OWN_CLOUD}\"; has the daemon been started there?"
            ))
        };
        Self::from_settings(&found.ok_or_else(missing)?)
    }

    fn from_settings(all: &Settings) -> Result<Self> {
        let get = |key: &str| {
            let text = all.get(key).map(Secret::reveal);
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let auth_url = get("auth_url").ok_or_else(|| missing("auth_url", "OS_AUTH_URL"))?;
        let override_url = get("volume_endpoint_override")
            .or_else(|| get("volumev3_endpoint_override"))
            .or_else(|| get("block_storage_endpoint_override"));
        let volume_endpoint = override_url.map(|text| parse_url(&text)).transpose()?;
        Ok(Self {
            auth_url: parse_url(&auth_url)?,
            credentials: credentials(all, &get)?,
            scope: scope(&get),
            region: get("region_name"),
            interface: get("interface").map_or_else(
                || "public".to_owned(),
                |text| text.trim_end_matches("URL").to_owned(),
            ),
            volume_endpoint,
            ca_file: get("cacert").map(PathBuf::from),
            verify: !is(&get, "verify", false) && !is(&get, "insecure", true),
        })
    }

    /// The address of the Identity service, for messages.
    pub fn address(&self) -> &str {
        self.auth_url.as_str()
    }
}

type Get<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn is(get: &Get<'_>, key: &str, value: bool) -> bool {
    let yes = ["true", "1", "yes", "on"];
    let no = ["false", "0", "no", "off"];
    let words = if value { yes } else { no };
    get(key).is_some_and(|text| words.contains(&text.to_ascii_lowercase().as_str()))
}

fn bad(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Settings, text)
}

fn missing(key: &str, variable: &str) -> Error {
    bad(format!(
        "the cloud's settings lack {key}: set it in clouds.yaml or as {variable}"
    ))
}

fn parse_url(text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| bad(format!("{text}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(format!("{text}: neither http nor https")));
    }
    Ok(url)
}

fn domain(get: &Get<'_>, of: &str) -> Option<Domain> {
    let id = get(&format!("{of}_domain_id")).map(Domain::Id);
    id.or_else(|| get(&format!("{of}_domain_name")).map(Domain::Name))
}

fn default_domain(get: &Get<'_>) -> Domain {
    Domain::Id(get("default_domain").unwrap_or_else(|| "default".into()))
}

fn credentials(all: &Settings, get: &Get<'_>) -> Result<Credentials> {
    let kind = get("auth_type").unwrap_or_default();
    let by_token = matches!(kind.as_str(), "token" | "v3token");
    if !by_token && !matches!(kind.as_str(), "" | "password" | "v3password") {
        return Err(bad(format!(
            "auth_type {kind} is not known here: password and token are"
        )));
    }
    let token = all.get("token").filter(|token| !token.reveal().is_empty());
    if by_token || (token.is_some() && !all.contains_key("password")) {
        let token = token.ok_or_else(|| missing("token", "OS_TOKEN"))?;
        return Ok(Credentials::Token(token.clone()));
    }
    let user = match (get("user_id"), get("username")) {
        (Some(id), _) => User::Id(id),
        (None, Some(name)) => User::Name {
            name,
            domain: domain(get, "user").unwrap_or_else(|| default_domain(get)),
        },
        (None, None) => return Err(missing("username", "OS_USERNAME")),
    };
    let password = all.get("password").cloned();
    let password = password.ok_or_else(|| missing("password", "OS_PASSWORD"))?;
    Ok(Credentials::Password { user, password })
}

fn scope(get: &Get<'_>) -> Scope {
    if get("system_scope").is_some() {
        return Scope::System;
    }
    if let Some(id) = get("project_id") {
        return Scope::ProjectId(id);
    }
    if let Some(name) = get("project_name") {
        let domain = domain(get, "project").unwrap_or_else(|| default_domain(get));
        return Scope::ProjectName { name, domain };
    }
    let id = get("domain_id").map(Domain::Id);
    let domain = id.or_else(|| get("domain_name").map(Domain::Name));
    domain.map_or(Scope::Unscoped, Scope::Domain)
}

fn named_cloud(paths: &[PathBuf], name: &str) -> Result<Settings> {
    let Some(mut file) = settings::first_file(paths)? else {
        return Err(bad(format!(
            "cloud {name}: no clouds.yaml found ({})",
            join(paths)
        )));
    };
    let path = file.path.display();
    file.clouds
        .remove(name)
        .ok_or_else(|| bad(format!("{path}: no cloud {name}")))
}

fn only_cloud(paths: &[PathBuf]) -> Result<Settings> {
    let Some(file) = settings::first_file(paths)? else {
        return Err(bad(format!(
            "no cloud chosen: give --data DIR or --os-cloud NAME, set OS_AUTH_URL and the like, or \
             write a clouds.yaml ({})",
            join(paths)
        )));
    };
    let names: Vec<_> = file.clouds.keys().cloned().collect();
    let path = file.path.display();
    match (file.clouds.into_values().next(), names.len()) {
        (Some(settings), 1) => Ok(settings),
        (None, _) => Err(bad(format!("{path}: no clouds in it"))),
        (Some(_), _) => Err(bad(format!(
            "{path} has several clouds: choose one with --os-cloud ({})",
            names.join(", ")
        ))),
    }
}

fn join(paths: &[PathBuf]) -> String {
    let texts: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    texts.join(", ")
}
