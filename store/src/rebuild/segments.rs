//! The journal's segments: which can be replayed on top of the dump, and which cannot.

use std::collections::HashSet;
use std::path::Path;

use crate::addr::{CONTAINER_SLOTS, ContainerId};
use crate::disk::{Create, Io};
use crate::index::{Index, IndexRead};
use crate::journal::format::SegmentHeader;
use crate::journal::segment::Spare;
use crate::{DomainId, Error, Result};

/// What there is of the journal.
pub(super) struct Segments {
    /// The last sequence in the dump.
    pub(super) applied: u64,
    /// First and one behind the last window of each segment that stays and is not packed.
    windows: Vec<(u64, u64)>,
    /// The highest container id that a segment took.
    pub(super) highest_container: u64,
    /// Names of files that must not be replayed: something that came before is missing.
    pub(super) beyond_gap: Vec<String>,
    /// Names of key files that only what is set aside can know.
    pub(super) unknown_keys: Vec<String>,
}

/// A file of the journal.
struct Found {
    number: u64,
    name: String,
    header: Option<SegmentHeader>,
}

impl Segments {
    /// Looks at the files of the journal and decides what of it follows the state in `index`.
    pub(super) fn find(io: &dyn Io, dir: &Path, pool: [u8; 16], index: &Index) -> Result<Self> {
        let reader = index.read()?;
        let applied = reader.checkpoint()?.unwrap_or_default().applied_sequence;
        let packed: HashSet<ContainerId> = reader.forwards()?.into_iter().collect();
        let is_packed = |found: &Found| {
            let header = found.header.as_ref();
            header.is_some_and(|header| packed.contains(&ContainerId(header.first_container)))
        };
        let mut files = list(io, &dir.join("journal"), pool)?;
        let headers = files.iter().filter_map(|found| found.header.as_ref());
        let highest_container = headers.map(|header| end_of(header) - 1).max().unwrap_or(0);
        files.retain(|found| !is_packed(found));
        let beyond = files.split_off(first_beyond_gap(&files, applied));
        let windows = files.iter().filter_map(|found| found.header.as_ref());
        let mut segments = Self {
            applied,
            windows: windows
                .map(|header| (header.first_container, end_of(header)))
                .collect(),
            highest_container,
            beyond_gap: beyond.into_iter().map(|found| found.name).collect(),
            unknown_keys: Vec::new(),
        };
        if !segments.beyond_gap.is_empty() {
            let domains = reader.domains()?.into_iter().map(|(id, _)| id).collect();
            segments.unknown_keys = unknown_keys(io, dir, &domains)?;
        }
        Ok(segments)
    }

    /// Whether a container is a window of a segment that stays.
    pub(super) fn has(&self, container: ContainerId) -> bool {
        let holds = |(from, to): &(u64, u64)| (*from..*to).contains(&container.0);
        self.windows.iter().any(holds)
    }
}

fn end_of(header: &SegmentHeader) -> u64 {
    header.first_container + u64::from(header.blocks.div_ceil(CONTAINER_SLOTS))
}

/// How many files, in order, do not lie behind a gap: the last of those that begin no later than the
/// state does leads on to the next, and so forth. A file without a header can only be the last one,
/// which was never used.
fn first_beyond_gap(files: &[Found], applied: u64) -> usize {
    let begins = |found: &Found| found.header.as_ref().map(|header| header.first_sequence);
    let within = |found: &Found| begins(found).is_some_and(|first| first <= applied + 1);
    let Some(start) = files.iter().rposition(within) else {
        return 0;
    };
    let follows =
        |pair: &&[Found]| pair[0].number + 1 == pair[1].number && pair[0].header.is_some();
    start + 1 + files[start..].windows(2).take_while(follows).count()
}

fn list(io: &dyn Io, dir: &Path, pool: [u8; 16]) -> Result<Vec<Found>> {
    let listed = match io.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|e| Error::io(format!("listing {}", dir.display()), e))?,
    };
    let mut files = Vec::new();
    for entry in listed {
        let number = entry
            .name
            .strip_suffix(".wal")
            .and_then(|digits| digits.parse().ok());
        let Some(number) = number else { continue };
        let header = Spare::open(io, dir.join(&entry.name), Create::Never)?.header()?;
        let own = |header: &SegmentHeader| header.pool == pool && header.number == number;
        let name = entry.name;
        files.push(Found {
            number,
            name,
            header: header.filter(own),
        });
    }
    files.sort_by_key(|found| found.number);
    Ok(files)
}

/// Key files of domains that the index does not know. They would be destroyed at the next opening.
fn unknown_keys(io: &dyn Io, dir: &Path, known: &HashSet<DomainId>) -> Result<Vec<String>> {
    let listed = match io.list(&dir.join("keys")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|e| Error::io("listing keys", e))?,
    };
    let domain = |name: &str| name.strip_suffix(".key")?.parse().ok().map(DomainId);
    let unknown = |name: &String| domain(name).is_some_and(|id| !known.contains(&id));
    Ok(listed
        .into_iter()
        .map(|entry| entry.name)
        .filter(unknown)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::{Found, first_beyond_gap};
    use crate::journal::format::SegmentHeader;

    fn file((number, first_sequence): (u64, u64)) -> Found {
        let header = SegmentHeader {
            pool: [0; 16],
            number,
            epoch: 0,
            first_container: number,
            blocks: 1024,
            first_sequence,
        };
        Found {
            number,
            name: String::new(),
            header: Some(header),
        }
    }

    #[test]
    fn what_follows_a_gap_is_not_used() {
        let count = |files: &[(u64, u64)], applied| {
            let files: Vec<Found> = files.iter().copied().map(file).collect();
            first_beyond_gap(&files, applied)
        };
        assert_eq!(count(&[], 5), 0);
        // Sequences 1 to 9, 10 to 19, and from 20.
        assert_eq!(count(&[(1, 1), (2, 10), (3, 20)], 14), 3);
        assert_eq!(count(&[(2, 10), (3, 20)], 9), 2);
        assert_eq!(count(&[(1, 1), (3, 20)], 25), 2);
        assert_eq!(count(&[(1, 1), (3, 20)], 14), 1);
        assert_eq!(count(&[(3, 20)], 14), 0);
        assert_eq!(count(&[(1, 1), (2, 10), (4, 30), (5, 40)], 12), 2);
    }
}
