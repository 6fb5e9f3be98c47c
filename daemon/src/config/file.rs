//! The TOML file: from text to settings with line numbers.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use api::server::StaticService;

use super::backend::{self, BackendConfig};
use super::{ConfigError, Given, Source, catalog, keys};

/// A file's text and name while it is being read.
pub(super) struct Text<'a> {
    path: &'a Path,
    text: &'a str,
}

/// What a file says.
#[derive(Default)]
pub(super) struct Settings {
    /// Settings by key.
    pub(super) given: Vec<Given>,
    /// Its `[[backend]]` tables.
    pub(super) backends: Vec<BackendConfig>,
    /// Its `[[catalog]]` tables.
    pub(super) catalog: Vec<StaticService>,
}

/// Largest configuration file read, in bytes: far more than all keys with long comments.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings that the file at `path` makes.
pub(super) fn read(path: &Path) -> Result<Settings, ConfigError> {
    let unreadable = |reason: String| ConfigError {
        place: Source::File(path.to_owned(), None),
        message: reason,
    };
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if length.len() > FILE_BYTES_MAX {
        return Err(unreadable(format!("more than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    parse(path, &text)
}

/// The settings that `text` makes; `path` is for messages.
pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let place = Text { path, text };
    let document = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        place.error(offset, error.message())
    })?;
    let (mut given, mut backends, mut listed) = (Vec::new(), Vec::new(), Vec::new());
    for (key, entry) in document.get_ref() {
        let name = key.get_ref().as_ref();
        match entry.get_ref() {
            DeValue::Array(tables) if name == "backend" => {
                backends = backend::read(&place, key.span().start, tables)?;
            }
            DeValue::Array(tables) if name == "catalog" => {
                listed = catalog::read(&place, key.span().start, tables)?;
            }
            DeValue::Table(table) => place.table(name, table, &mut given)?,
            _ => given.push(place.setting(name, key.span().start, entry)?),
        }
    }
    Ok(Settings {
        given,
        backends,
        catalog: listed,
    })
}

impl Text<'_> {
    fn table(
        &self,
        name: &str,
        table: &DeTable<'_>,
        given: &mut Vec<Given>,
    ) -> Result<(), ConfigError> {
        for (key, entry) in table {
            let full = format!("{name}.{}", key.get_ref());
            given.push(self.setting(&full, key.span().start, entry)?);
        }
        Ok(())
    }

    fn setting(
        &self,
        name: &str,
        offset: usize,
        entry: &Spanned<DeValue<'_>>,
    ) -> Result<Given, ConfigError> {
        let key = keys::find(name).ok_or_else(|| self.error(offset, &unknown(name)))?;
        let text = self.text(name, entry)?;
        Ok(Given {
            key,
            text,
            source: self.source(offset),
        })
    }

    /// A value as the text that the environment would have for it.
    pub(super) fn text(
        &self,
        name: &str,
        entry: &Spanned<DeValue<'_>>,
    ) -> Result<String, ConfigError> {
        Ok(match entry.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::Boolean(switch) => switch.to_string(),
            other => {
                let kind = other.type_str();
                let message =
                    format!("{name}: a {kind} where a text, a number or a switch belongs");
                return Err(self.error(entry.span().start, &message));
            }
        })
    }

    fn source(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Source::File(PathBuf::from(self.path), Some(line))
    }

    pub(super) fn error(&self, offset: usize, message: &str) -> ConfigError {
        ConfigError {
            place: self.source(offset),
            message: message.trim().to_owned(),
        }
    }
}

/// What to say about a key that there is none of, with the likeliest one that was meant.
fn unknown(name: &str) -> String {
    let (_, last) = name.rsplit_once('.').unwrap_or(("", name));
    let near = keys::KEYS.iter().find(|key| {
        let (_, other) = key.name.rsplit_once('.').unwrap_or(("", key.name));
        other == last || other.replace('_', "") == last.replace(['_', '-'], "").to_lowercase()
    });
    match near {
        Some(key) => format!("unknown key `{name}`; did you mean `{}`?", key.name),
        None => format!("unknown key `{name}`; `cinderblock serve --print-config` shows all"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::proptest;

    use super::parse;

    fn error(text: &str) -> String {
        let error = parse(Path::new("c.toml"), text).map(|_| ()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        assert!(error("# x\n\nregoin = 1\n").starts_with("c.toml:3: unknown key `regoin`"));
        assert!(error("[nbd]\nlisten = \"a:1\"\nport = 3\n").starts_with("c.toml:3: unknown key"));
        assert!(error("[nope]\nx = 1\n").starts_with("c.toml:2: unknown key `nope.x`"));
        assert!(error("listen = 'x'").ends_with("did you mean `http.listen`?"));
    }

    #[test]
    fn syntax_and_types_are_named_with_their_line() {
        assert!(error("data = \"/d\"\nregion = \n").starts_with("c.toml:2: "));
        assert!(error("a = 1\na = 2\n").starts_with("c.toml:"));
        assert!(error("\ndata = [1]\n").starts_with("c.toml:2: data: a array"));
        assert!(error("memory = 1.5\n").contains("a float"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z=\\[\\]\".\n# 0-9{}]{0,80}") {
            let _ = parse(Path::new("c"), &text);
        }
    }
}
