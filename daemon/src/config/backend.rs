//! `[[backend]]` of the file: the pools that volumes are spread over.
//!
//! Without any there is one, called `pool`, in DATA/pool.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;
use super::file::Text;
use super::value::{self, Parsed};

/// More than this are a mistake; each has caches and threads of its own.
const BACKENDS_MAX: usize = 32;

/// Settings of a backend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BackendConfig {
    /// Unique; volumes name it, so it must not change.
    pub(crate) name: String,
    /// What volume types ask for.
    pub(crate) volume_backend_name: String,
    /// The pool's folder; a relative one lies in the data directory.
    pub(crate) directory: PathBuf,
    /// Capacity to report instead of the file system's.
    pub(crate) capacity_bytes: Option<u64>,
    /// Per cent of the capacity that new volumes are not placed on.
    pub(crate) reserved_percentage: u8,
    /// How many times the capacity may be promised.
    pub(crate) max_over_subscription_ratio: Option<f64>,
    /// As the setting of the same name.
    pub(crate) raw_tier_bytes: Option<u64>,
    /// What else types may ask for.
    pub(crate) capabilities: BTreeMap<String, String>,
}

impl BackendConfig {
    /// A backend of which only name and folder are known.
    pub(crate) fn new(name: &str, directory: &Path) -> Self {
        Self {
            name: name.to_owned(),
            volume_backend_name: name.to_owned(),
            directory: directory.to_owned(),
            capacity_bytes: None,
            reserved_percentage: 0,
            max_over_subscription_ratio: None,
            raw_tier_bytes: None,
            capabilities: BTreeMap::new(),
        }
    }
}

/// What `serve --print-config` says of them.
pub(super) const DOCUMENTATION: &str = r#"
# Pools to spread volumes over, one table each; volume types choose them by the extra spec
# volume_backend_name. Without any there is one, called "pool", in DATA/pool. The first is the one
# that holds volumes made before there were several. Not from the environment.
#[[backend]]
# Unique, and not to be changed once volumes are on it. Required.
#name = "fast"
# What volume types ask for; several backends may share it. Default: the name.
#volume_backend_name = "fast"
# The pool's folder; a relative one lies in the data directory. Default: the name.
#directory = "/srv/fast"
# Capacity to report instead of the file system's. Default: none.
#capacity = "1TiB"
# Per cent of the capacity that new volumes are not placed on.
#reserved_percentage = 0
# How many times the capacity may be promised. Default: without limit.
#max_over_subscription_ratio = "20.0"
# As raw_tier, for this pool.
#raw_tier = "4GiB"
# What else types may ask for, by name.
#capabilities = { tier = "ssd" }
"#;

/// Reads the tables.
pub(super) fn read(
    place: &Text<'_>,
    offset: usize,
    tables: &[Spanned<DeValue<'_>>],
) -> Result<Vec<BackendConfig>, ConfigError> {
    let mut found: Vec<BackendConfig> = Vec::new();
    for entry in tables {
        let at = entry.span().start;
        let DeValue::Table(table) = entry.get_ref() else {
            return Err(place.error(at, "backend: a [[backend]] table belongs here"));
        };
        let backend = one(place, at, table)?;
        let twice = found
            .iter()
            .any(|other| other.name == backend.name || other.directory == backend.directory);
        if twice {
            let message = format!(
                "backend: name and directory of `{}` are taken",
                backend.name
            );
            return Err(place.error(at, &message));
        }
        found.push(backend);
    }
    if found.is_empty() || found.len() > BACKENDS_MAX {
        let message = format!("backend: 1 to {BACKENDS_MAX} belong here");
        return Err(place.error(offset, &message));
    }
    Ok(found)
}

fn one(place: &Text<'_>, at: usize, table: &DeTable<'_>) -> Result<BackendConfig, ConfigError> {
    let Some((_, name)) = table.iter().find(|(key, _)| key.get_ref() == "name") else {
        return Err(place.error(at, "backend: it needs a name"));
    };
    let text = place.text("backend.name", name)?;
    let refuse = |offset: usize, key: &str, message: &str| {
        place.error(offset, &format!("backend.{key}: {message}"))
    };
    let name_text = self::name(&text).map_err(|why| refuse(name.span().start, "name", &why))?;
    let mut backend = BackendConfig::new(&name_text, Path::new(&name_text));
    for (key, entry) in table {
        let (key, offset) = (key.get_ref().as_ref(), entry.span().start);
        if let ("capabilities", DeValue::Table(own)) = (key, entry.get_ref()) {
            for (name, value) in own {
                let text = place.text("backend.capabilities", value)?;
                backend
                    .capabilities
                    .insert(name.get_ref().to_string(), text);
            }
            continue;
        }
        let text = place.text(&format!("backend.{key}"), entry)?;
        set(&mut backend, key, &text).map_err(|why| refuse(offset, key, &why))?;
    }
    Ok(backend)
}

fn set(backend: &mut BackendConfig, key: &str, text: &str) -> Parsed<()> {
    match key {
        "name" => {}
        "volume_backend_name" => backend.volume_backend_name = name(text)?,
        "directory" => backend.directory = value::path(text)?,
        "capacity" => backend.capacity_bytes = Some(value::size(text)?),
        "reserved_percentage" => {
            backend.reserved_percentage = u8::try_from(value::count(text, 0, 100)?).unwrap_or(100);
        }
        "max_over_subscription_ratio" => backend.max_over_subscription_ratio = Some(ratio(text)?),
        "raw_tier" => backend.raw_tier_bytes = Some(value::size(text)?),
        _ => return Err("unknown key; `cinderblock serve --print-config` shows all".to_owned()),
    }
    Ok(())
}

fn ratio(text: &str) -> Parsed<f64> {
    let number = text.parse().ok();
    let good = number.filter(|ratio: &f64| ratio.is_finite() && *ratio >= 1.0);
    good.ok_or_else(|| format!("`{text}` is not a number of 1.0 or more"))
}

/// A name that can stand in `host@NAME#NAME`.
fn name(text: &str) -> Parsed<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(good) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is not 1 to 64 letters, digits, dashes, dots or underscores"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::parse;

    #[test]
    fn tables_make_backends_and_errors_name_their_line() {
        let text = "[[backend]]\nname = 'a'\n\n[[backend]]\nname = 'b'\ndirectory = '/srv/b'\n\
                    volume_backend_name = 'slow'\ncapacity = '1GiB'\nreserved_percentage = 10\n\
                    max_over_subscription_ratio = '2.5'\ncapabilities = { tier = 'hdd', fast = false }\n";
        let found = parse(Path::new("c.toml"), text).unwrap().backends;
        assert_eq!(
            (found[0].name.as_str(), found[0].directory.as_path()),
            ("a", Path::new("a"))
        );
        assert_eq!(found[1].directory, Path::new("/srv/b"));
        assert_eq!(found[1].volume_backend_name, "slow");
        assert_eq!(found[1].capacity_bytes, Some(1 << 30));
        assert_eq!(found[1].max_over_subscription_ratio, Some(2.5));
        assert_eq!(found[1].capabilities["fast"], "false");
        for (text, what) in [
            ("[[backend]]\nname = 'a b'\n", "c.toml:2: backend.name"),
            (
                "[[backend]]\ndirectory = 'a'\n",
                "c.toml:1: backend: it needs a name",
            ),
            (
                "[[backend]]\nname = 'a'\nsize = 1\n",
                "c.toml:3: backend.size: unknown",
            ),
            (
                "[[backend]]\nname='a'\n[[backend]]\nname='a'\n",
                "c.toml:3: backend: name",
            ),
            ("backend = []\n", "c.toml:1: backend: 1 to"),
            (
                "[[backend]]\nname='a'\nreserved_percentage = 101\n",
                "backend.reserved_percentage",
            ),
        ] {
            let error = parse(Path::new("c.toml"), text).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
