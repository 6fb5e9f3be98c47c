//! Dumps of the catalogue: all tables as of one moment, in a file of their own, from which a lost or
//! damaged catalogue is built again. ARCHITECTURE.md has the format.
//!
//! A dump holds what the catalogue holds, secrets included, and lies beside it under the same rights.

mod format;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use store::disk::{Caching, Create, Io};

use self::format::{Input, Output, io_failed};
use super::view::{Bytes, failed};
use super::{Catalogue, Error, ErrorKind, Options, Result};

/// Dumps that are kept.
const KEPT: usize = 2;
/// Pairs put into the new file in one transaction.
const PAIRS_AT_ONCE: u64 = 100_000;

/// A key and a value.
type KeyValue = (Vec<u8>, Vec<u8>);

/// What was built again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The moment it is as of, in microseconds since 1970.
    pub as_of_us: u64,
    /// Records and entries of indexes.
    pub pairs: u64,
    /// Newer dumps that were passed over, and why.
    pub notes: Vec<String>,
    /// Where the old file lies, if there was one.
    pub set_aside: Option<PathBuf>,
}

/// Where a catalogue's dumps lie: beside its file.
pub fn dump_folder(catalogue: &Path) -> PathBuf {
    catalogue.with_extension("dumps")
}

fn name(number: u64) -> String {
    format!("{number:08}.dump")
}

/// The numbers of the dumps in a folder, in order.
fn numbers(io: &dyn Io, dir: &Path) -> Result<Vec<u64>> {
    let listed = match io.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| io_failed("listing", dir, error))?,
    };
    let number = |text: &str| text.strip_suffix(".dump")?.parse().ok();
    let own = |text: &str| number(text).filter(|number| name(*number) == text);
    let mut numbers: Vec<u64> = listed.iter().filter_map(|entry| own(&entry.name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Refuses to begin an empty catalogue where one has been: its first dumps would take the place of
/// those that the lost one is built again from.
pub(super) fn refuse_lost(io: &dyn Io, path: &Path) -> Result<()> {
    let opened = io.open(path, Create::Never, Caching::Buffered);
    let len = match opened.and_then(|file| file.len()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        len => len.map_err(|error| io_failed("opening", path, error))?,
    };
    let dir = dump_folder(path);
    if len > 0 || numbers(io, &dir)?.is_empty() {
        return Ok(());
    }
    let context = format!(
        "catalogue: {} is gone, and its dumps in {} are not",
        path.display(),
        dir.display()
    );
    Err(Error::new(ErrorKind::Corrupt, context))
}

impl Catalogue {
    /// Writes all tables as they are now into a new file in `dir`, durably, and removes all but the
    /// newest two.
    ///
    /// # Errors
    /// Those of the database; `NoSpace` and `Failed` of the file.
    pub fn dump(&self, io: &dyn Io, dir: &Path) -> Result<()> {
        let made = io.create_dir(dir);
        made.map_err(|error| io_failed("creating", dir, error))?;
        let before = numbers(io, dir)?;
        let number = before.last().map_or(1, |last| last + 1);
        let new = dir.join("new");
        self.write_dump(io, &new)?;
        let placed = io.rename(&new, &dir.join(name(number)));
        let synced = placed.and_then(|()| io.sync_dir(dir));
        synced.map_err(|error| io_failed("naming a dump in", dir, error))?;
        let old = before.len().saturating_sub(KEPT - 1);
        for number in &before[..old] {
            let path = dir.join(name(*number));
            io.remove(&path)
                .map_err(|error| io_failed("removing", &path, error))?;
        }
        Ok(())
    }

    fn write_dump(&self, io: &dyn Io, path: &Path) -> Result<()> {
        let mut output = Output::create(io, path)?;
        let begun = self.shared().database.begin_read();
        let transaction = begun.map_err(|error| Error::database("begin read", error))?;
        let tables = transaction.list_tables().map_err(failed("list tables"))?;
        for table in tables {
            let table_name = table.name().to_owned();
            let definition: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new(&table_name);
            let open = transaction.open_table(definition);
            let open = open.map_err(|error| Error::database("open table", error))?;
            for pair in open.iter().map_err(failed("list"))? {
                let (key, value) = pair.map_err(failed("list"))?;
                output.put(&table_name, key.value(), value.value())?;
            }
        }
        output.finish()
    }
}

/// Builds the catalogue at `path` again from the newest whole dump. Nobody may have it open. The old
/// file is kept under another name.
///
/// # Errors
/// `NotFound` where no dump is whole, `UnsupportedFormat` for one of a newer program, `NoSpace`,
/// `Failed`. Nothing has changed then.
pub fn rebuild(io: &dyn Io, path: &Path) -> Result<Restored> {
    let dir = dump_folder(path);
    let mut notes = Vec::new();
    for number in numbers(io, &dir)?.into_iter().rev() {
        match Input::open(io, &dir.join(name(number))) {
            Ok(input) => return restore(io, path, input, notes),
            Err(error) if error.kind() == ErrorKind::Corrupt => notes.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let context = format!("{}: no dump of the catalogue is whole", dir.display());
    Err(Error::new(ErrorKind::NotFound, context))
}

fn restore(io: &dyn Io, path: &Path, mut input: Input, notes: Vec<String>) -> Result<Restored> {
    let new = path.with_extension("redb.new");
    let emptied = io
        .open(&new, Create::IfMissing, Caching::Buffered)
        .and_then(|file| file.set_len(0));
    emptied.map_err(|error| io_failed("creating", &new, error))?;
    let catalogue = Catalogue::open_file(io, &new, Options::default())?;
    fill(&catalogue, &mut input)?;
    drop(catalogue);
    let aside = path.with_extension(format!("redb.damaged-{}", io.now_us()));
    let set_aside = match io.rename(path, &aside) {
        Ok(()) => Some(aside),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_failed("setting aside", path, error)),
    };
    if let Err(error) = io.rename(&new, path) {
        let back = set_aside.map_or(Ok(()), |aside| io.rename(&aside, path));
        back.map_err(|error| io_failed("putting back", path, error))?;
        return Err(io_failed("putting in its place", path, error));
    }
    let synced = io.sync_dir(path.parent().unwrap_or(path));
    synced.map_err(|error| io_failed("putting in its place", path, error))?;
    Ok(Restored {
        as_of_us: input.as_of_us,
        pairs: input.pairs,
        notes,
        set_aside,
    })
}

fn fill(catalogue: &Catalogue, input: &mut Input) -> Result<()> {
    let mut more = true;
    while more {
        let begun = catalogue.shared().database.begin_write();
        let transaction = begun.map_err(|error| Error::database("begin write", error))?;
        let mut tables: HashMap<String, Vec<KeyValue>> = HashMap::new();
        for _ in 0..PAIRS_AT_ONCE {
            let Some((table, key, value)) = input.next()? else {
                more = false;
                break;
            };
            tables.entry(table).or_default().push((key, value));
        }
        for (table, pairs) in tables {
            let definition: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new(&table);
            let open = transaction.open_table(definition);
            let mut open = open.map_err(|error| Error::database("open table", error))?;
            for (key, value) in pairs {
                let stored = open.insert(key.as_slice(), value.as_slice());
                stored.map(drop).map_err(failed("insert"))?;
            }
        }
        transaction
            .commit()
            .map_err(|error| Error::database("commit", error))?;
    }
    Ok(())
}
