//! `[[catalog]]` of the file: services of others that the service catalogue lists beside our own.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use api::server::StaticService;

use super::ConfigError;
use super::file::Text;
use super::value::Parsed;

/// More than this are a mistake; tokens carry them all.
const ENTRIES_MAX: usize = 64;
/// Longest text of an entry.
const TEXT_MAX: usize = 2048;

/// What `serve --print-config` says of them.
pub(super) const DOCUMENTATION: &str = r#"
# Services of others for the service catalogue, one table each, such as a Nova or Swift elsewhere.
# Not from the environment.
#[[catalog]]
# What clients look for. Required.
#type = "object-store"
# Its name. Default: the type.
#name = "swift"
# Where it is; $(project_id)s stands for the project of the token. Required.
#url = "https://objects.example/v1/AUTH_$(project_id)s"
"#;

/// Reads the tables.
pub(super) fn read(
    place: &Text<'_>,
    offset: usize,
    tables: &[Spanned<DeValue<'_>>],
) -> Result<Vec<StaticService>, ConfigError> {
    if tables.len() > ENTRIES_MAX {
        let message = format!("catalog: at most {ENTRIES_MAX} belong here");
        return Err(place.error(offset, &message));
    }
    let entry = |entry: &Spanned<DeValue<'_>>| match entry.get_ref() {
        DeValue::Table(table) => one(place, entry.span().start, table),
        _ => {
            let message = "catalog: a [[catalog]] table belongs here";
            Err(place.error(entry.span().start, message))
        }
    };
    tables.iter().map(entry).collect()
}

fn one(place: &Text<'_>, at: usize, table: &DeTable<'_>) -> Result<StaticService, ConfigError> {
    let (mut kind, mut name, mut url) = (None, None, None);
    for (key, entry) in table {
        let (key, offset) = (key.get_ref().as_ref(), entry.span().start);
        let text = place.text(&format!("catalog.{key}"), entry)?;
        let (slot, check): (_, fn(&str) -> Parsed<String>) = match key {
            "type" => (&mut kind, word),
            "name" => (&mut name, word),
            "url" => (&mut url, address),
            _ => {
                let message = "unknown key; `cinderblock serve --print-config` shows all";
                return Err(place.error(offset, &format!("catalog.{key}: {message}")));
            }
        };
        let text = check(&text);
        *slot = Some(text.map_err(|why| place.error(offset, &format!("catalog.{key}: {why}")))?);
    }
    let missing = |key: &str| place.error(at, &format!("catalog: it needs a {key}"));
    let kind = kind.ok_or_else(|| missing("type"))?;
    Ok(StaticService {
        name: name.unwrap_or_else(|| kind.clone()),
        kind,
        url: url.ok_or_else(|| missing("url"))?,
    })
}

fn word(text: &str) -> Parsed<String> {
    let good = |c: char| !c.is_control() && !c.is_whitespace();
    match !text.is_empty() && text.len() <= TEXT_MAX && text.chars().all(good) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not a word")),
    }
}

fn address(text: &str) -> Parsed<String> {
    let web = text.starts_with("http://") || text.starts_with("https://");
    match web {
        true => word(text),
        false => Err(format!("`{text}` does not begin with http:// or https://")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::parse;

    #[test]
    fn tables_make_services_and_errors_name_their_line() {
        let text = "[[catalog]]\ntype = 'compute'\nurl = 'http://h:8774/v2.1'\n\n\
                    [[catalog]]\ntype = 's3'\nname = 'x'\nurl = 'https://s3'\n";
        let found = parse(Path::new("c.toml"), text).unwrap().catalog;
        let seen: Vec<[&str; 3]> = found
            .iter()
            .map(|one| [one.kind.as_str(), &one.name, &one.url])
            .collect();
        let wanted = [
            ["compute", "compute", "http://h:8774/v2.1"],
            ["s3", "x", "https://s3"],
        ];
        assert_eq!(seen, wanted);
        for (text, what) in [
            (
                "[[catalog]]\ntype = 'a'\n",
                "c.toml:1: catalog: it needs a url",
            ),
            (
                "[[catalog]]\nurl = 'http://a'\n",
                "c.toml:1: catalog: it needs a type",
            ),
            ("[[catalog]]\ntype = 'a b'\n", "c.toml:2: catalog.type"),
            ("[[catalog]]\nurl = 'ftp://a'\n", "c.toml:2: catalog.url"),
            (
                "[[catalog]]\nkind = 'a'\n",
                "c.toml:2: catalog.kind: unknown",
            ),
            ("catalog = [1]\n", "catalog: a [[catalog]] table"),
        ] {
            let error = parse(Path::new("c.toml"), text).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        }
    }
}
