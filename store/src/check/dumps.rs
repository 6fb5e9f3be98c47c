//! Metadata dumps: whether rebuilding could read them, from end to end.
//!
//! Every byte of a dump file is under a checksum. A full dump gets its name once all of it is durable,
//! so whatever does not read in it is damage. A log may end in a transaction that a power loss cut
//! short. Damage to its last transaction looks the same and is told among what could not be checked,
//! unless something shows that the log was longer once: a later transaction behind the place, or
//! another log that goes on exactly where this one ended.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::disk::Io;
use crate::dump::FOLDER;
use crate::dump::format::Kind;
use crate::dump::reader::{DumpFile, Reach, list, name};
use crate::pool_file::PoolFile;

use super::CheckReport;

/// Looks at all dumps of the pool in `dir`.
pub(super) fn check(io: &dyn Io, dir: &Path, report: &mut CheckReport) -> Result<()> {
    let path = dir.join(FOLDER);
    let numbers = list(io, &path)?;
    if numbers.is_empty() {
        return Ok(());
    }
    let pool = match PoolFile::read(io, dir) {
        Ok(pool) => *pool.id.as_bytes(),
        Err(error) => {
            report.unchecked.push(format!("metadata dumps: {error}"));
            return Ok(());
        }
    };
    let folder = Folder {
        io,
        path,
        pool,
        numbers,
    };
    for (kind, number) in &folder.numbers {
        folder.check_file(*kind, *number, report);
    }
    folder.check_newest(report);
    Ok(())
}

struct Folder<'a> {
    io: &'a dyn Io,
    path: PathBuf,
    pool: [u8; 16],
    numbers: Vec<(Kind, u64)>,
}

impl Folder<'_> {
    fn open(&self, kind: Kind, number: u64) -> Result<DumpFile> {
        DumpFile::open(self.io, &self.path, kind, number, self.pool)
    }

    fn has(&self, kind: Kind, number: u64) -> bool {
        self.numbers.contains(&(kind, number))
    }

    /// Whether the log after this one says that it goes on exactly where this one ends.
    fn is_continued(&self, number: u64) -> bool {
        let next = number.checked_add(1);
        let next = next.filter(|next| self.has(Kind::Log, *next));
        next.is_some_and(|next| {
            let next = self.open(Kind::Log, next);
            next.is_ok_and(|next| next.header.continues)
        })
    }

    fn check_file(&self, kind: Kind, number: u64, report: &mut CheckReport) {
        let file = match self.open(kind, number) {
            Ok(file) => file,
            Err(error) => {
                // The log is durable before the full dump of its number is there.
                let is_damage =
                    kind == Kind::Full || self.has(Kind::Full, number) || self.is_continued(number);
                return tell(kind, number, 0, &error.to_string(), is_damage, report);
            }
        };
        let (at, what, is_damage) = match (kind, file.reach()) {
            (Kind::Log, Reach::End { .. }) | (Kind::Full, Reach::End { ended: true }) => {
                report.dumps += 1;
                report.verified.bytes += file.len();
                return;
            }
            (Kind::Full, Reach::End { ended: false }) => (file.len(), "its end is missing", true),
            (Kind::Full, Reach::Broken { at, .. }) => (at, "does not read", true),
            (Kind::Log, Reach::Broken { at, goes_on }) => {
                let is_damage = goes_on || self.is_continued(number);
                (at, "does not read", is_damage)
            }
        };
        tell(kind, number, at, what, is_damage, report);
    }

    /// The newest full dump has its log: what came later is in no other place.
    fn check_newest(&self, report: &mut CheckReport) {
        let fulls = self.numbers.iter().filter(|(kind, _)| *kind == Kind::Full);
        let Some(newest) = fulls.map(|(_, number)| *number).max() else {
            return;
        };
        if !self.has(Kind::Log, newest) {
            let log = name(Kind::Log, newest);
            report.tell(format!("{FOLDER}/{log}: is missing"));
        }
    }
}

/// Tells of a place that does not read, as of damage or as of what nobody can know.
fn tell(kind: Kind, number: u64, at: u64, what: &str, is_damage: bool, report: &mut CheckReport) {
    let place = format!("{FOLDER}/{}, byte {at}", name(kind, number));
    if is_damage {
        report.tell(format!("{place}: {what}"));
    } else {
        let doubt = "a power loss has cut the last transaction short, or it is damaged";
        report.unchecked.push(format!("{place}: {what}: {doubt}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::check;
    use crate::CheckReport;
    use crate::disk::sim::SimIo;
    use crate::disk::{Caching, Create, Io};
    use crate::model::Run;

    const DUMPS: &str = "/pool/dump";

    /// A pool with two full dumps and their logs, each of many transactions; the second log goes on
    /// from the first.
    fn dumped() -> Run {
        let mut run = Run::new(4, false);
        for step in 1..=40 {
            run.step();
            if step % 4 == 0 {
                run.store.reclaim_now().unwrap();
            }
            if step == 15 || step == 30 {
                run.store.dump_metadata().unwrap();
            }
        }
        run
    }

    fn checked(io: &SimIo) -> CheckReport {
        let mut report = CheckReport::default();
        check(io, Path::new("/pool"), &mut report).unwrap();
        report
    }

    fn names(io: &SimIo) -> Vec<String> {
        let listed = io.list(Path::new(DUMPS)).unwrap();
        listed.into_iter().map(|entry| entry.name).collect()
    }

    fn content(io: &SimIo, name: &str) -> Vec<u8> {
        let path = Path::new(DUMPS).join(name);
        let file = io.open(&path, Create::Never, Caching::Buffered).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn put(io: &SimIo, name: &str, bytes: &[u8]) {
        let path = Path::new(DUMPS).join(name);
        let file = io.open(&path, Create::Never, Caching::Buffered).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_at(bytes, 0).unwrap();
    }

    /// Where the blocks of a file begin, and where the last ends.
    fn bounds(bytes: &[u8]) -> Vec<usize> {
        let mut bounds = vec![64];
        while let Some(start) = bounds.last().copied().filter(|at| *at < bytes.len()) {
            let stored = u32::from_le_bytes(bytes[start + 28..start + 32].try_into().unwrap());
            bounds.push(start + 40 + stored as usize);
        }
        bounds
    }

    #[test]
    fn whole_dumps_are_counted() {
        let run = dumped();
        let report = checked(&run.io);
        assert_eq!((report.damages, report.unchecked), (vec![], vec![]));
        assert_eq!(report.dumps, 4);
        let bytes: usize = names(&run.io)
            .iter()
            .map(|n| content(&run.io, n).len())
            .sum();
        assert_eq!(report.verified.bytes, bytes as u64);
    }

    #[test]
    fn each_changed_byte_of_each_dump_is_told_with_its_file_and_block() {
        let run = dumped();
        let names = names(&run.io);
        let newest_log = names.iter().rfind(|name| name.ends_with(".log")).unwrap();
        for name in &names {
            let whole = content(&run.io, name);
            let bounds = bounds(&whole);
            assert!(
                name.ends_with(".full") || bounds.len() > 3,
                "{name}: {bounds:?}"
            );
            for at in 0..whole.len() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (at % 8);
                put(&run.io, name, &bytes);
                let report = checked(&run.io);
                let block = bounds.iter().rfind(|start| **start <= at).copied();
                let place = format!("dump/{name}, byte {}: ", block.unwrap_or(0));
                let is_last = bounds[bounds.len() - 2] <= at;
                let told = if name == newest_log && is_last {
                    assert_eq!(report.damages, [], "{at} of {name}");
                    report.unchecked
                } else {
                    assert_eq!(report.unchecked, [] as [String; 0], "{at} of {name}");
                    report.damages.into_iter().map(|one| one.message).collect()
                };
                assert!(
                    told.len() == 1 && told[0].starts_with(&place),
                    "{at} of {name}: {told:?}"
                );
                assert_eq!(report.dumps, 3);
            }
            put(&run.io, name, &whole);
        }
    }

    #[test]
    fn a_log_may_end_anywhere_and_a_full_dump_may_not() {
        let run = dumped();
        for name in names(&run.io) {
            let whole = content(&run.io, &name);
            let bounds = bounds(&whole);
            for len in 0..whole.len() {
                put(&run.io, &name, &whole[..len]);
                let report = checked(&run.io);
                let is_newest = name == "00000002.log";
                let expected = match bounds.contains(&len) {
                    _ if len < 64 || name.ends_with(".full") => (1, 0),
                    // Nothing shows that it was longer.
                    true => (0, 0),
                    false if is_newest => (0, 1),
                    false => (1, 0),
                };
                let found = (report.damages.len(), report.unchecked.len());
                assert_eq!(found, expected, "{len} bytes of {name}");
            }
            put(&run.io, &name, &whole);
        }
    }

    #[test]
    fn a_missing_log_is_damage_and_other_files_are_nothing() {
        let run = dumped();
        let file = |name: &str| Path::new(DUMPS).join(name);
        let unfinished = file("00000003.full.new");
        run.io
            .open(&unfinished, Create::New, Caching::Buffered)
            .unwrap();
        assert_eq!(checked(&run.io).damages, []);
        // As a power loss leaves it, between two steps of the next dump.
        let begun = file("00000003.log");
        run.io.open(&begun, Create::New, Caching::Buffered).unwrap();
        let report = checked(&run.io);
        assert_eq!((report.damages.len(), report.unchecked.len()), (0, 1));
        run.io.remove(&begun).unwrap();
        run.io.remove(&file("00000002.log")).unwrap();
        let damages = checked(&run.io).damages;
        assert_eq!(damages[0].message, "dump/00000002.log: is missing");
    }

    #[test]
    fn dumps_of_another_pool_are_told() {
        let (run, other) = (dumped(), Run::new(5, false));
        other.store.dump_metadata().unwrap();
        put(
            &run.io,
            "00000001.full",
            &content(&other.io, "00000001.full"),
        );
        let damages = checked(&run.io).damages;
        assert_eq!(damages.len(), 1);
        assert!(
            damages[0]
                .message
                .starts_with("dump/00000001.full, byte 0: ")
        );
    }
}
